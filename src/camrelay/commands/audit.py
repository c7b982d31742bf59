"""`camrelay audit`: what the record says, whether it can be believed, and what is done with it."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec

from camrelay.audit import dictionary, holds, offline, retention, table
from camrelay.audit import erasure as erasing
from camrelay.audit.people import opened
from camrelay.audit.search import prove, search
from camrelay.auth.mint import parse_duration
from camrelay.commands import evidence
from camrelay.commands.asking import ask
from camrelay.commands.common import CONFIG, load
from camrelay.durable import replace
from camrelay.errors import AuditUnavailable, Held, NotFound
from camrelay.model import AccessEvent, EventType

Day = datetime.datetime | None

_DAY = click.DateTime(["%Y-%m-%d"])
_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])
_COLUMNS = (
    "time", "type", "camera", "outcome", "protocol", "viewing", "session", "subject", "reason", "network",
    "address", "agent", "bytes_sent", "duration_ms", "count", "id", "person", "about", "target", "day",
    "position",
)  # fmt: skip


@click.group()
def audit() -> None:
    """Check, prove, export and shorten the record of who watched."""


for command in (evidence.verify, evidence.key, evidence.check_proof):
    audit.add_command(command)


@audit.command("dictionary")
def print_dictionary() -> None:
    """Print what the record keeps, whose it is, what for and for how long.

    \b
    Example:  camrelay audit dictionary > docs/data-dictionary.md
    """
    click.echo(dictionary.markdown(), nl=False)


@audit.command("proof")
@CONFIG
@click.argument("name", metavar="VIEWING-OR-RECORD")
def proof(path: Path, name: str) -> None:
    """Print, as JSON, the records of a viewing, or one by its id, with proofs that they stand in the log.

    \b
    Example:  camrelay audit proof 9f86d081884c7d65
    """
    directory = Path(load(path).store.directory)
    manifest = prove(directory, evidence.signer(directory), search(directory, name=name))
    if not manifest.proofs:
        raise NotFound("no record has that id, nor has a viewing")
    click.echo(msgspec.json.format(msgspec.json.encode(manifest)))


@audit.command("export")
@CONFIG
@click.option("--camera", default="", help="Of this camera only.")
@click.option("--subject", default="", help="Of this person only.")
@click.option("--from", "start", type=_MOMENT, help="From this moment of UTC on.")
@click.option("--to", "end", type=_MOMENT, help="Up to this moment of UTC.")
@click.option("--format", "style", type=click.Choice(["json", "csv"]), default="json", show_default=True)
@click.option("--proofs", type=click.Path(path_type=Path, dir_okay=False), help="Write proofs to this file.")
def export(
    *,
    path: Path,
    camera: str,
    subject: str,
    start: datetime.datetime | None,
    end: datetime.datetime | None,
    style: str,
    proofs: Path | None,
) -> None:
    """Print records, oldest first; with proofs of them in a file of their own.

    \b
    Examples:
      camrelay audit export --camera front-door --from 2026-11-01 --to 2026-12-01
      camrelay audit export --subject ana --format csv --proofs ana-proofs.json > ana.csv
    """
    options = load(path)
    directory = Path(options.store.directory)
    signer = evidence.signer(directory)
    with _disk(), opened(directory, options.audit.url) as people:
        wanted = people.pseudonyms(subject) if subject else None
        found = list(search(directory, camera=camera, people=wanted, from_us=_us(start) or 0, to_us=_us(end)))
        identities = people.identify([each.record for each in found])
    if proofs is not None:
        replace(proofs, msgspec.json.encode(prove(directory, signer, found)))
    rows = list(map(table.row, found, identities))
    click.echo(table.to_csv(rows, _COLUMNS) if style == "csv" else table.to_json(rows), nl=False)


@audit.command("erase")
@CONFIG
@click.argument("subject")
@click.confirmation_option(prompt="Nobody will be able to tell any more what they watched. Erase them?")
def erase(path: Path, subject: str) -> None:
    """Forget somebody: their records stay, and tell no longer whom they are about.

    \b
    Example:  camrelay audit erase ana
    """
    directory, url = _store(path), load(path).audit.url
    now_us = time.time_ns() // 1000
    erasure = erasing.prepare(directory, subject, now_us, str(_today()))
    try:
        with _disk():
            offline.tell(directory, _act(EventType.ERASE, target=erasure.id), url)
    except BlockingIOError:
        # A relay has the log: it also ends what they have there.
        count = ask(path, "POST", "/v1/audit/erasures", {"subject": subject})["records"]
    else:
        count = erasing.erase(directory, erasure, url)
        if count < 0:
            raise NotFound("nobody is known by that name")
    click.echo(f"forgotten: {count} records no longer tell whom they are about")


@audit.command("replay")
@CONFIG
@click.argument("ledger", type=click.Path(path_type=Path, dir_okay=False, exists=True))
def replay(path: Path, ledger: Path) -> None:
    """Forget again whom a backup knows: LEDGER is a copy of erased.jsonl, or a log of camrelay serve.

    \b
    Example:  camrelay audit replay /mnt/elsewhere/erased.jsonl
    """
    directory = _store(path)
    with _disk():
        count = erasing.adopt(directory, ledger.read_text(errors="replace"), load(path).audit.url)
    click.echo(f"forgotten: {max(0, count)} records no longer tell whom they are about")


@audit.command("restrict")
@CONFIG
@click.argument("subject")
@click.option("--off", is_flag=True, help="Allow it again.")
def restrict(path: Path, subject: str, off: bool) -> None:
    """Keep somebody's records, and show nobody whose they are.

    \b
    Example:  camrelay audit restrict ana
    """
    ask(path, "POST", "/v1/audit/restrictions", {"subject": subject, "restricted": not off})
    click.echo("allowed again" if off else "restricted")


@audit.group("hold")
def hold() -> None:
    """Keep records from being purged and people from being erased, for a time and a reason."""


@hold.command("add")
@CONFIG
@click.option("--reason", required=True, help="Why, such as the number of a case.")
@click.option("--approver", required=True, help="Who decided it.")
@click.option("--until", required=True, type=_DAY, help="The last day of the hold.")
@click.option("--subject", default="", help="On this person only.")
@click.option("--from", "first", type=_DAY, help="On records from this day of UTC on.")
@click.option("--to", "last", type=_DAY, help="On records up to this day of UTC.")
def add_hold(path: Path, *, until: datetime.datetime, first: Day, last: Day, **wanted: str) -> None:
    """Begin a hold, and print its id.

    \b
    Example:
      camrelay audit hold add --reason "case 4711" --approver "A. Judge" --until 2027-03-31 --subject ana
    """
    days = {"ends": _spell(until), "first": _spell(first), "last": _spell(last)}
    click.echo(ask(path, "POST", "/v1/audit/holds", {**wanted, **days})["id"])


@hold.command("list")
@CONFIG
def list_holds(path: Path) -> None:
    """Print what is held today, as JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(ask(path, "GET", "/v1/audit/holds")["holds"])))


