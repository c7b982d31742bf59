"""Every object of the relay process, made once, and what one room is told of another.

No room knows another: what one needs of the other is a callable that is passed here.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path

from aiohttp import web

from camrelay import config
from camrelay.account_store import AccountStore
from camrelay.api_key_store import ApiKeyStore
from camrelay.api_keys import ApiKeyDesk
from camrelay.audit.log import AccessLog
from camrelay.audit.sink import parse_address
from camrelay.audit.sinks import Sinks
from camrelay.auth.api_key import ApiKeys
from camrelay.auth.callback import Callback
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
from camrelay.fanout.hls.handler import HlsServer
from camrelay.fanout.hub import Hub
from camrelay.fanout.webrtc.server import WebrtcServer
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
from camrelay.pages import Pages
from camrelay.places import DATABASE, KEYS, REVOCATIONS, STORE_KEY
from camrelay.refusal_store import RefusalStore
from camrelay.rights_feed import RightsFeed
from camrelay.room import Room
from camrelay.sealing import Seal, load_key
from camrelay.share_store import ShareStore
from camrelay.sharing import Sharing
from camrelay.tls import Certificate


class Wiring:
    """What a relay consists of.

    Nothing runs yet; `app.App` starts and stops it.
    """

    def __init__(self, options: config.Config) -> None:
        directory = Path(options.store.directory)
        self.options = options
        self.log = AccessLog(directory, options.audit)
        self.sinks = Sinks(
            directory,
            [parse_address(each) for each in options.audit.sinks],
            self.log.durable,
            EgressPolicy(options.egress).check,
            lambda: time.time_ns() // 1000,
        )
        self.remote_keys = RemoteKeys(
            options.auth.jwks, lambda kid: self.gate.cut(Handle(HandleKind.KEY, kid))
        )
        self.keys = KeyRing(directory / KEYS, options.auth.key, self.remote_keys.believed)
        self.book, self.api_keys = Book(), ApiKeys()
        self.gate = Gate(
            options.auth,
            self.keys,
            RevocationFile(directory / REVOCATIONS),
            lambda camera: self.lineup.camera(camera),
            self.log.append,
            book=self.book,
            api_keys=self.api_keys,
            callback=Callback(options.callback),
            publish=lambda revocation: self.news.publish(revocation),
            is_fed=lambda: self.feed.is_fed,
            trusted_proxies=options.server.trusted_proxies,
            hls_idle_timeout_s=options.hls.idle_timeout_s,
        )
        self.keeper = Keeper(
            directory,
            options.audit,
            self.gate.permissions,
            self.log.append,
            self.gate.revoke,
            self._forget_account,
        )
        self.hls = HlsServer(options.hls, directory)
        self.webrtc = WebrtcServer(options.webrtc)
        self.database = Database(options.store.url or f"sqlite+aiosqlite:///{directory / DATABASE}")
        self.news = NewsStore(self.database)
        self.feed = RightsFeed(
            options.auth,
            self.database,
            self.news,
            learn=self.gate.learn,
            reload=self._reload_rights,
            end_private=self.gate.cut_private,
        )
        self.seal = Seal(load_key(directory / STORE_KEY))
        self.budget = Budget(RefusalStore(self.database), self.seal)
        self.fleet = Fleet(options.ingest, options.egress, budget=self.budget)
        cameras = CameraStore(self.database, self.seal)
        self.lineup = Lineup(
            options,
            cameras,
            attach=self._attach,
            detach=self._detach,
            changed=lambda camera: self.sharing.camera_changed(camera),
            removed=self._camera_removed,
        )
        self.accounts = AccountStore(self.database, self.seal)
        self.passwords = Passwords()
        self.certificate = None
        if options.server.tls_certificate:
            files = Path(options.server.tls_certificate), Path(options.server.tls_key)
            self.certificate = Certificate(*files)
        self.web_sessions = WebSessions(
            self.accounts, lambda id: self.gate.revoke(Handle(HandleKind.WEB_SESSION, id))
        )
        self.api_key_store, self.shares = ApiKeyStore(self.database), ShareStore(self.database)
        self.api_key_desk = ApiKeyDesk(self.api_key_store, self.api_keys, self.gate)
        self.sharing = Sharing(
            self.shares,
            self.book,
            self.lineup,
            self.accounts,
            self.passwords,
            self.gate,
            self.keys,
            options.auth,
        )
        self.pages = Pages(
            registration=options.accounts.registration, mail=options.mail.enabled, origins=self.book.origins
        )
        self.mailing = Mailing(
            options, self.database, self.seal, self.accounts, self.sharing, self.pages.letter_words
        )
        self.room = Room(
            lambda: (channel.camera for channel in self.lineup.channels.values()),
            self.accounts.tier_of,
            self.gate.viewers,
        )
        self.decoder = Decoder()
        self.scout = Scout(
            options.egress, may_send_password=options.ingest.onvif_plain_passwords, budget=self.budget
        )
        self.key_frames = KeyFrames(self.scout.synchronize)

    def _attach(self, channel: Channel) -> None:
        for stream, hub in channel.streams:
            hub.want_key_frame = partial(self.key_frames.want, stream)
            if self.options.hls.enabled:
                self.hls.attach(hub, is_public=stream.visibility == "public")
            if self.options.webrtc.enabled:
                self.webrtc.attach(hub)
            self.fleet.add(
                stream, publish=hub.publish, status=hub.set_status, publish_sound=hub.publish_sound
            )

    async def _detach(self, channel: Channel) -> None:
        self.gate.cut(Handle(HandleKind.CAMERA, channel.camera.id), EndReason.CAMERA_REMOVED)
        await asyncio.gather(*(self.fleet.remove(stream.id) for stream, _ in channel.streams))
        self.key_frames.forget(channel.camera.id)
        if self.options.hls.enabled:
            self.hls.detach(channel.hub.camera)
        if self.options.webrtc.enabled:
            self.webrtc.detach(channel.hub.camera)

    async def _camera_removed(self, camera: str) -> None:
        await self.sharing.camera_removed(camera)
        await self.mailing.forget_camera(camera)

    async def _reload_rights(self) -> None:
        """Other relays have changed cameras, shares or API keys."""
        await self.lineup.refresh()
        given = Book()
        await self.shares.read(given)
        for handle in self.book.become(given):
            self.gate.cut(handle)
        self.api_keys.become(await self.api_key_store.keys())

    async def _forget_account(self, subject: str) -> None:
        """Whom the record forgets has no account any more, nor what belongs to it."""
        account = await self.accounts.account(subject)
        if account is None:
            return
        await self.mailing.invitations.forget(account.email)
        await self.lineup.remove_all_of(subject)
        await self.web_sessions.end(subject)
        await self.accounts.remove(subject)
        await self.database.empty_journal()

    async def authorize(self, request: web.Request, protocol: Protocol) -> Viewer:
        """Lets a viewer in, when there is room and the gate opens; from then on the camera is read for it."""
        action = Action.SNAPSHOT if protocol is Protocol.SNAPSHOT else Action.WATCH
        if self.gate.may_begin(request):
            await self.room.check(self.lineup.camera(request.match_info["camera"]))
        viewer = await self.gate.authorize(request, request.match_info["camera"], protocol, action)
        self.fleet.watch(viewer)
        return viewer

    def hub(self, camera: str) -> Hub | None:
        """The main stream's, None of a camera that is not there."""
        channel = self.lineup.channels.get(camera)
        return channel.hub if channel else None
