"""The history of the tables, one script a version; Alembic runs `env.py`."""
