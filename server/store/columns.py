"""How values are kept in columns: moments exactly, members of a closed set as their value, with its constraint."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Dialect, Integer, String, TypeDecorator

from server.ports.evidence import microseconds

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Instant(TypeDecorator[datetime]):
    """An aware moment as whole microseconds since 1970: exact, sortable, the same in every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """Return what is kept."""
        return None if value is None else microseconds(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return what was meant."""
        return None if value is None else _EPOCH + timedelta(microseconds=value)


class Choice(TypeDecorator[Enum]):
    """A member of an enum as its value, a text or a number. Its column carries the constraint."""

    impl = String
    cache_ok = True

    def __init__(self, kind: type[Enum]) -> None:
        """Keep members of `kind`."""
        super().__init__()
        self.kind = kind

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """Keep numbers as numbers."""
        return dialect.type_descriptor(Integer() if issubclass(self.kind, int) else String())

    def process_bind_param(self, value: Enum | None, dialect: Dialect) -> object:  # noqa: ARG002
        """Return what is kept."""
        return None if value is None else value.value

    def process_result_value(self, value: object, dialect: Dialect) -> Enum | None:  # noqa: ARG002
        """Return what was meant."""
        return None if value is None else self.kind(value)


def choice(
    name: str, kind: type[Enum], *, primary_key: bool = False, nullable: bool = False
) -> tuple[Column[Any], CheckConstraint]:
    """Return a column for members of `kind` and the constraint that keeps everything else out."""
    column: Column[Any] = Column(name, Choice(kind), nullable=nullable, primary_key=primary_key)
    return column, CheckConstraint(f"{name} IN ({_values(kind)})", name=name)


def flag(name: str) -> Column[bool]:
    """Return a column that is true or false."""
    return Column(name, Boolean(create_constraint=True, name=name), nullable=False)


def _values(members: Iterable[Enum]) -> str:
    return ", ".join(repr(member.value) for member in members)
