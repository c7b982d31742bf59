"""`camrelay audit verify|key|check-proof`: whether the record can be believed, also by who has no secret."""

from __future__ import annotations

import datetime
from pathlib import Path

import click
import msgspec

from camrelay.audit import archive, evidence
from camrelay.audit.kept import verify_kept
from camrelay.audit.signer import KEY, Signer, Verifier, saved_notes
from camrelay.audit.table import utc
from camrelay.commands.common import CONFIG, load
from camrelay.errors import ConfigError

_DAY = click.DateTime(["%Y-%m-%d"])
_KEY = click.option("--key", metavar="KEY", help="The log's public key, as camrelay audit key prints it.")


@click.command("verify")
@CONFIG
@click.option(
    "--checkpoint",
    "saved",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Checkpoints kept elsewhere: a copy of checkpoints.txt, or a log of camrelay serve.",
)
@click.option("--since", type=_DAY, help="Check from this day of UTC on.")
@_KEY
@click.option(
    "--directory",
    "copy",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="A copy of the record, instead of the configured one; with --key it needs no secret file.",
)
def verify(
    *,
    path: Path,
    saved: tuple[Path, ...],
    since: datetime.datetime | None,
    key: str | None,
    copy: Path | None,
) -> None:
    """Say whether the record is as it was signed, or where it first deviates (exit status 1).

    \b
    Examples:
      camrelay audit verify
      camrelay audit verify --checkpoint /mnt/elsewhere/checkpoints.txt --since 2026-11-01
      camrelay audit verify --directory copy --key camrelay-0f3e...+57b...+AZk...
    """
    directory = copy or Path(load(path).store.directory)
    verifier = Verifier.parse(key) if key else signer(directory)
    notes = [note for file in saved for note in saved_notes(file.read_text(errors="replace"))]
    if saved and not notes:
        raise ConfigError("there is no checkpoint in the files that were named")
    day = f"{since:%Y-%m-%d}" if since else ""
    found = archive.verify_with(directory, verifier, verifier.read(notes), day)
    click.echo(f"{verifier.name}: {found.lines} lines of {found.days} days are as they were signed")
    if found.unsigned:
        click.echo(f"the last {found.unsigned} lines are newer than the last checkpoint")
    if kept := verify_kept(directory, verifier):
        click.echo(f"{kept} acts of purged days are as they were signed")
    if not saved:
        click.echo("no checkpoint from elsewhere was named: this proves nothing against whoever has the disk")


@click.command("key")
@CONFIG
def key(path: Path) -> None:
    """Print the record's public key: give it to those who are to check it.

    \b
    Example:  camrelay audit key
    """
    click.echo(signer(Path(load(path).store.directory)).text)


@click.command("check-proof")
@_KEY
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
def check_proof(key: str | None, file: Path) -> None:
    """Check proofs that `audit proof` or `export` made, without the record and its configuration.

    Prints what is proven, one record a line; the exit status is 1 when a proof is wrong.

    \b
    Example:  camrelay audit check-proof --key camrelay-0f3e...+57b...+AZk... proofs.json
    """
    manifest = evidence.read(file.read_bytes())
    shown = list(evidence.check(manifest, Verifier.parse(key or manifest.key)))
    for each in shown:
        place = f"{each.day} line {each.position}" if each.is_proven else "not proven yet"
        record = msgspec.structs.asdict(each.record)
        said = " ".join(
            str(record[name]) for name in ("type", "camera", "outcome", "viewing") if record[name]
        )
        click.echo(f"{place}: {utc(each.record.ts_us)} {said}")
    proven = sum(each.is_proven for each in shown)
    click.echo(f"{proven} of {len(shown)} records are proven to stand in the log {manifest.log}")
    if key is None:
        click.echo("no --key was named: anybody can have made these proofs with a key of their own")


def signer(directory: Path) -> Signer:
    """The signer of an existing log."""
    if not (directory / KEY).exists():
        raise ConfigError(f"no access log with its key in {directory}", hint="see [store] directory")
    return Signer.load(directory)
