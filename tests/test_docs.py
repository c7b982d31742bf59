"""Documentation is held to the program: every metric, every command, every link."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from prometheus_client.metrics import MetricWrapperBase

from camrelay import metrics
from camrelay.cli import main

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def read(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def exported() -> dict[str, tuple[str, ...]]:
    """Metric -> labels, under the names that Prometheus sees."""
    found = {}
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            found[family.name + "_total" * (family.type == "counter")] = tuple(metric._labelnames)
    for family in metrics.camera_received.collect():
        found[f"{family.name}_total"] = tuple(family._labelnames)
    return found


def test_the_page_of_metrics_has_every_metric_with_its_labels() -> None:
    """And none that is no longer there."""
    rows = re.findall(r"^\| `(camrelay_\w+)` \| (.*?) ?\|", read("metrics.md"), re.MULTILINE)
    documented = {name: tuple(re.findall(r"`(\w+)`", labels)) for name, labels in rows}

    assert documented == exported()


def commands(group: click.Group, path: str = "camrelay") -> dict[str, click.Command]:
    """Every command by its full name."""
    found: dict[str, click.Command] = {}
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        full = f"{path} {name}"
        found |= commands(command, full) if isinstance(command, click.Group) else {full: command}
    return found


@pytest.mark.parametrize(("name", "command"), commands(main).items(), ids=commands(main))
def test_every_command_has_help_and_a_place_in_the_docs(name: str, command: click.Command) -> None:
    """`--help` says what it does, and docs/operators.md shows it."""
    assert command.help
    assert f"`{name}" in read("operators.md")


def test_the_docs_show_no_command_that_is_not_there() -> None:
    """A command that was renamed is renamed everywhere."""
    text = "\n".join(page.read_text() for page in PAGES)
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))
    real = {" ".join(name.split()[1:3]) for name in commands(main)}
    shown = re.findall(r"(?:^|&& |`)(?:\w+=\S+ )?camrelay ([a-z-]+)(?: ([a-z-]+))?", code, re.MULTILINE)

    assert len(shown) > 10
    groups = {name.split()[0] for name in real if " " in name}
    assert [
        words for words in shown if words[0] not in real and " ".join(words).strip() not in real | groups
    ] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every file that a page links to or shows is in the repository."""
    links = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text())

    assert [link for link in links if not (page.parent / link).exists()] == []
