"""Statements that are written once in SQLAlchemy Core, compiled once, and run on the driver's cursor.

Every write of a card passes here, eight commits of many rows each. Going through SQLAlchemy's connection for
each statement costs several times what the database itself does; compiling once and keeping only the
conversion of types leaves the portable statement and loses the cost.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from sqlalchemy import BigInteger, ClauseElement, Column, ColumnElement, Executable, Select, Table, bindparam
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import UpdateBase

DIALECT: Final = SQLiteDialect_pysqlite(paramstyle="qmark")

Row = tuple[Any, ...]


class Cursor(Protocol):
    """What is used of a driver's cursor ([PEP 249])."""

    @property
    def rowcount(self) -> int:
        """How many rows the last statement changed."""
        ...

    def execute(self, sql: str, values: Sequence[object] = ..., /) -> object:
        """Run one statement."""
        ...

    def fetchall(self) -> list[Row]:
        """Return all rows that are left."""
        ...


class Prepared:
    """One compiled statement: its SQL, the order of its values and the conversions both ways."""

    __slots__ = ("_binds", "_results", "sql")

    def __init__(self, statement: Executable) -> None:
        """Compile `statement`; values that stand in it already need not be given again."""
        assert isinstance(statement, ClauseElement)
        compiled = statement.compile(dialect=DIALECT)
        assert isinstance(compiled, SQLCompiler)
        self.sql: Final = compiled.string
        binds = [compiled.binds[name] for name in compiled.positiontup or ()]
        self._binds: Final = tuple(
            (bind.key if bind.required else None, bind.value, _to_driver(bind.type)) for bind in binds
        )
        converts = [_from_driver(column.type) for column in _returned(statement)]
        self._results: Final = tuple((place, convert) for place, convert in enumerate(converts) if convert)

    def run(self, cursor: Cursor, values: Mapping[str, object]) -> int:
        """Run with `values` by name and return how many rows changed."""
        row = []
        for name, preset, convert in self._binds:
            value = preset if name is None else values[name]
            row.append(convert(value) if convert else value)
        cursor.execute(self.sql, row)
        return cursor.rowcount

    def rows(self, cursor: Cursor, **values: object) -> list[Row]:
        """Run and return all rows, converted."""
        self.run(cursor, values)
        rows = cursor.fetchall()
        return [self._converted(row) for row in rows] if self._results else rows

    def row(self, cursor: Cursor, **values: object) -> Row | None:
        """Run and return the only row, or None."""
        rows = self.rows(cursor, **values)
        return rows[0] if rows else None

    def _converted(self, row: Row) -> Row:
        cells = list(row)
        for place, convert in self._results:
            cells[place] = convert(cells[place])
        return tuple(cells)


def _returned(statement: Executable) -> list[ColumnElement[Any]]:
    """Return the columns of the rows that a statement answers with."""
    if isinstance(statement, Select | UpdateBase):
        return list(statement.exported_columns)
    return []


def _to_driver(kind: Any) -> Callable[[Any], Any] | None:
    return kind.dialect_impl(DIALECT).bind_processor(DIALECT)  # type: ignore[no-any-return]  # untyped in 2.1


def _from_driver(kind: Any) -> Callable[[Any], Any] | None:
    return kind.dialect_impl(DIALECT).result_processor(DIALECT, None)  # type: ignore[no-any-return]  # as above


def given(column: Column[Any]) -> ColumnElement[Any]:
    """Return a place for a value of `column`, named after it."""
    return bindparam(column.name, type_=column.type, required=True)


def add(table: Table) -> Prepared:
    """Insert a row of all columns but a number that the database counts itself."""
    return Prepared(insert(table).values({column.name: given(column) for column in _written(table)}))


def put(table: Table, key: Iterable[Column[Any]], *, owner: Column[Any] | None = None) -> Prepared:
    """Insert a row, or replace the one with the same `key`; no row changes where that has another `owner`.

    Both databases know `ON CONFLICT`; SQLAlchemy has it in each dialect apart.
    """
    names = {column.name for column in key}
    adding = insert(table).values({column.name: given(column) for column in _written(table)})
    return Prepared(
        adding.on_conflict_do_update(
            index_elements=sorted(names),
            set_={
                column.name: adding.excluded[column.name]
                for column in _written(table)
                if column.name not in names
            },
            where=None if owner is None else owner == adding.excluded[owner.name],
        )
    )


def _written(table: Table) -> list[Column[Any]]:
    return [column for column in table.columns if column is not table.autoincrement_column]


class DatabaseNow(ColumnElement[int]):
    """The database's clock in whole milliseconds since 1970: one clock for every server process."""

    type = BigInteger()
    inherit_cache = True


@compiles(DatabaseNow, "sqlite")
def _sqlite_now(_element: DatabaseNow, _compiler: SQLCompiler, **_options: object) -> str:
    return "CAST(unixepoch('subsec') * 1000 AS INTEGER)"


@compiles(DatabaseNow, "postgresql")
def _postgresql_now(_element: DatabaseNow, _compiler: SQLCompiler, **_options: object) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"
