"""Invitations by e-mail: letters, what they offer, and addresses that want none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Adds the tables."""
    op.create_table(
        "letters",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("account", sa.String(32), sa.ForeignKey("accounts.id", ondelete="CASCADE"), index=True),
        sa.Column("mark", sa.String(64), index=True),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("ends_us", sa.BigInteger, nullable=False),
        sa.Column("sealed", sa.LargeBinary),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("next_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "offers",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("camera", sa.String(64), nullable=False, index=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("terms", sa.Text, nullable=False),
        sa.Column("ends_us", sa.BigInteger, nullable=False),
    )
    op.create_table("refused_addresses", sa.Column("mark", sa.String(64), primary_key=True))


def downgrade() -> None:
    """Takes them away again; addresses that wanted no letters are forgotten, too."""
    for table in ("refused_addresses", "offers", "letters"):
        op.drop_table(table)
