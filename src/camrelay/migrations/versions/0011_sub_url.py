"""Where a camera's smaller stream is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Adds the column; the cameras that are there have one stream."""
    op.add_column("cameras", sa.Column("sub_url", sa.Text, nullable=False, server_default=""))


def downgrade() -> None:
    """Takes it away again: cameras keep their main stream."""
    op.drop_column("cameras", "sub_url")
