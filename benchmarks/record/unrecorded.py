"""camrelay without an access record, to tell what the record costs: nothing else can turn it off.

python -m benchmarks.record.unrecorded serve --config FILE
"""

from __future__ import annotations

import asyncio

from camrelay import app
from camrelay.audit.log import AccessLog
from camrelay.cli import main
from camrelay.model import AccessEvent


class NoLog(AccessLog):
    """Takes every event for durable, and forgets it."""

    async def start(self) -> None:
        """Nothing is opened."""

    async def stop(self) -> None:
        """Nothing is closed."""

    def append(self, event: AccessEvent) -> asyncio.Future[None]:
        """Done at once."""
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


if __name__ == "__main__":
    vars(app)["AccessLog"] = NoLog
    main()
