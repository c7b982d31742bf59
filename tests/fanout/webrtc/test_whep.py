"""WHEP to the letter: W1 to W8 of the conformance list, over HTTP."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import NamedTuple

import aiohttp
import msgspec
import pytest
from multidict import CIMultiDictProxy

from builders import H265_PARAMS
from camrelay import config, metrics
from camrelay.errors import ConfigError
from camrelay.fanout.hub import Hub
from camrelay.fanout.webrtc import peer as peer_module
from camrelay.fanout.webrtc import server as server_module
from camrelay.fanout.webrtc.sdp import MAX_OFFER_BYTES
from camrelay.fanout.webrtc.whep import MAX_PATCHES, Whep
from camrelay.model import CameraState, CameraStatus, Codec, EndReason, Rendition, Viewer
from camrelay.simulate.options import Picture
from stage import CAMERA, LIVE, Stage
from whep_client import WhepClient, offer

PICTURE = Picture(width=320, height=180, bitrate_bps=300_000, gop_pictures=25)

URL = f"/whep/{CAMERA}"

SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}

TURN = "turn:user:secret@turn.example:3478?transport=udp"


class Answer(NamedTuple):
    """A response that has been read."""

    status: int
    headers: CIMultiDictProxy[str]
    text: str

    @property
    def code(self) -> str:
        """Of a problem+json body."""
        assert self.headers["Content-Type"] == "application/problem+json"
        return str(msgspec.json.decode(self.text)["code"])


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Stage(PICTURE, listen="127.0.0.1:0", ice_servers=("stun:stun.example", TURN)) as running:
        yield running


@pytest.fixture
async def http(stage: Stage) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(stage.url) as session:
        yield session


async def ask(http: aiohttp.ClientSession, method: str, url: str, body: str = "", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with http.request(method, url, data=body or None, headers=named) as response:
        return Answer(response.status, response.headers, await response.text())


async def post(
    http: aiohttp.ClientSession, body: str | None = None, query: str = "", **headers: str
) -> Answer:
    headers = {"Content_Type": "application/sdp", **headers}
    return await ask(http, "POST", URL + query, offer() if body is None else body, **headers)


def fallbacks() -> float:
    return metrics.webrtc_profile_fallbacks.labels(CAMERA)._value.get()  # type: ignore[no-any-return]


class TestPost:
    async def test_an_offer_is_answered_with_a_resource(self, http: aiohttp.ClientSession) -> None:
        """W1: 201, the answer with all candidates, an address that cannot be guessed, an entity tag."""
        first, second = await post(http), await post(http)

        assert first.status == 201
        assert first.headers["Content-Type"].startswith("application/sdp")
        assert "a=sendonly" in first.text
        assert "a=candidate:" in first.text
        assert "a=end-of-candidates" in first.text
        assert first.headers["Location"].startswith(f"{URL}/")
        assert len(first.headers["Location"]) > len(URL) + 20
        assert first.headers["Location"] != second.headers["Location"]
        tag = first.headers["ETag"]
        assert tag.startswith('"')
        assert tag.endswith('"')

    async def test_ice_servers_are_named(self, http: aiohttp.ClientSession) -> None:
        """W7: in Link headers, credentials as parameters."""
        answer = await post(http)

        assert answer.headers.getall("Link") == [
            '<stun:stun.example>; rel="ice-server"',
            '<turn:turn.example:3478?transport=udp>; rel="ice-server"; username="user"; credential="secret"; '
            'credential-type="password"',
        ]

    async def test_a_media_session_has_the_same_handler(self, http: aiohttp.ClientSession) -> None:
        """The path with the secret leads to the same resources."""
        answer = await ask(http, "POST", f"/m/secret/{CAMERA}/whep", offer(), Content_Type="application/sdp")

        assert answer.status == 201
        assert answer.headers["Location"].startswith(f"{URL}/")
        assert "secret" not in answer.headers["Location"]

    @pytest.mark.parametrize(
        ("body", "content_type", "status"),
        [
            ("v=0", "text/plain", 400),
            ("nonsense", "application/sdp", 422),
            ("x" * (MAX_OFFER_BYTES + 1), "application/sdp", 413),
            (offer() + "m=a 1 B c\r\n" * 2, "application/sdp", 400),
            (offer().replace("H264", "VP8"), "application/sdp", 422),
        ],
    )
    async def test_what_is_no_offer_ends_the_viewing(
        self, stage: Stage, http: aiohttp.ClientSession, body: str, content_type: str, status: int
    ) -> None:
        """W1, W2: a 4xx that is not 406, as problem+json, and the viewing that the gate began is over."""
        answer = await post(http, body, Content_Type=content_type)

        assert answer.status == status
        assert answer.code
        assert stage.viewers[0].end_reason == EndReason.NOT_STARTED
        assert stage.server._peers == {}

    async def test_a_length_that_is_too_long_is_not_read(self, http: aiohttp.ClientSession) -> None:
        """Also when it comes without a length."""
        assert (await post(http, "x" * 1_000_000)).status == 413

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield bytes(10_000)

        async with http.post(URL, data=endless(), headers=SDP) as response:
            assert response.status == 413

    async def test_a_camera_without_a_picture_is_a_conflict(
        self, stage: Stage, http: aiohttp.ClientSession
    ) -> None:
        """W3: 409 with Retry-After, whatever the reason: unknown to this output, off, or never seen."""
        stage.viewers.clear()
        unknown = await ask(http, "POST", "/whep/other", offer(), **{"Content_Type": "application/sdp"})
        stage.hub.status = None
        early = await post(http)
        stage.hub.params = None
        earlier = await post(http)

        for answer in (unknown, early, earlier):
            assert answer.status == 409
            assert int(answer.headers["Retry-After"]) > 0
            assert answer.code == "camera_not_live"

    async def test_h265_is_for_those_who_offer_it(self, stage: Stage, http: aiohttp.ClientSession) -> None:
        """With the camera's profile, whatever else the browser knows."""
        stage.is_playing = False
        stage.hub.params = H265_PARAMS
        h265 = "a=rtpmap:49 H265/90000\r\na=fmtp:49 level-id=93;profile-id={};tier-flag=0;tx-mode=SRST\r\n"
        first = offer().replace("SAVPF 102", "SAVPF 49 102", 1)
        assert "H264/90000" in first

        answer = await post(http, first + h265.format(1))
        assert answer.status == 201
        assert "a=rtpmap:49 H265/90000" in answer.text
        assert "a=fmtp:49 profile-id=1;tier-flag=0;level-id=93;tx-mode=SRST" in answer.text

        assert (await post(http, first + h265.format(2))).status == 422

    async def test_a_stream_is_chosen_by_its_name(self, stage: Stage, http: aiohttp.ClientSession) -> None:
        """Without a name it is the main one; 404 for one that the camera has not, or that nobody has."""
        smaller = Hub(CAMERA, config.Ring(), Rendition.SUB)
        assert (await post(http, query="?rendition=sub")).status == 404
        stage.server.attach(smaller)
        smaller.set_status(LIVE)
        for unit in stage.units:
            smaller.publish(unit)

        answers = [await post(http, query=query) for query in ("", "?rendition=main", "?rendition=sub")]
        assert [answer.status for answer in answers] == [201, 201, 201]
        assert (await post(http, query="?rendition=huge")).status == 404
        casters = [peer._caster for peer in stage.server._peers.values()]
        assert casters[0] is casters[1] is not casters[2]

        stage.server.detach(CAMERA)
        assert stage.server._peers == {}
        stage.server.attach(stage.hub)

    async def test_a_camera_on_its_way_is_waited_for(self, stage: Stage, http: aiohttp.ClientSession) -> None:
        """An on-demand camera connects because of this request; a viewing that ends meanwhile is over."""
        stage.hub.set_status(CameraStatus(CameraState.STANDBY, 0))
        stage.asked.clear()
        early = asyncio.create_task(post(http))
        await stage.asked.wait()
        stage.hub.set_status(CameraStatus(CameraState.CONNECTING, 0))
        withdrawn = asyncio.create_task(post(http))
        while len(stage.viewers) < 2:  # noqa: ASYNC110 - there is no event for the second
            await asyncio.sleep(0.001)
        stage.viewers[1].end(EndReason.REVOKED)
        assert not early.done()

        stage.hub.set_status(LIVE)

        assert (await early).status == 201
        assert (await withdrawn).status != 201
        assert len(stage.server._peers) == 1

    async def test_a_full_server_says_when_to_come_back(self, http: aiohttp.ClientSession) -> None:
        """W3: 503 with Retry-After."""
        async with Stage(PICTURE, listen="127.0.0.1:0", max_viewers=1) as small:
            answers = [
                await ask(http, "POST", small.url + URL, offer(), Content_Type="application/sdp")
                for _ in (1, 2)
            ]

        assert [answer.status for answer in answers] == [201, 503]
        answer = answers[1]
        assert answer.code == "overloaded"
        assert "Retry-After" in answer.headers

    async def test_offers_that_come_to_nothing_are_limited(
        self, stage: Stage, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """429 with Retry-After while too many have not shaken hands; who has does not count."""
        monkeypatch.setattr(server_module, "MAX_JOINING", 2)
        client = WhepClient()
        await client.join(http, URL)

        answers = [await post(http) for _ in range(3)]

        assert [answer.status for answer in answers] == [201, 201, 429]
        assert answers[2].code == "too_many_requests"
        assert "Retry-After" in answers[2].headers
        await ask(http, "DELETE", answers[0].headers["Location"])
        assert (await post(http)).status == 201
        client.close()

    @pytest.mark.parametrize(
        ("change", "word"),
        [({"reorder_depth": 2}, "B-frames"), ({"codec": Codec.H265, "config": H265_PARAMS.config}, "H.265")],
    )
    async def test_what_browsers_cannot_play_is_said(
        self, stage: Stage, http: aiohttp.ClientSession, change: dict[str, object], word: str
    ) -> None:
        """422 with the reason in words; HLS goes on."""
        stage.is_playing = False
        stage.hub.params = msgspec.structs.replace(stage.units[0].params, **change)

        answer = await post(http)

        assert answer.status == 422
        assert word in answer.text

    async def test_a_client_that_goes_away_meanwhile(self, stage: Stage, http: aiohttp.ClientSession) -> None:
        """Its viewing ends with it."""

        async def stalled() -> AsyncIterator[bytes]:
            yield b"v=0\r\n"
            await stage.asked.wait()
            raise ConnectionError

        with pytest.raises(aiohttp.ClientError):
            await http.post(URL, data=stalled(), headers=SDP)

        assert await ended(stage.viewers[0]) == EndReason.CLIENT_GONE


class TestResource:
    async def test_delete_ends_the_viewing(self, stage: Stage, http: aiohttp.ClientSession) -> None:
        """W4: 200, and the resource is gone."""
        location = (await post(http)).headers["Location"]

        assert (await ask(http, "DELETE", location, If_Match='"other"')).status == 200
        assert stage.viewers[0].end_reason == EndReason.CLIENT_CLOSED
        assert (await ask(http, "DELETE", location)).status == 404

    @pytest.mark.parametrize("method", ["PATCH", "DELETE", "GET", "HEAD"])
    async def test_a_wrong_name_is_not_found(self, http: aiohttp.ClientSession, method: str) -> None:
        """Case 24: the name is the key; another camera's path does not open it either."""
        location = (await post(http)).headers["Location"]

        for wrong in (location + "x", location.replace(CAMERA, "other"), f"{URL}/"):
            assert (await ask(http, method, wrong, Content_Type=FRAGMENT["Content-Type"])).status == 404

    @pytest.mark.parametrize("form", ["{}", "*", '"other", {}'])
    async def test_a_trickled_candidate_is_taken(self, http: aiohttp.ClientSession, form: str) -> None:
        """W5: 204 without an entity tag; the candidate is not dialled by anybody."""
        made = await post(http)
        fragment = "a=ice-ufrag:theirs\r\nm=video 9 X 0\r\na=candidate:1 1 udp 1 127.0.0.1 1 typ host\r\n"

        answer = await patch(http, made, fragment, If_Match=form.format(made.headers["ETag"]))

        assert answer.status == 204
        assert "ETag" not in answer.headers

    async def test_a_restart_is_refused_and_changes_nothing(
        self, stage: Stage, http: aiohttp.ClientSession
    ) -> None:
        """W5: 422; the session goes on."""
        made = await post(http)

        answer = await patch(http, made, "a=ice-ufrag:another\r\n", If_Match=made.headers["ETag"])

        assert answer.status == 422
        assert "restart" in answer.text
        assert stage.viewers[0].end_reason is None

    async def test_the_ice_session_must_be_named(self, http: aiohttp.ClientSession) -> None:
        """W5: 428 without If-Match, 412 with another one's tag."""
        made = await post(http)

        assert (await patch(http, made, "a=ice-ufrag:theirs\r\n")).status == 428
        assert (await patch(http, made, "", If_Match='"other"')).status == 412

    async def test_patches_are_limited_for_each_viewing(
        self, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """W8: as many as there are candidates, twice; then 429, until the first of them is long ago."""
        made = await post(http)
        tag = made.headers["ETag"]

        statuses = [(await patch(http, made, "", If_Match=tag)).status for _ in range(MAX_PATCHES)]
        refused = await patch(http, made, "", If_Match=tag)
        monkeypatch.setattr(peer_module, "PATCH_WINDOW_S", 0)
        later = await patch(http, made, "", If_Match=tag)

        assert set(statuses) == {204}
        assert refused.status == 429
        assert refused.headers["Retry-After"] == "60"
        assert later.status == 204

    async def test_a_patch_is_a_fragment(self, http: aiohttp.ClientSession) -> None:
        """Another type is a bad request, a long one too large."""
        made = await post(http)
        tag = made.headers["ETag"]

        assert (await patch(http, made, "v=0", If_Match=tag, Content_Type="text/plain")).status == 400
        assert (await patch(http, made, "x" * (MAX_OFFER_BYTES + 1), If_Match=tag)).status == 413


class TestAsking:
    @pytest.mark.parametrize("where", ["endpoint", "session endpoint", "resource"])
    async def test_get_and_head_say_yes(self, http: aiohttp.ClientSession, where: str) -> None:
        """W4: GET is a success without content, HEAD names the type."""
        url = await path_of(http, where)

        got, head = await ask(http, "GET", url), await ask(http, "HEAD", url)

        assert (got.status, got.text) == (204, "")
        assert head.status == 200
        assert head.headers["Content-Type"].startswith("application/sdp")

    @pytest.mark.parametrize("where", ["endpoint", "session endpoint", "resource"])
    async def test_options_tell_other_origins_what_they_may_do(
        self, http: aiohttp.ClientSession, where: str
    ) -> None:
        """W4, W8: no token is needed to ask."""
        answer = await ask(http, "OPTIONS", await path_of(http, where), Origin="https://example")

        assert answer.status == 204
        assert answer.headers["Accept-Post"] == "application/sdp"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]
        assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]

    async def test_the_answer_can_be_read_from_another_origin(self, http: aiohttp.ClientSession) -> None:
        """A player there needs the Location."""
        answer = await post(http, Origin="https://example")

        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Location" in answer.headers["Access-Control-Expose-Headers"]

    async def test_a_refusal_can_be_read_from_another_origin(self, http: aiohttp.ClientSession) -> None:
        """What is wrong with the offer, and when to come again."""
        refused = await post(http, "nonsense", Origin="https://example")
        unknown = await ask(http, "DELETE", f"{URL}/nobody", Origin="https://example")

        assert (refused.status, unknown.status) == (422, 404)
        for answer in (refused, unknown):
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]

    async def test_a_profile_that_was_not_offered_is_counted(
        self, stage: Stage, http: aiohttp.ClientSession
    ) -> None:
        """The viewer gets the nearest one, and an operator can see how often."""
        assert stage.hub.params is not None
        before = fallbacks()

        for profile, count in ((stage.hub.params.profile_level_id.hex(), 0), ("f4001f", 1)):
            body = re.sub("(?<=profile-level-id=)[0-9a-f]{6}", profile, offer())
            assert (await post(http, body)).status == 201
            assert fallbacks() == before + count


@pytest.mark.parametrize("server", ["http://example", "turn:a b", "stun:", 'turn:u"x:p@h', "turn:u:p@h>"])
def test_an_ice_server_that_is_none_is_refused(server: str) -> None:
    """At the start, and nothing of it is repeated: it may hold a password."""
    with pytest.raises(ConfigError, match="ice_servers has an entry") as caught:
        Whep(lambda *_: None, lambda *_: None, [server])  # type: ignore[arg-type, return-value]
    assert server not in str(caught.value)


async def patch(http: aiohttp.ClientSession, made: Answer, body: str, **headers: str) -> Answer:
    headers = {"Content_Type": FRAGMENT["Content-Type"], **headers}
    return await ask(http, "PATCH", made.headers["Location"], body, **headers)


async def path_of(http: aiohttp.ClientSession, where: str) -> str:
    if where == "resource":
        return (await post(http)).headers["Location"]
    return URL if where == "endpoint" else f"/m/secret/{CAMERA}/whep"


async def ended(viewer: Viewer) -> EndReason:
    """Why the viewing ended, once it has."""
    end: asyncio.Future[EndReason] = asyncio.get_running_loop().create_future()
    viewer.on_end(end.set_result)
    return await asyncio.wait_for(end, 10)
