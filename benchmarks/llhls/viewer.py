"""One simulated HLS viewer: follows the playlist, fetches what is new, keeps the account of a player's
buffer.

Low latency: one connection waits in blocked reloads, another fetches parts, as hls.js does over HTTP/1.1.
Classic: whole segments, reloads as rfc8216bis §6.3.4 paces them. Nothing is decoded. What is fetched first is
independent, and so begins further back than the hold-back; what lies between would be decoded and not shown,
as hls.js seeks to its live position within what it has.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping

from benchmarks.llhls.http1 import Broken, Response
from benchmarks.llhls.playlist import BadPlaylist, Piece, Playlist, parse, start
from benchmarks.llhls.session import Session, check
from camrelay.simulate.clock import UUID, sent_us

#: Playlist texts and media clocks shared by all viewers: the newest few are the ones asked for.
_CACHE_LIMIT = 256


class Shared:
    """What viewers of one camera need not each work out: read playlists, and the clock inside each piece."""

    def __init__(self) -> None:
        self._playlists: OrderedDict[bytes, Playlist] = OrderedDict()
        self._clocks: OrderedDict[str, float] = OrderedDict()

    def playlist(self, response: Response) -> Playlist:
        """The playlist of a response; equal bodies are read once."""
        found = self._playlists.get(response.body)
        if found is None:
            found = parse(response.content().decode())
            self._playlists[response.body] = found
            if len(self._playlists) > _CACHE_LIMIT:
                self._playlists.popitem(last=False)
        return found

    def knows(self, uri: str) -> bool:
        """Whether the clock inside this piece has been read."""
        return uri in self._clocks

    def read_clock(self, uri: str, media: bytes) -> None:
        """Notes when the camera sent the last access unit of a piece."""
        last = media.rfind(UUID)
        stamp = sent_us(media[last - 3 :]) if last >= 3 else None
        self._clocks[uri] = stamp / 1e6 if stamp is not None else 0.0
        if len(self._clocks) > _CACHE_LIMIT:
            self._clocks.popitem(last=False)

    def clock(self, uri: str) -> float:
        """UTC seconds, 0 when the piece carries no clock."""
        return self._clocks.get(uri, 0.0)


class Viewer:
    """A viewer of one camera; `watch` runs until cancelled.

    Times are `time.monotonic()` seconds. `delays_s` has one value per piece: from the camera's sending of its
    last access unit to its last byte here, which is at `arrived_at`. `behind_s` is the picture on screen
    against the camera, at each piece.
    """

    def __init__(
        self,
        shared: Shared,
        url: str,
        *,
        low_latency: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._shared = shared
        self._low_latency = low_latency
        self._session = Session(url, headers)
        self._last = (-1, -1)
        #: When the first piece would have been on screen from its start, 0 until the first picture is.
        self._play_began = 0.0
        self._fetched_s = 0.0
        #: Of what was fetched, what lies before the first picture shown.
        self._skipped_s = 0.0
        self.began_at = self.first_media_at = 0.0
        self.delays_s: list[float] = []
        self.arrived_at: list[float] = []
        self.behind_s: list[float] = []
        self.bytes = self.pieces = self.gaps = 0
        self.stalls = 0
        self.stalled_s = 0.0
        self.failure = ""
        #: Set with the first whole piece, or when it failed.
        self.started = asyncio.Event()

    @property
    def requests(self) -> int:
        """Sent so far."""
        return self._session.requests

    @property
    def last_media_at(self) -> float:
        """The last byte of media, also of a response that was cut; 0 before the first."""
        return self._session.media.body_at

    async def watch(self) -> None:
        """Plays; ends with `failure` set when the server does not let it."""
        self.began_at = time.monotonic()
        try:
            playlist = self._shared.playlist(await self._session.enter())
            if self._low_latency and playlist.can_block and playlist.part_target_s:
                await self._follow_parts(playlist)
            else:
                await self._follow_segments(playlist)
        except (Broken, BadPlaylist) as error:
            self.failure = str(error)
        finally:
            self._session.close()
            self.started.set()

    async def _follow_parts(self, playlist: Playlist) -> None:
        session = self._session
        separator = "&" if "?" in session.playlist_path else "?"
        pieces = self._first(playlist.pieces, playlist.part_hold_back_s)
        while not playlist.is_ended:
            msn, part = playlist.next_part
            # Asked for before the parts are fetched: the reload waits at the server meanwhile.
            path = f"{session.playlist_path}{separator}_HLS_msn={msn}&_HLS_part={part}"
            await session.reloads.open()
            reload = session.send(session.reloads, path)
            for piece in pieces:
                await self._fetch(piece)
            playlist = self._shared.playlist(check(await reload))
            pieces = playlist.after(self._last)

    async def _follow_segments(self, playlist: Playlist) -> None:
        session = self._session
        # Three target durations from the end (rfc8216bis §6.3.3).
        pieces = self._first(playlist.segments, 3 * playlist.target_duration_s)
        while not playlist.is_ended:
            for piece in pieces:
                await self._fetch(piece)
            # §6.3.4: a target duration after a change, half of one after none.
            await asyncio.sleep(playlist.target_duration_s * (1.0 if pieces else 0.5))
            playlist = self._shared.playlist(check(await session.get(session.reloads, session.playlist_path)))
            pieces = tuple(piece for piece in playlist.segments if piece.msn > self._last[0])

    def _first(self, pieces: tuple[Piece, ...], hold_back_s: float) -> tuple[Piece, ...]:
        """What is fetched first; the first picture shown is `hold_back_s` from the end of it."""
        first = pieces[start(pieces, hold_back_s) :]
        self._skipped_s = max(0.0, sum(piece.duration_s for piece in first) - hold_back_s)
        return first

    async def _fetch(self, piece: Piece) -> None:
        self._last = (piece.msn, piece.part)
        if piece.is_gap:
            self.gaps += 1
            return
        session, keep = self._session, not self._shared.knows(piece.uri)
        response = check(await session.get(session.media, session.path(piece.uri), keep=keep))
        if keep:
            self._shared.read_clock(piece.uri, response.body)
        self.bytes += response.body_bytes
        self.pieces += 1
        self._arrived(piece)

    def _arrived(self, piece: Piece) -> None:
        now = time.monotonic()
        if not self.first_media_at:
            self.first_media_at = now
            self.started.set()
        if self._play_began:
            late_s = now - self._play_began - self._fetched_s
            if late_s > 0:
                self.stalls += 1
                self.stalled_s += late_s
                self._play_began += late_s
        elif self._fetched_s + piece.duration_s > self._skipped_s:
            self._play_began = now - self._skipped_s
        self._fetched_s += piece.duration_s
        sent = self._shared.clock(piece.uri)
        if sent:
            delay = time.time() - sent
            self.delays_s.append(delay)
            self.arrived_at.append(now)
            if self._play_began:
                self.behind_s.append(delay + self._fetched_s - (now - self._play_began))
