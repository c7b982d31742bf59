"""The certificate that a camera is known by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Adds the column; the cameras that are there have none pinned."""
    op.add_column("cameras", sa.Column("tls_fingerprint", sa.Text, nullable=False, server_default=""))


def downgrade() -> None:
    """Takes it away again."""
    op.drop_column("cameras", "tls_fingerprint")
