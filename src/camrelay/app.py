"""Starts what a relay consists of, says which requests go where, and stops it all in reverse."""

from __future__ import annotations

import asyncio
import gc
import logging
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

from aiohttp import web

from camrelay import config, loop_lag, metrics
from camrelay.accounts import Accounts
from camrelay.administration import Administration
from camrelay.api import Api
from camrelay.auth.client import parse_networks
from camrelay.auth.cookie import Cookies
from camrelay.errors import NotReady
from camrelay.fanout.hls.express import ExpressRunner
from camrelay.find import Finder
from camrelay.model import EndReason, Protocol
from camrelay.openapi import described
from camrelay.own_record import OwnRecord
from camrelay.records import Desk, Records
from camrelay.rights import Rights
from camrelay.server import Route, build, guarded, listen, port_of
from camrelay.snapshots import Snapshots
from camrelay.tls import redirecting
from camrelay.usage import UsageNumbers
from camrelay.wiring import Wiring

logger = logging.getLogger("camrelay.server")

#: Whoever asks for these gets the same; looking up who it is would be for nothing.
_SAME_FOR_ALL = ("/healthz", "/readyz", "/static/", "/player.js", "/favicon.ico", "/.well-known/")

#: What a stop may take in all; supervisors kill after a little more.
STOP_LIMIT_S = 5.0


