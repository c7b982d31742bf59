"""What `python -m benchmarks.audit` measures: the access record, and what it costs."""

#: Where a relay says what its record has cost so far, CPU seconds, and for how many events; in its directory.
SPENT = "record-spent"
