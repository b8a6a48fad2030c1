"""Accounts, tokens, stored processes, jobs and services."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "users",
        sa.Column("id", sa.String(200), primary_key=True),
        sa.Column("name", sa.String(500), nullable=False),
        sa.Column("provider", sa.String(100), nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.Column("spent", sa.Float, nullable=False),
        sa.Column("budget", sa.Float),
    )
    op.create_table(
        "tokens",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("user_id", sa.String(200), sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("expires", _TIME, nullable=False),
    )
    op.create_index("ix_tokens_user_id", "tokens", ["user_id"])
    op.create_index("ix_tokens_expires", "tokens", ["expires"])
    op.create_table(
        "processes",
        sa.Column("user_id", sa.String(200), sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("id", sa.String(200), primary_key=True),
        sa.Column("document", sa.JSON, nullable=False),
        sa.Column("public", sa.Boolean, nullable=False),
        sa.Column("updated", _TIME, nullable=False),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("user_id", sa.String(200), sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("title", sa.Text),
        sa.Column("description", sa.Text),
        sa.Column("process", sa.JSON, nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("plan", sa.String(100)),
        sa.Column("budget", sa.Float),
        sa.Column("log_level", sa.String(10), nullable=False),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("progress", sa.Float, nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.Column("updated", _TIME, nullable=False),
        sa.Column("queued", _TIME),
        sa.Column("started", _TIME),
        sa.Column("ended", _TIME),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("owner", sa.String(60)),
        sa.Column("lease_until", _TIME),
        sa.Column("cancel", sa.Boolean, nullable=False),
        sa.Column("error", sa.JSON),
        sa.Column("usage", sa.JSON),
        sa.Column("estimate", sa.JSON),
        sa.Column("costs", sa.Float),
        sa.Column("result", sa.JSON),
        sa.Column("result_bytes", sa.BigInteger),
    )
    op.create_table(
        "services",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("user_id", sa.String(200), sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("title", sa.Text),
        sa.Column("description", sa.Text),
        sa.Column("type", sa.String(20), nullable=False),
        sa.Column("process", sa.JSON, nullable=False),
        sa.Column("configuration", sa.JSON, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("plan", sa.String(100)),
        sa.Column("budget", sa.Float),
        sa.Column("created", _TIME, nullable=False),
        sa.Column("changed", sa.Integer, nullable=False),
    )
    op.create_index("ix_services_user_id", "services", ["user_id"])
    op.create_index("jobs_of_user", "jobs", ["user_id", "created", "id"])
    op.create_index("jobs_waiting", "jobs", ["status", "queued"])


def downgrade() -> None:
    """Back to nothing."""
    for table in ("services", "jobs", "processes", "tokens", "users"):
        op.drop_table(table)
