"""Looks at a camera or a device before it is registered: what the relay asks of the processes that do it.

The relay resolves and checks every address itself; a process is only ever told addresses that are allowed.
"""

from __future__ import annotations

import msgspec

from camrelay import config
from camrelay.errors import CameraAuthFailed, CameraUnreachable, CredentialsOnHold, WorkerLost
from camrelay.ingest.budget import Budget
from camrelay.ingest.device import Device, Question, bracketed
from camrelay.ingest.discovery import PORT
from camrelay.ingest.egress import CameraUrl, EgressPolicy, parse_camera_url
from camrelay.ingest.errand import Errands
from camrelay.ingest.feed import Start
from camrelay.ingest.report import Report, failed
from camrelay.ingest.resolve import resolve

#: A device with 64 profiles answers 130 calls; one that hangs costs 5 s a call and is given up here.
DESCRIBE_S = 28.0
#: Opening, and listening for two key frames.
PROBE_S = 28.0
#: For a key frame in time, or not at all.
SYNCHRONIZE_S = 10.0


class Access(msgspec.Struct, frozen=True):
    """How to reach an ONVIF device, and who asks. `host` is a name or an IP address."""

    host: str
    port: int = 80
    username: str = ""
    password: str = ""
    is_tls: bool = False

    def __repr__(self) -> str:
        return "Access()"


class Scout:
    """Asks devices and cameras.

    Args:
        may_send_password: whether a device that takes nothing else may be shown the password itself.
        budget: the refusals that accounts have left; shared with those who read cameras.
    """

    def __init__(
        self, egress: config.Egress, *, may_send_password: bool = False, budget: Budget | None = None
    ) -> None:
        self._allow = egress.allow
        self._policy = EgressPolicy(egress)
        self._may_send_password = may_send_password
        self._budget = budget or Budget()
        self._errands = Errands()

    async def address(self, host: str) -> str:
        """The IP address of a device that is to be searched for by itself.

        Raises:
            ConfigError, EgressDenied, CameraUnreachable: it is no host, not allowed, or has no address.
        """
        return (await self._reach(f"rtsp://{bracketed(host)}:{PORT}"))[1]

    async def describe(self, access: Access) -> Device:
        """What an ONVIF device offers.

        Raises:
            ConfigError: the host is no host.
            EgressDenied: the device, or a service it names, is where no camera may be.
            CameraUnreachable, CameraAuthFailed, BadAnswer: it does not answer, or not so.
            CredentialsOnHold: it refused these credentials twice, and is not asked.
            Overloaded, WorkerLost: not its fault.
        """
        answer = await self._ask_device(await self._question(access), DESCRIBE_S)
        return msgspec.json.decode(answer, type=Device)

    async def synchronize(self, access: Access, profile: str) -> None:
        """Asks a profile's encoder for a key frame now, where the device can do that.

        Raises:
            SourceError: as of `describe`.
        """
        question = msgspec.structs.replace(await self._question(access), profile=profile)
        await self._ask_device(question, SYNCHRONIZE_S)

    async def probe(self, camera: config.Camera) -> Report:
        """Plays a camera for some seconds; what is wrong with it stands in the report.

        Raises:
            ConfigError: its URL is none.
            EgressDenied: its address is not allowed.
            Overloaded: too many are being looked at.
        """
        try:
            url, address = await self._reach(camera.url)
            start = Start(
                0, address, url.port, url.authority, url.target, url.tls,
                camera.username, camera.password, camera.transport, camera.tls_fingerprint,
            )  # fmt: skip
            return await self._play(start)
        except CredentialsOnHold as e:
            return msgspec.structs.replace(failed(e.code), retry_at_us=e.retry_at_us)
        except (CameraAuthFailed, CameraUnreachable, WorkerLost) as e:
            return failed(e.code)

    async def _play(self, start: Start) -> Report:
        account = self._budget.account(start.address, start.username, start.password)
        async with self._budget.showing(account):
            answer = await self._errands.run("probe", msgspec.json.encode(start), limit_s=PROBE_S)
            report = msgspec.json.decode(answer, type=Report)
            if report.reason == CameraAuthFailed.code:
                raise CameraAuthFailed("the camera refused the credentials")
        if report.video is not None:
            await self._budget.accepted(account)
        return report

    async def _ask_device(self, question: Question, limit_s: float) -> bytes:
        account = self._budget.account(question.address, question.username, question.password)
        async with self._budget.showing(account):
            answer = await self._errands.run("onvif", msgspec.json.encode(question), limit_s=limit_s)
        await self._budget.accepted(account)
        return answer

    async def _question(self, access: Access) -> Question:
        # The host and port of a device obey the rules of a camera's.
        url, address = await self._reach(f"rtsp://{bracketed(access.host)}:{access.port}")
        return Question(
            address=address,
            port=url.port,
            authority=url.authority,
            username=access.username,
            password=access.password,
            is_tls=access.is_tls,
            may_send_password=self._may_send_password,
            allow=self._allow,
        )

    async def _reach(self, text: str) -> tuple[CameraUrl, str]:
        """A URL, and the address it leads to now, both allowed."""
        url = parse_camera_url(text)
        self._policy.check_url(url)
        address = (await resolve(url.host.strip("[]"), url.port))[0]
        self._policy.check(address, url.port)
        return url, str(address)
