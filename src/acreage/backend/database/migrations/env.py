"""Runs migrations on the connection that `database.session.migrate` opened."""

from __future__ import annotations

from alembic import context

from acreage.backend.database.tables import Base

# Alembic gives the context its configuration before it runs this file; a mere import finds none.
if getattr(context, "config", None) is not None:
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=Base.metadata,
        render_as_batch=True,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()
