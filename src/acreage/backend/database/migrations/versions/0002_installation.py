"""Which installation a database belongs to; when results of a job were deleted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    op.create_table("installation", sa.Column("id", sa.String(40), primary_key=True))
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("results_deleted", sa.DateTime(timezone=True)))
        jobs.create_index("jobs_ended", ["status", "ended"])


def downgrade() -> None:
    """Back to 0001."""
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_index("jobs_ended")
        jobs.drop_column("results_deleted")
    op.drop_table("installation")
