"""Whether a camera's sound is relayed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Adds the column; the cameras that are there are heard."""
    op.add_column("cameras", sa.Column("audio", sa.Boolean, nullable=False, server_default=sa.true()))


def downgrade() -> None:
    """Takes it away again."""
    op.drop_column("cameras", "audio")
