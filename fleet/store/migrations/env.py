"""Run by Alembic: applies migrations on the connection that `fleet.store.migrations.upgrade` hands over."""

from __future__ import annotations

from alembic import context

from fleet.store import schema

context.configure(
    connection=context.config.attributes["connection"], target_metadata=schema.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
