import pytest
import sqlalchemy as sa
import sqlcipher3
from sqlalchemy.dialects.postgresql.base import PGDialect

from server.store.schema import card_carrier
from server.store.statements import DIALECT, DatabaseNow, Prepared, given

POSTGRESQL = PGDialect()  # type: ignore[no-untyped-call]  # SQLAlchemy left its initialiser untyped
TABLE = sa.Table("t", sa.MetaData(), sa.Column("a", sa.Integer()), sa.Column("b", sa.Boolean()))


def test_a_value_that_is_not_given_is_a_fault_and_not_null() -> None:
    insert = Prepared(sa.insert(TABLE).values(a=given(TABLE.c.a), b=given(TABLE.c.b)))
    connection = sqlcipher3.connect(":memory:")
    connection.execute("CREATE TABLE t (a, b)")
    with pytest.raises(KeyError, match="b"):
        insert.run(connection.cursor(), {"a": 1})
    assert insert.run(connection.cursor(), {"a": 1, "b": False}) == 1
    (row,) = Prepared(sa.select(TABLE.c.a, TABLE.c.b)).rows(connection.cursor())
    assert row == (1, False)
    assert row[1] is False
    connection.close()


def test_the_clock_is_the_database_s_own() -> None:
    connection = sqlcipher3.connect(":memory:")
    (now,) = connection.execute(str(sa.select(DatabaseNow()).compile(dialect=DIALECT))).fetchone()
    (plain,) = connection.execute("SELECT unixepoch()").fetchone()
    connection.close()
    assert isinstance(now, int)
    assert 0 <= now / 1000 - plain < 5
    assert "clock_timestamp()" in str(sa.select(DatabaseNow()).compile(dialect=POSTGRESQL))


def test_tables_exist_in_postgresql_s_words_too() -> None:
    made = str(sa.schema.CreateTable(card_carrier).compile(dialect=POSTGRESQL))
    assert "station_id UUID NOT NULL" in made
    assert "carried_at BIGINT NOT NULL" in made
