"""Everything that has to do with letters, wired: the tables, the handlers, and who sends."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from camrelay import config
from camrelay.account_store import AccountStore
from camrelay.database import Database
from camrelay.invitation_store import InvitationStore
from camrelay.invitations import Invitations, Post, write
from camrelay.mail.letter import Envelope
from camrelay.mail.postman import Postman
from camrelay.mail.transport import transport_of
from camrelay.sealing import Seal
from camrelay.sharing import Sharing


class Mailing:
    """Letters, and what comes of them.

    Args:
        words: the words of letters in a language.

    Attributes:
        invitations: the handlers.
    """

    def __init__(
        self,
        options: config.Config,
        database: Database,
        seal: Seal,
        accounts: AccountStore,
        sharing: Sharing,
        words: Callable[[str], dict[str, str]],
    ) -> None:
        store = InvitationStore(database, seal)
        transport = transport_of(options.mail)
        post = Post(Envelope(options.mail.sender, options.mail.site), words, seal.mark)
        self._postman = None if transport is None else Postman(store, transport, partial(write, post))
        self.invitations = Invitations(
            store,
            accounts,
            sharing,
            options.mail,
            mark=seal.mark,
            wake=None if self._postman is None else self._postman.wake,
            registration=options.accounts.registration != "closed",
            tidy=database.empty_journal,
        )
        self.forget_camera = store.forget_camera

    def start(self) -> None:
        """Begins to send what waits."""
        if self._postman is not None:
            self._postman.start()

    async def stop(self) -> None:
        """Sends no more."""
        if self._postman is not None:
            await self._postman.stop()
