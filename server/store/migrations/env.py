"""Alembic's environment: work on the connection, and in the transaction, that the caller has open."""

from alembic import context

from server.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
