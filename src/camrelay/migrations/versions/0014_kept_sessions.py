"""Browsers that stay signed in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Adds the column; sessions from before end as they would have."""
    op.add_column("web_sessions", sa.Column("is_kept", sa.Boolean, nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """Takes it away again; kept sessions end after half an hour without a request, as the others."""
    op.drop_column("web_sessions", "is_kept")
