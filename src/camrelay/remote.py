"""Talks to a running relay on this machine, for commands that change what it does.

The right to do so comes from being able to read its keys: a grant of a minute, made for the one request.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import Fingerprint

from camrelay import config
from camrelay.auth.keys import KeyRing
from camrelay.auth.mint import mint
from camrelay.auth.token import EVERY_CAMERA
from camrelay.config import split_address
from camrelay.errors import BadRequest, ConfigError, NotReady
from camrelay.model import Action
from camrelay.tls import fingerprint

#: Longer than any request of the command line takes; a relay that needs more has other troubles.
TIMEOUT_S = 30.0

_GRANT_S = 60
_EVERY_INTERFACE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


class Remote:
    """One relay, by its configuration.

    Args:
        keys: the directory of its signing keys.
    """

    def __init__(self, options: config.Config, keys: Path) -> None:
        host, port = split_address(options.server.listen)
        host = _EVERY_INTERFACE.get(host, host)
        scheme = "https" if options.server.tls_certificate else "http"
        self._base = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
        # Known by its own file: the name in it is that which browsers use.
        certificate = options.server.tls_certificate
        self._tls = Fingerprint(fingerprint(Path(certificate))) if certificate else True
        _, self._token = mint(
            KeyRing(keys),
            options.auth,
            cameras=(EVERY_CAMERA,),
            actions=(Action.WATCH, Action.MANAGE),
            life_s=_GRANT_S,
            subject="command-line",
            now_us=time.time_ns() // 1000,
        )

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """The decoded answer of the API, None when it has no content.

        Raises:
            ConfigError: no relay runs there.
            BadRequest: it refused, with its reason.
            NotReady: it cannot do that now, with its reason.
        """
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        data = None if body is None else msgspec.json.encode(body)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.request(
                    method, f"{self._base}{path}", data=data, headers=headers, ssl=self._tls
                ) as answer,
            ):
                content = await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            raise ConfigError(
                f"no relay answers at {self._base}", hint="start it first: camrelay serve --config FILE"
            ) from None
        if answer.status < 400:
            return msgspec.json.decode(content) if content else None
        title = _title(content)
        raise NotReady(title) if answer.status >= 500 else BadRequest(title)


def _title(problem: bytes) -> str:
    try:
        return str(msgspec.json.decode(problem)["title"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return "the answer is not camrelay's; does another server have the port?"
