"""Builds every object of the relay process once, wires the rooms, starts them, stops them in reverse.

No room knows another: what one needs of the other is a callable that is passed here.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import ssl
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from aiohttp import web

from camrelay import config, loop_lag, metrics
from camrelay.account_store import AccountStore
from camrelay.accounts import Accounts
from camrelay.administration import Administration
from camrelay.api import Api
from camrelay.api_key_store import ApiKeyStore
from camrelay.api_keys import ApiKeyDesk
from camrelay.audit.log import AccessLog
from camrelay.audit.sink import parse_address
from camrelay.audit.sinks import Sinks
from camrelay.auth.api_key import ApiKeys
from camrelay.auth.callback import Callback
from camrelay.auth.client import parse_networks
from camrelay.auth.cookie import Cookies
from camrelay.auth.gate import Gate
from camrelay.auth.keys import KeyRing
from camrelay.auth.lease import Handle, HandleKind
from camrelay.auth.password import Passwords
from camrelay.auth.remote_keys import RemoteKeys
from camrelay.auth.revocation import RevocationFile
from camrelay.auth.share import Book
from camrelay.auth.websession import WebSessions
from camrelay.camera_store import CameraStore
from camrelay.database import Database
from camrelay.errors import NotReady
from camrelay.fanout.hls.express import ExpressRunner
from camrelay.fanout.hls.handler import HlsServer
from camrelay.fanout.hub import Hub
from camrelay.fanout.webrtc.server import WebrtcServer
from camrelay.find import Finder
from camrelay.ingest.budget import Budget
from camrelay.ingest.decoder import Decoder
from camrelay.ingest.egress import EgressPolicy
from camrelay.ingest.fleet import Fleet
from camrelay.ingest.key_frames import KeyFrames
from camrelay.ingest.scout import Scout
from camrelay.keeping import Keeper
from camrelay.lineup import Channel, Lineup
from camrelay.mailing import Mailing
from camrelay.model import Action, EndReason, Protocol, Viewer
from camrelay.news_store import NewsStore
from camrelay.openapi import described
from camrelay.own_record import OwnRecord
from camrelay.pages import Pages
from camrelay.places import DATABASE, KEYS, REVOCATIONS, STORE_KEY
from camrelay.records import Desk, Records
from camrelay.refusal_store import RefusalStore
from camrelay.rights import Rights
from camrelay.rights_feed import RightsFeed
from camrelay.room import Room
from camrelay.sealing import Seal, load_key
from camrelay.server import Route, build, guarded, listen, port_of
from camrelay.share_store import ShareStore
from camrelay.sharing import Sharing
from camrelay.snapshots import Snapshots
from camrelay.tls import Certificate, redirecting
from camrelay.usage import UsageNumbers

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
        directory = Path(options.store.directory)
        self._options = options
        self._runners: list[web.AppRunner] = []
        self._lag: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._is_ready = False
        self.http_port = 0
        self._log = AccessLog(directory, options.audit)
        self._sinks = Sinks(
            directory,
            [parse_address(each) for each in options.audit.sinks],
            self._log.durable,
            EgressPolicy(options.egress).check,
            lambda: time.time_ns() // 1000,
        )
        self._remote_keys = RemoteKeys(
            options.auth.jwks, lambda kid: self._gate.cut(Handle(HandleKind.KEY, kid))
        )
        self._keys = KeyRing(directory / KEYS, options.auth.key, self._remote_keys.believed)
        self._book, self._api_keys = Book(), ApiKeys()
        self._gate = Gate(
            options.auth,
            self._keys,
            RevocationFile(directory / REVOCATIONS),
            lambda camera: self._lineup.camera(camera),
            self._log.append,
            book=self._book,
            api_keys=self._api_keys,
            callback=Callback(options.callback),
            publish=lambda revocation: self._news.publish(revocation),
            is_fed=lambda: self._feed.is_fed,
            trusted_proxies=options.server.trusted_proxies,
            hls_idle_timeout_s=options.hls.idle_timeout_s,
        )
        self._keeper = Keeper(
            directory,
            options.audit,
            self._gate.permissions,
            self._log.append,
            self._gate.revoke,
            self._forget_account,
        )
        self._hls = HlsServer(options.hls, directory)
        self._webrtc = WebrtcServer(options.webrtc)
        self._database = Database(options.store.url or f"sqlite+aiosqlite:///{directory / DATABASE}")
        self._news = NewsStore(self._database)
        self._feed = RightsFeed(
            options.auth,
            self._database,
            self._news,
            learn=self._gate.learn,
            reload=self._reload_rights,
            end_private=self._gate.cut_private,
        )
        self._seal = Seal(load_key(directory / STORE_KEY))
        self._budget = Budget(RefusalStore(self._database), self._seal)
        self._fleet = Fleet(options.ingest, options.egress, budget=self._budget)
        cameras = CameraStore(self._database, self._seal)
        self._lineup = Lineup(
            options,
            cameras,
            attach=self._attach,
            detach=self._detach,
            changed=lambda camera: self._sharing.camera_changed(camera),
            removed=self._camera_removed,
        )
        self._accounts = AccountStore(self._database, self._seal)
        self._passwords = Passwords()
        self._certificate = None
        if options.server.tls_certificate:
            files = Path(options.server.tls_certificate), Path(options.server.tls_key)
            self._certificate = Certificate(*files)
        self._web_sessions = WebSessions(
            self._accounts, lambda id: self._gate.revoke(Handle(HandleKind.WEB_SESSION, id))
        )
        self._api_key_store, self._shares = ApiKeyStore(self._database), ShareStore(self._database)
        self._api_key_desk = ApiKeyDesk(self._api_key_store, self._api_keys, self._gate)
        self._sharing = Sharing(
            self._shares,
            self._book,
            self._lineup,
            self._accounts,
            self._passwords,
            self._gate,
            self._keys,
            options.auth,
        )
        self._pages = Pages(
            registration=options.accounts.registration, mail=options.mail.enabled, origins=self._book.origins
        )
        self._mailing = Mailing(
            options, self._database, self._seal, self._accounts, self._sharing, self._pages.letter_words
        )
        self._room = Room(
            lambda: (channel.camera for channel in self._lineup.channels.values()),
            self._accounts.tier_of,
            self._gate.viewers,
        )
        self._decoder = Decoder()
        self._scout = Scout(
            options.egress, may_send_password=options.ingest.onvif_plain_passwords, budget=self._budget
        )

        self._key_frames = KeyFrames(self._scout.synchronize)

    async def start(self) -> None:
        """Starts everything; when it returns, viewers are served.

        Raises:
            ConfigError: a listener's address cannot be had.
            AuditUnavailable: no record can be written where the configuration says.
        """
        options = self._options
        try:
            await self._log.start()
            await self._keeper.start()
            await self._sinks.start()
            self._lag = asyncio.create_task(loop_lag.watch())
            await self._gate.start()
            self._remote_keys.start()
            if options.webrtc.enabled:
                await self._webrtc.start()
            await self._fleet.start()
            await self._database.open()
            await self._budget.open()
            await self._sharing.open()
            await self._api_key_desk.open()
            await self._lineup.open()
            await self._feed.start()
            everybody = await self._accounts.accounts()
            await self._keeper.forget_again((each.id, each.created_us) for each in everybody)
            self._web_sessions.start()
            self._mailing.start()
            express = partial(ExpressRunner, find_viewer=self._gate.running, find_answer=self._hls.find)
            tls = self._certificate.context if self._certificate else None
            viewers = await self._listen(build(self._routes()), options.server.listen, express, tls)
            self.http_port = port_of(viewers)
            if self._certificate is not None:
                self._refreshing = asyncio.create_task(self._certificate.keep_fresh())
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
        logger.info("serving %d cameras on port %d", len(self._lineup.channels), self.http_port)

    async def stop(self) -> None:
        """Ends every viewing with a record and lets go of everything, within STOP_LIMIT_S."""
        self._is_ready = False
        try:
            async with asyncio.timeout(STOP_LIMIT_S - 0.5):
                await self._keeper.stop()
                await self._sinks.stop()
                await self._remote_keys.close()
                await self._feed.close()
                await self._gate.close(EndReason.SERVER_STOP)
                await self._webrtc.stop()
                for runner in self._runners:
                    await runner.cleanup()
                await self._key_frames.stop()
                await self._fleet.stop()
                await self._hls.close()
                await self._decoder.stop()
        except TimeoutError:
            logger.warning("the stop took too long, leaving the rest to the system")
        if self._lag is not None:
            self._lag.cancel()
        if self._refreshing is not None:
            self._refreshing.cancel()
        self._web_sessions.stop()
        await self._mailing.stop()
        self._passwords.close()
        await self._log.stop()
        await self._database.close()

    def _attach(self, channel: Channel) -> None:
        for stream, hub in channel.streams:
            hub.want_key_frame = partial(self._key_frames.want, stream)
            if self._options.hls.enabled:
                self._hls.attach(hub, is_public=stream.visibility == "public")
            if self._options.webrtc.enabled:
                self._webrtc.attach(hub)
            self._fleet.add(
                stream, publish=hub.publish, status=hub.set_status, publish_sound=hub.publish_sound
            )

    async def _detach(self, channel: Channel) -> None:
        self._gate.cut(Handle(HandleKind.CAMERA, channel.camera.id), EndReason.CAMERA_REMOVED)
        await asyncio.gather(*(self._fleet.remove(stream.id) for stream, _ in channel.streams))
        self._key_frames.forget(channel.camera.id)
        if self._options.hls.enabled:
            self._hls.detach(channel.hub.camera)
        if self._options.webrtc.enabled:
            self._webrtc.detach(channel.hub.camera)

    def _routes(self) -> list[Route]:
        api = Api(
            lineup=self._lineup,
            may_watch=self._gate.permissions.may_watch,
            open_session=self._gate.open_session,
            manages=self._gate.permissions.manages,
            adder=self._gate.permissions.adder,
            tier=self._accounts.tier_of,
            viewers=self._gate.viewers,
        )
        accounts = Accounts(
            self._options.accounts,
            self._accounts,
            self._passwords,
            self._web_sessions,
            Cookies(parse_networks(self._options.server.trusted_proxies)),
            client=self._gate.client,
            revoke=self._gate.revoke,
        )
        administration = Administration(
            self._accounts,
            self._passwords,
            self._web_sessions,
            check_manager=self._gate.permissions.check_manager,
            revoke=self._gate.revoke,
            erase=self._keeper.erase,
            write_to=self._mailing.invitations.write_to,
        )
        finder = Finder(
            self._lineup,
            self._scout,
            self._decoder,
            check_adder=self._gate.permissions.adder,
            manages=self._gate.permissions.manages,
        )
        snapshots = Snapshots(self._decoder, self._hub)
        routes = [
            Route("GET", "/healthz", _healthy),
            Route("GET", "/readyz", self._ready),
            *api.routes(),
            *accounts.routes(),
            *administration.routes(),
            *finder.routes(),
            *self._sharing.routes(),
            *self._mailing.invitations.routes(),
            *self._api_key_desk.routes(),
            *Rights(self._gate, self._keys, self._options.auth).routes(),
            *self._record_routes(),
            *(Route(*route) for route in self._pages.routes()),
        ]
        routes.append(described(routes))
        authorize = self._authorize
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
                for method, path, handler in self._hls.routes()
            ]
        if self._options.webrtc.enabled:
            routes += [Route(*route) for route in self._webrtc.open_routes()]
            routes += [
                Route(method, path, guarded(authorize, Protocol.WEBRTC, handler))
                for method, path, handler in self._webrtc.routes()
            ]
        if self._options.auth.jwks:
            knowing = self._remote_keys.knowing
            routes = [route._replace(handler=knowing(route.handler)) for route in routes]
        return routes

    async def _camera_removed(self, camera: str) -> None:
        await self._sharing.camera_removed(camera)
        await self._mailing.forget_camera(camera)

    async def _reload_rights(self) -> None:
        """Other relays have changed cameras, shares or API keys."""
        await self._lineup.refresh()
        given = Book()
        await self._shares.read(given)
        for handle in self._book.become(given):
            self._gate.cut(handle)
        self._api_keys.become(await self._api_key_store.keys())

    async def _forget_account(self, subject: str) -> None:
        """Whom the record forgets has no account any more, nor what belongs to it."""
        account = await self._accounts.account(subject)
        if account is None:
            return
        await self._mailing.invitations.forget(account.email)
        await self._lineup.remove_all_of(subject)
        await self._web_sessions.end(subject)
        await self._accounts.remove(subject)
        await self._database.empty_journal()

    def _record_routes(self) -> list[Route]:
        directory, desk = Path(self._options.store.directory), Desk()
        guard = self._gate.permissions
        name_of = self._accounts.name
        records = Records(directory, guard, self._lineup.camera, self._log.append, desk, name_of)
        own = OwnRecord(directory, guard, self._keeper, desk, name_of)
        numbers = UsageNumbers(directory, guard, self._lineup.camera, desk)
        return [*records.routes(), *own.routes(), *numbers.routes(), *self._keeper.routes()]

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

    async def _authorize(self, request: web.Request, protocol: Protocol) -> Viewer:
        action = Action.SNAPSHOT if protocol is Protocol.SNAPSHOT else Action.WATCH
        if self._gate.may_begin(request):
            await self._room.check(self._lineup.camera(request.match_info["camera"]))
        viewer = await self._gate.authorize(request, request.match_info["camera"], protocol, action)
        self._fleet.watch(viewer)
        return viewer

    def _hub(self, camera: str) -> Hub | None:
        channel = self._lineup.channels.get(camera)
        return channel.hub if channel else None

    async def _ready(self, _: web.Request) -> web.Response:
        if not self._is_ready:
            raise NotReady("starting or stopping")
        self._feed.check()
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
