"""A connection that threads wait for: what fails says so in time, and tells nothing of the server's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from camrelay.audit import postgres as module
from camrelay.audit.postgres import Postgres
from camrelay.errors import ConfigError


@pytest.fixture
def url(postgres: Path) -> str:
    return f"postgresql+asyncpg:///postgres?host={postgres}&user=postgres"


@pytest.fixture
def server(url: str) -> Iterator[Postgres]:
    connection = Postgres(url, "audit.url")
    connection.open("pg_temp")
    connection.run("CREATE TABLE kept (number int)")
    yield connection
    connection.close()


def test_a_transaction_is_whole_or_not_at_all(server: Postgres) -> None:
    """The connection is used on when it was not what failed."""
    with server.transaction():
        assert server.run("INSERT INTO kept VALUES (1), (2)") == 2
    with suppress(KeyError), server.transaction():
        server.run("DELETE FROM kept")
        raise KeyError
    assert server.fetch("SELECT number FROM kept WHERE number > $1", 1) == [(2,)]


def test_what_is_committed_outlives_a_power_cut(server: Postgres) -> None:
    """Also where the server itself would not wait for its disk."""
    assert server.fetch("SHOW synchronous_commit") == [("on",)]


def test_a_server_that_does_not_answer_is_given_up(
    server: Postgres, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 64: the next transaction has another connection."""
    with pytest.raises(OSError, match=r"PostgreSQL: \w*Timeout"):
        server.fetch("SELECT pg_sleep(600)", timeout_s=0.01)
    with pytest.raises(OSError, match="not connected"):
        server.run("SELECT 1")
    with server.transaction():
        assert server.fetch("SELECT 1") == [(1,)]


def test_a_closed_one_is_an_error_of_the_disk(url: str) -> None:
    """Before it is opened as well; closing it again changes nothing."""
    server = Postgres(url, "audit.url")
    server.close()
    with pytest.raises(OSError, match="not connected"):
        server.run("SELECT 1")


def test_a_server_that_is_not_there_is_an_error_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That says neither where it is nor the password."""
    monkeypatch.setattr(module, "CONNECT_S", 0.5)
    server = Postgres(f"postgresql+asyncpg://anna:canary@/none?host={tmp_path}", "audit.url")
    with pytest.raises(OSError, match="PostgreSQL: ") as raised:
        server.open("public")
    assert "canary" not in str(raised.value)
    assert str(tmp_path) not in str(raised.value)


@pytest.mark.parametrize("text", ["postgresql", "sqlite:///canary", "canary://"])
def test_what_is_no_postgresql_is_the_operators_error(text: str) -> None:
    """It is not repeated: it may have a password in it."""
    with pytest.raises(ConfigError, match=r"^audit.url is not the URL of a PostgreSQL$"):
        Postgres(text, "audit.url")
