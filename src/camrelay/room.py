"""Whether an owner's cameras have room for one more viewing: their tier says how many there may be at once.

Asked when a viewing begins, never while it runs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from camrelay.auth.account import Tier
from camrelay.config import Camera
from camrelay.errors import Overloaded


class Room:
    """Counts the viewings of owners.

    Args:
        cameras: every camera there is.
        tier: the limits of an account, None without any.
        viewers: how many viewings of a camera run now.
    """

    def __init__(
        self,
        cameras: Callable[[], Iterable[Camera]],
        tier: Callable[[str], Awaitable[Tier | None]],
        viewers: Callable[[str], int],
    ) -> None:
        self._cameras = cameras
        self._tier = tier
        self._viewers = viewers

    async def check(self, camera: Camera | None) -> None:
        """Passes when a viewing of this camera may begin; the operators' own have no limit.

        Raises:
            Overloaded: every place of its owner is taken.
        """
        if camera is None or not camera.owner:
            return
        tier = await self._tier(camera.owner)
        if tier is None:
            return
        running = sum(self._viewers(each.id) for each in self._cameras() if each.owner == camera.owner)
        if running >= tier.max_viewers:
            raise Overloaded("all places of this camera's owner are taken", retry_after_s=10)
