"""The data dictionary: every field that the record keeps anywhere, whose it is, what for, and for how long.

The tables are made from the registry of events and from the entries here; a field without an entry is an
error of the tests.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping

import msgspec

from camrelay.audit.record import REGISTRY, Retention


class Personal(enum.StrEnum):
    """What a field says about a person."""

    NO = "no"
    #: Only together with a key that is destroyed when the person is erased.
    PSEUDONYM = "pseudonym"
    #: Readable with a key that is destroyed when the person is erased.
    SEALED = "sealed"
    YES = "yes"


class Entry(msgspec.Struct, frozen=True):
    """One field. `kept` is a retention class, or in words how long it is kept."""

    field: str
    personal: Personal
    purpose: str
    kept: str


_LINE = "as its event"
#: 0 stands for as long as the event.
_BESIDE = f"{Retention.VIEWINGS}_details, {Retention.ACTS}_details"

LINE = (
    Entry("type", Personal.NO, "what happened", _LINE),
    Entry("ts_us", Personal.NO, "when, microseconds of UTC", _LINE),
    Entry("camera", Personal.NO, "which camera; what was asked for, if that could be an id", _LINE),
    Entry("outcome", Personal.NO, "whether it was allowed", _LINE),
    Entry("protocol", Personal.NO, "how it was carried", _LINE),
    Entry("viewing", Personal.NO, "joins the start and the stop of a viewing; random", _LINE),
    Entry("session", Personal.NO, "joins the viewings of a media session; random", _LINE),
    Entry("person", Personal.PSEUDONYM, "who did it: another name each month", _LINE),
    Entry("reason", Personal.NO, "why it ended or was refused, of a closed list", _LINE),
    Entry("bytes_sent", Personal.NO, "how much was watched", _LINE),
    Entry("duration_ms", Personal.NO, "for how long", _LINE),
    Entry("count", Personal.NO, "how many the line stands for, or how many records were shown", _LINE),
    Entry("id", Personal.NO, "leads to what is kept beside the line; random", _LINE),
    Entry("commitment", Personal.NO, "salted hash of what is kept beside the line", _LINE),
    Entry("about", Personal.PSEUDONYM, "whom it concerned: another name each month", _LINE),
    Entry("target", Personal.NO, "what it was done to: a hold, an erasure, a day", _LINE),
)

BESIDE = (
    Entry("sidecars.event", Personal.NO, "the line it belongs to", _BESIDE),
    Entry("sidecars.person", Personal.PSEUDONYM, "whose key seals it", _BESIDE),
    Entry("sidecars.retention", Personal.NO, "when it has to go", _BESIDE),
    Entry("sidecars.network", Personal.YES, "from which network, /24 or /48: to tell misuse", _BESIDE),
    Entry("sidecars.address_hash", Personal.PSEUDONYM, "the same address on one day", _BESIDE),
    Entry("sidecars.blob", Personal.SEALED, "the sealed details", _BESIDE),
    Entry("details.ip", Personal.SEALED, "the address, only where ip_mode is sealed", _BESIDE),
    Entry("details.user_agent", Personal.SEALED, "family of the browser or player", _BESIDE),
    Entry("details.email", Personal.SEALED, "not used", _BESIDE),
    Entry("details.path", Personal.SEALED, "not used", _BESIDE),
    Entry("people.id", Personal.NO, "numbers people in the database", "while anything of them is kept"),
    Entry("people.lookup", Personal.PSEUDONYM, "finds a person by name, keyed hash", "as people.id"),
    Entry("people.name", Personal.SEALED, "account id, or the name a token was made for", "as people.id"),
    Entry("people.key", Personal.NO, "seals what is kept of one person; sealed itself", "as people.id"),
    Entry("pseudonyms.name", Personal.PSEUDONYM, "leads from lines to a person", "as people.id"),
    Entry("pseudonyms.person", Personal.PSEUDONYM, "leads from lines to a person", "as people.id"),
    Entry("moments.person", Personal.PSEUDONYM, "finds what is kept of a person", _LINE),
    Entry("moments.minute", Personal.NO, "finds what is kept of a person", _LINE),
    Entry("moments.retention", Personal.NO, "when it has to go", _LINE),
    Entry("day_keys.day", Personal.NO, "the day of the key", "until the day is over"),
    Entry("day_keys.key", Personal.NO, "hashes addresses; sealed itself", "until the day is over"),
    Entry("erasures.id", Personal.NO, "which erasures this database knows of", "for good"),
)

#: With `audit.url`. Veiled is what is sealed besides with a key that never leaves the relay's directory.
SERVED = (
    Entry("people-keys.db: veils.lookup", Personal.PSEUDONYM, "finds a key, keyed hash", "as people.id"),
    Entry("people-keys.db: veils.key", Personal.NO, "veils what is kept of one person", "as people.id"),
    Entry("people-keys.db: day_keys.day", Personal.NO, "the day of the key", "until the day is over"),
    Entry("people-keys.db: day_keys.key", Personal.NO, "as day_keys.key", "until the day is over"),
    Entry("people-keys.db: erasures.id", Personal.NO, "as erasures.id", "for good"),
    Entry("PostgreSQL: layout.version", Personal.NO, "which tables these are", "for good"),
    Entry("PostgreSQL: people.id", Personal.NO, "as people.id", "as people.id"),
    Entry("PostgreSQL: people.lookup", Personal.PSEUDONYM, "as people.lookup", "as people.id"),
    Entry("PostgreSQL: people.veiled", Personal.SEALED, "people.name and people.key", "as people.id"),
    Entry("PostgreSQL: pseudonyms.name", Personal.PSEUDONYM, "as pseudonyms.name", "as people.id"),
    Entry("PostgreSQL: pseudonyms.person", Personal.PSEUDONYM, "as pseudonyms.person", "as people.id"),
    Entry("PostgreSQL: sidecars.event", Personal.NO, "as sidecars.event", _BESIDE),
    Entry("PostgreSQL: sidecars.person", Personal.PSEUDONYM, "as sidecars.person", _BESIDE),
    Entry("PostgreSQL: sidecars.retention", Personal.NO, "as sidecars.retention", _BESIDE),
    Entry("PostgreSQL: sidecars.veiled", Personal.SEALED, "network, address_hash and blob", _BESIDE),
    Entry("PostgreSQL: moments.person", Personal.PSEUDONYM, "as moments.person", _LINE),
    Entry("PostgreSQL: moments.minute", Personal.NO, "as moments.minute", _LINE),
    Entry("PostgreSQL: moments.retention", Personal.NO, "as moments.retention", _LINE),
    Entry("PostgreSQL: erasures.id", Personal.NO, "as erasures.id", "for good"),
)

FILES = (
    Entry("erased.jsonl: id", Personal.NO, "names an erasure, also in the record", "for good"),
    Entry("erased.jsonl: alias", Personal.PSEUDONYM, "whom a backup has to forget, keyed hash", "for good"),
    Entry("erased.jsonl: at_us", Personal.NO, "when", "for good"),
    Entry("holds.json: id", Personal.NO, "names a hold, also in the record", "until it ends"),
    Entry("holds.json: reason", Personal.NO, "why; no place for names", "until it ends"),
    Entry("holds.json: approver", Personal.YES, "who answers for it", "until it ends"),
    Entry("holds.json: ends", Personal.NO, "the last day of the hold", "until it ends"),
    Entry("holds.json: first", Personal.NO, "the first day that is held", "until it ends"),
    Entry("holds.json: last", Personal.NO, "the last day that is held", "until it ends"),
    Entry("holds.json: alias", Personal.PSEUDONYM, "whom it is on, keyed hash", "until it ends"),
    Entry("statistics.jsonl: day", Personal.NO, "the day that is told of", "760 days"),
    Entry("statistics.jsonl: camera", Personal.NO, "the camera that is told of", "760 days"),
    Entry("statistics.jsonl: views", Personal.NO, "rounded; of ten people or more", "760 days"),
    Entry("statistics.jsonl: watch_s", Personal.NO, "rounded; of ten people or more", "760 days"),
    Entry("statistics.jsonl: peak", Personal.NO, "rounded; of ten people or more", "760 days"),
    Entry("restricted.json", Personal.PSEUDONYM, "whom not to show, keyed hash", "until they allow it"),
)


def markdown() -> str:
    """The dictionary as a page."""
    events = [
        (type.value, rule.durability.value, rule.retention.value, ", ".join(sorted(rule.fields)) or "none")
        for type, rule in REGISTRY.items()
    ]
    return "\n".join(
        [
            "# Data dictionary",
            "",
            "Everything that the access record keeps, anywhere. Made by `camrelay audit dictionary`.",
            "",
            "## Events",
            "",
            "The registry is closed: a line that says anything else is no record. Every event has `type`, "
            "`ts_us`, `camera` and `outcome`. Class A is on disk before what it tells takes effect, B "
            "within 0.2 s, C is given up first in a flood, which is then on record as a number. `kept` "
            "is the option of `[audit]`, without `_days`, that says for how long.",
            "",
            *_table(("event", "class", "kept", "fields"), events),
            "",
            "## Lines: `access-DAY.jsonl`",
            "",
            "A pseudonym leads to nobody once the person's key is destroyed, which is what an erasure does.",
            "",
            *_entries(LINE),
            "",
            "## Beside the lines: `people.db`",
            "",
            *_entries(BESIDE),
            "",
            "## Beside the lines, with `audit.url`: a schema in PostgreSQL, and `people-keys.db`",
            "",
            "What identifies somebody is veiled there: sealed once more, with a key for each person that "
            "never leaves the directory of the record.",
            "",
            *_entries(SERVED),
            "",
            "## Other files",
            "",
            *_entries(FILES),
            "",
        ]
    )


def missing(stored: Mapping[str, Iterable[str]]) -> set[str]:
    """The stored fields, by the prefix that entries have before them, that no entry speaks of."""
    known = {entry.field for entry in (*LINE, *BESIDE, *SERVED, *FILES)}
    return {prefix + field for prefix, fields in stored.items() for field in fields} - known


def _entries(entries: Iterable[Entry]) -> list[str]:
    rows = [(f"`{each.field}`", each.personal.value, each.purpose, each.kept) for each in entries]
    return _table(("field", "personal", "purpose", "kept"), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [head, tuple("---" for _ in head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]
