"""What relays on one database tell each other."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Adds the table."""
    op.create_table(
        "rights_news",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("node", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False, index=True),
    )


def downgrade() -> None:
    """Takes it away again: relays hear nothing of each other."""
    op.drop_table("rights_news")
