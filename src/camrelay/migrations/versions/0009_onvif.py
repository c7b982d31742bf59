"""Where a camera's ONVIF device is asked for key frames, and of which profile."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Adds the columns; nothing is known of the cameras that are there."""
    op.add_column("cameras", sa.Column("onvif_port", sa.Integer, nullable=False, server_default="80"))
    op.add_column("cameras", sa.Column("onvif_profile", sa.Text, nullable=False, server_default=""))


def downgrade() -> None:
    """Takes them away again."""
    op.drop_column("cameras", "onvif_profile")
    op.drop_column("cameras", "onvif_port")
