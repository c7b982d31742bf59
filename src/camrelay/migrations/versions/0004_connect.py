"""When a camera is read: always, or on demand."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Adds the column; the cameras that are there are always read."""
    op.add_column("cameras", sa.Column("connect", sa.Text, nullable=False, server_default="always"))


def downgrade() -> None:
    """Takes it away again."""
    op.drop_column("cameras", "connect")