@hold.command("remove")
@CONFIG
@click.argument("id")
def remove_hold(path: Path, id: str) -> None:
    """End a hold."""
    ask(path, "DELETE", f"/v1/audit/holds/{id}")


@audit.command("purge")
@CONFIG
@click.option("--older-than", help="Days of UTC, such as 90d, instead of [audit] viewings_days.")
@click.confirmation_option(prompt="Their records are gone for good. Purge these days?")
def purge(path: Path, older_than: str | None) -> None:
    """Remove old days of the record; their last roots stay, and the rest can still be verified.

    A running relay does so by itself. Acts stay for [audit] acts_days, holds are kept.

    \b
    Example:  camrelay audit purge --older-than 90d
    """
    directory, options = _store(path), load(path).audit
    days = options.viewings_days if older_than is None else max(1, parse_duration(older_than) // 86_400)
    today = str(_today())
    try:
        retention.check_clock(directory, today)
    except Held as doubt:
        click.confirm(f"{doubt} Purge all the same?", abort=True)
    before = retention.days_ago(today, days)
    acts_before = min(before, retention.days_ago(today, options.acts_days))
    held = holds.active(directory, today)

    def is_held(day: str) -> bool:
        return any(hold.covers(day) for hold in held)

    with _disk():
        over = retention.expired(directory, evidence.signer(directory), before, acts_before, is_held)
        try:
            for each in over:
                offline.tell(
                    directory, _act(EventType.PURGE, target=each.name, count=each.lines), options.url
                )
        except BlockingIOError:
            body = {"viewings_days": days, "clock_is_right": True}
            purged = ask(path, "POST", "/v1/audit/purges", body)["days"]
        else:
            with opened(directory, options.url) as people:
                ends = retention.details_ends(directory, options, today)
                retention.purge(directory, evidence.signer(directory), people, over, *ends)
            purged = [each.day for each in over]
    click.echo(f"{len(purged)} days before {before} are purged")


def _act(type: EventType, *, target: str, count: int = 1) -> AccessEvent:
    now_us = time.time_ns() // 1000
    return AccessEvent(type=type, ts_us=now_us, camera="", outcome="info", target=target, count=count)


def _spell(day: Day) -> str:
    return "" if day is None else f"{day:%Y-%m-%d}"


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except BlockingIOError:
        raise
    except OSError as error:
        raise AuditUnavailable(error.strerror or "the disk failed") from None


def _store(path: Path) -> Path:
    directory = Path(load(path).store.directory)
    evidence.signer(directory)
    return directory


def _us(moment: datetime.datetime | None) -> int | None:
    return None if moment is None else round(moment.replace(tzinfo=datetime.UTC).timestamp() * 1e6)
