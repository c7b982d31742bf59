"""What `python -m benchmarks.audit` measures: the access record, and what it costs."""
