"""One camera's HLS: its streams as variants of one multivariant playlist.

Each stream has a window of its own, and all of them count time on the relay's clock. What else makes them one
presentation, with the numbers of draft-pantos-hls-rfc8216bis-22:

- Every media playlist reports where the others are, for players that change over [4.4.5.4].
- Discontinuities have the same numbers everywhere [6.2.4]. A stream that broke alone is followed by the
  others, each at its next key frame.
- A player reads the multivariant playlist once. Who comes first waits a moment for streams that are on their
  way, and streams that are away are not offered.
"""

from __future__ import annotations

import asyncio

from camrelay import config
from camrelay.errors import NotFound, StreamNotReady
from camrelay.fanout.hls import playlist
from camrelay.fanout.hls.listing import Beside
from camrelay.fanout.hls.response import Content, content
from camrelay.fanout.hls.waiting import Pending
from camrelay.fanout.hls.window import PLAYLIST_NAME, PLAYLIST_TYPE, Window
from camrelay.model import Rendition

#: From the first stream that has something to show to doing without the others: a short GOP of theirs.
_PATIENCE_S = 2.0


class Presentation:
    """The windows of one camera.

    Args:
        options: lengths and limits.
        is_public: whether shared caches may keep what is served.
    """

    def __init__(self, options: config.Hls, *, is_public: bool) -> None:
        self._max_age_s = options.target_duration_s
        self.is_public = is_public
        self._windows: dict[str, Window] = {}

    def put(self, rendition: Rendition, window: Window) -> Window | None:
        """Serves a stream from this window from now on.

        Returns:
            The window before it, if there was one.
        """
        before = self._windows.get(rendition)
        self._windows[rendition] = window
        self.level()
        return before

    def window(self, rendition: str) -> Window:
        """That of a stream.

        Raises:
            NotFound: there is no such stream.
        """
        try:
            return self._windows[rendition]
        except KeyError:
            raise NotFound("no such rendition") from None

    @property
    def windows(self) -> list[Window]:
        """All of them, the main stream's first."""
        return [self._windows[rendition] for rendition in Rendition if rendition in self._windows]

    def beside(self, rendition: Rendition) -> Beside:
        """What the playlist of this stream says because of the others."""
        others = [(name, w) for name, w in self._windows.items() if name != rendition and w.is_listing]
        reports = tuple(window.report(f"../{name}/{PLAYLIST_NAME}") for name, window in others)
        return Beside(reports, max((window.part_target for _, window in others), default=0))

    def unseen_discontinuity(self, rendition: Rendition) -> int | None:
        """The number that another stream begins with and nobody has seen yet, None when there is none."""
        others = (window for other, window in self._windows.items() if other != rendition)
        return next((window.discontinuity for window in others if not window.is_listing), None)

    def level(self) -> int:
        """Lets every stream come up to the highest discontinuity sequence number, which is returned."""
        highest = max(window.discontinuity for window in self._windows.values())
        for window in self._windows.values():
            window.catch_up(highest)
        return highest

    def multivariant(self) -> Content | Pending[Content]:
        """The multivariant playlist, as soon as there is a first part.

        Raises:
            StreamNotReady: the camera is offline.
        """
        coming = [window for window in self.windows if not window.is_away]
        if not coming and not any(window.is_listing for window in self.windows):
            raise StreamNotReady("the camera is not live")
        if all(window.is_listing for window in coming):
            return self._render()
        lead = next((window for window in coming if window.is_listing), coming[0])
        return (
            self._render()
            if self._is_enough(lead)
            else lead.expect(lambda: self._is_enough(lead), self._render)
        )

    def _is_enough(self, lead: Window) -> bool:
        """Whether there is nothing more to wait for; `lead` is the stream that shows something first."""
        if not lead.is_listing:
            return False
        is_complete = all(window.is_listing or window.is_away for window in self._windows.values())
        return is_complete or asyncio.get_running_loop().time() >= lead.listing_since_s + _PATIENCE_S

    def _render(self) -> Content:
        listing = [rendition for rendition in Rendition if rendition in self._windows]
        listing = [rendition for rendition in listing if self._windows[rendition].is_listing]
        live = [rendition for rendition in listing if not self._windows[rendition].is_away]
        variants = tuple(
            self._windows[rendition].variant(f"{rendition}/{PLAYLIST_NAME}") for rendition in live or listing
        )
        age = f"public, max-age={self._max_age_s}" if self.is_public else "private, no-store"
        text = playlist.serialize_multivariant(variants)
        return content(PLAYLIST_TYPE, (text.encode(),), f"Cache-Control: {age}")
