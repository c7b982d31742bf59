"""How the record is configured that is measured."""

from __future__ import annotations

import os

from camrelay.config import Audit

#: The PostgreSQL that has the people, as in `audit.url`. A command line, which has a password in it, would
#: stand in the result.
PEOPLE_URL = os.environ.get("CAMRELAY_PEOPLE_URL", "")


def audit(commit_timeout_s: float = Audit().commit_timeout_s) -> Audit:
    """The options, with people where they are wanted."""
    return Audit(commit_timeout_s=commit_timeout_s, url=PEOPLE_URL)
