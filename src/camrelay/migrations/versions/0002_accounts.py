"""Tenants, tiers, accounts, what people sign in with, their web sessions; cameras get an owner."""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Adds the tables, and the tenant that everything belonged to so far."""
    tenants = op.create_table(
        "tenants",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("created_us", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(tenants, [{"id": "main", "created_us": time.time_ns() // 1000}])
    op.create_table(
        "tiers",
        sa.Column("tenant", sa.String(64), sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("max_cameras", sa.Integer, nullable=False),
        sa.Column("max_viewers", sa.Integer, nullable=False),
    )
    op.create_table(
        "accounts",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("tenant", sa.String(64), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("tier", sa.String(64)),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("email_index", sa.String(64), nullable=False, unique=True),
        sa.Column("sealed_email", sa.LargeBinary, nullable=False),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["tenant", "tier"], ["tiers.tenant", "tiers.name"]),
    )
    account = sa.ForeignKey("accounts.id", ondelete="CASCADE")
    op.create_table(
        "credentials",
        sa.Column("account", sa.String(32), account, primary_key=True),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("sealed_totp", sa.LargeBinary),
        sa.Column("totp_step", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "web_sessions",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
        sa.Column(
            "account",
            sa.String(32),
            sa.ForeignKey("accounts.id", ondelete="CASCADE"),
            nullable=False,
            index=True,
        ),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("used_us", sa.BigInteger, nullable=False),
        sa.Column("confirmed_us", sa.BigInteger, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("network", sa.Text, nullable=False),
    )
    with op.batch_alter_table("cameras") as cameras:
        cameras.add_column(sa.Column("tenant", sa.String(64), nullable=False, server_default="main"))
        cameras.add_column(sa.Column("owner", sa.String(32)))
        cameras.create_foreign_key("cameras_tenant", "tenants", ["tenant"], ["id"])
        cameras.create_foreign_key("cameras_owner", "accounts", ["owner"], ["id"])
        cameras.create_index("ix_cameras_owner", ["owner"])


def downgrade() -> None:
    """Takes them away again, accounts included."""
    with op.batch_alter_table("cameras") as cameras:
        cameras.drop_index("ix_cameras_owner")
        cameras.drop_constraint("cameras_owner", type_="foreignkey")
        cameras.drop_constraint("cameras_tenant", type_="foreignkey")
        cameras.drop_column("owner")
        cameras.drop_column("tenant")
    for table in ("web_sessions", "credentials", "accounts", "tiers", "tenants"):
        op.drop_table(table)
