"""The migrations make the tables that the program works with."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from server.store.migrate import configuration, migrate
from server.store.schema import REVISION, metadata
from shared import errors


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sa.Connection]:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'plain.db'}")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def definitions(connection: sa.Connection) -> dict[str, str]:
    rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {
        name: " ".join(sql.replace('"', "").replace("(", " ( ").replace(")", " ) ").split())
        for name, sql in rows
        if name != "alembic_version"
    }


def test_upgrading_from_nothing_makes_exactly_the_tables(connection: sa.Connection) -> None:
    migrate(connection)
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    assert compare_metadata(context, metadata) == []
    assert context.get_current_revision() == REVISION

    memory = sa.create_engine("sqlite://")
    with memory.connect() as plain:
        metadata.create_all(plain)
        wanted, made = definitions(plain), definitions(connection)
    memory.dispose()
    assert made.keys() == wanted.keys()
    for name, definition in wanted.items():
        assert sorted(definition.replace(",", " ").split()) == sorted(made[name].replace(",", " ").split())


def test_there_is_one_line_of_versions_and_this_program_is_at_its_end(connection: sa.Connection) -> None:
    scripts = ScriptDirectory.from_config(configuration(connection))
    assert scripts.get_heads() == [REVISION]
    assert len(scripts.get_bases()) == 1


def test_upgrading_twice_changes_nothing(connection: sa.Connection) -> None:
    migrate(connection)
    before = definitions(connection)
    migrate(connection)
    assert definitions(connection) == before


def test_newer_tables_are_left_alone(connection: sa.Connection) -> None:
    migrate(connection)
    connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(errors.StoreUnavailable, match="newer"):
        migrate(connection)


def test_every_table_has_a_key_and_every_closed_set_a_constraint() -> None:
    for table in metadata.sorted_tables:
        assert table.primary_key.columns, table.name
        checked = {
            str(check.name).rsplit("_", 1)[-1]
            for check in table.constraints
            if isinstance(check, sa.CheckConstraint)
        }
        closed = {column.name.rsplit("_", 1)[-1] for column in table.columns if hasattr(column.type, "kind")}
        assert closed <= checked, table.name


def test_serving_does_not_load_alembic() -> None:
    program = "import sys, server.store.database; print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