class App:
    """The relay process.

    Attributes:
        http_port: where viewers reach it, once started; useful when the configuration says port 0.
    """

    def __init__(self, options: config.Config) -> None:
        self._options = options
        self._wired = Wiring(options)
        self._runners: list[web.AppRunner] = []
        self._lag: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._is_ready = False
        self.http_port = 0

    async def start(self) -> None:
        """Starts everything; when it returns, viewers are served.

        Raises:
            ConfigError: a listener's address cannot be had.
            AuditUnavailable: no record can be written where the configuration says.
        """
        wired, options = self._wired, self._options
        try:
            await wired.log.start()
            await wired.keeper.start()
            await wired.sinks.start()
            self._lag = asyncio.create_task(loop_lag.watch())
            await wired.gate.start()
            wired.remote_keys.start()
            if options.webrtc.enabled:
                await wired.webrtc.start()
            await wired.fleet.start()
            await wired.database.open()
            await wired.budget.open()
            await wired.sharing.open()
            await wired.api_key_desk.open()
            await wired.lineup.open()
            await wired.feed.start()
            everybody = await wired.accounts.accounts()
            await wired.keeper.forget_again((each.id, each.created_us) for each in everybody)
            wired.web_sessions.start()
            wired.mailing.start()
            express = partial(ExpressRunner, find_viewer=wired.gate.running, find_answer=wired.hls.find)
            tls = wired.certificate.context if wired.certificate else None
            viewers = await self._listen(build(self._routes()), options.server.listen, express, tls)
            self.http_port = port_of(viewers)
            if wired.certificate is not None:
                self._refreshing = asyncio.create_task(wired.certificate.keep_fresh())
            if options.server.redirect_listen:
                redirect = Route("*", "/{path:.*}", redirecting(self.http_port))
                await self._listen(build([redirect]), options.server.redirect_listen)
            if options.metrics.enabled:
                await self._listen(build([Route("GET", "/metrics", _metrics)]), options.metrics.listen)
        except BaseException:
            await self.stop()
            raise
        # What lives until the end needs no looking at: full collections stay short under load.
        gc.collect()
        gc.freeze()
        self._is_ready = True
        logger.info("serving %d cameras on port %d", len(wired.lineup.channels), self.http_port)

    async def stop(self) -> None:
        """Ends every viewing with a record and lets go of everything, within STOP_LIMIT_S."""
        wired = self._wired
        self._is_ready = False
        try:
            async with asyncio.timeout(STOP_LIMIT_S - 0.5):
                await wired.keeper.stop()
                await wired.sinks.stop()
                await wired.remote_keys.close()
                await wired.feed.close()
                await wired.gate.close(EndReason.SERVER_STOP)
                await wired.webrtc.stop()
                for runner in self._runners:
                    await runner.cleanup()
                await wired.key_frames.stop()
                await wired.fleet.stop()
                await wired.hls.close()
                await wired.decoder.stop()
        except TimeoutError:
            logger.warning("the stop took too long, leaving the rest to the system")
        if self._lag is not None:
            self._lag.cancel()
        if self._refreshing is not None:
            self._refreshing.cancel()
        wired.web_sessions.stop()
        wired.passwords.close()
        # Before whatever may still wait for somebody else.
        await wired.log.stop()
        await wired.mailing.stop()
        await wired.database.close()

    def _routes(self) -> list[Route]:
        wired = self._wired
        api = Api(
            lineup=wired.lineup,
            may_watch=wired.gate.permissions.may_watch,
            open_session=wired.gate.open_session,
            manages=wired.gate.permissions.manages,
            adder=wired.gate.permissions.adder,
            tier=wired.accounts.tier_of,
            viewers=wired.gate.viewers,
        )
        accounts = Accounts(
            self._options.accounts,
            wired.accounts,
            wired.passwords,
            wired.web_sessions,
            Cookies(parse_networks(self._options.server.trusted_proxies)),
            client=wired.gate.client,
            revoke=wired.gate.revoke,
        )
        administration = Administration(
            wired.accounts,
            wired.passwords,
            wired.web_sessions,
            check_manager=wired.gate.permissions.check_manager,
            revoke=wired.gate.revoke,
            erase=wired.keeper.erase,
            write_to=wired.mailing.invitations.write_to,
        )
        finder = Finder(
            wired.lineup,
            wired.scout,
            wired.decoder,
            check_adder=wired.gate.permissions.adder,
            manages=wired.gate.permissions.manages,
        )
        snapshots = Snapshots(wired.decoder, wired.hub)
        routes = [
            Route("GET", "/healthz", _healthy),
            Route("GET", "/readyz", self._ready),
            *api.routes(),
            *accounts.routes(),
            *administration.routes(),
            *finder.routes(),
            *wired.sharing.routes(),
            *wired.mailing.invitations.routes(),
            *wired.api_key_desk.routes(),
            *Rights(wired.gate, wired.keys, self._options.auth).routes(),
            *self._record_routes(),
            *(Route(*route) for route in wired.pages.routes()),
        ]
        routes.append(described(routes))
        authorize = wired.authorize
        picture = guarded(authorize, Protocol.SNAPSHOT, snapshots.snapshot)
        routes.append(Route("GET", "/snapshot/{camera:[a-z0-9][a-z0-9_-]*}.jpg", picture))
        # Below here no cookie counts: media go by their paths' secrets and by tokens.
        routes = [
            route
            if route.path.startswith(_SAME_FOR_ALL)
            else route._replace(handler=accounts.recognizing(route.handler))
            for route in routes
        ]
        if self._options.hls.enabled:
            routes += [
                Route(method, path, guarded(authorize, Protocol.HLS, handler))
                for method, path, handler in wired.hls.routes()
            ]
        if self._options.webrtc.enabled:
            routes += [Route(*route) for route in wired.webrtc.open_routes()]
            routes += [
                Route(method, path, guarded(authorize, Protocol.WEBRTC, handler))
                for method, path, handler in wired.webrtc.routes()
            ]
        if self._options.auth.jwks:
            knowing = wired.remote_keys.knowing
            routes = [route._replace(handler=knowing(route.handler)) for route in routes]
        return routes

    def _record_routes(self) -> list[Route]:
        wired = self._wired
        directory, desk = Path(self._options.store.directory), Desk()
        guard = wired.gate.permissions
        name_of, people_url = wired.accounts.name, self._options.audit.url
        records = Records(directory, guard, wired.lineup.camera, wired.log.append, desk, name_of, people_url)
        own = OwnRecord(directory, guard, wired.keeper, desk, name_of, people_url)
        numbers = UsageNumbers(directory, guard, wired.lineup.camera, desk)
        return [*records.routes(), *own.routes(), *numbers.routes(), *wired.keeper.routes()]

    async def _listen(
        self,
        app: web.Application,
        address: str,
        make_runner: Callable[..., web.AppRunner] = web.AppRunner,
        tls: ssl.SSLContext | None = None,
    ) -> web.AppRunner:
        runner = await listen(app, address, make_runner, tls)
        self._runners.append(runner)
        return runner

    async def _ready(self, _: web.Request) -> web.Response:
        if not self._is_ready:
            raise NotReady("starting or stopping")
        self._wired.feed.check()
        return web.Response(text="ready\n")


async def _healthy(_: web.Request) -> web.Response:
    return web.Response(text="alive\n")


async def _metrics(_: web.Request) -> web.Response:
    page = []
    for text in metrics.render():
        page.append(text)
        # A hundred cameras make thousands of lines: media goes first.
        await asyncio.sleep(0)
    return web.Response(body=b"".join(page), headers={"Content-Type": "text/plain; version=0.0.4"})
