"""Facts and errors: message ↔ value."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from shared import errors
from shared.errors import Fact, KioskError
from shared.proto import facts_pb2 as pb

if TYPE_CHECKING:  # the type of a message's list has no public name
    from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

MAX_FACTS: Final = 64
MAX_NAME: Final = 64
MAX_FACT_TEXT: Final = 16_384
"""Characters."""

_INT64: Final = range(-(2**63), 2**63)

K = TypeVar("K")
V = TypeVar("V")


def inverse(table: Mapping[K, V]) -> dict[V, K]:
    """Turn a table around; it must not map two values to one."""
    turned = {value: key for key, value in table.items()}
    if len(turned) != len(table):
        message = "two values share a number"
        raise ValueError(message)
    return turned


def member(table: Mapping[K, V], number: K, what: str) -> V:
    """Look up an enum's number; `Garbled` for one that this version does not know, 0 included."""
    try:
        return table[number]
    except KeyError as error:
        raise errors.Garbled(why=f"unknown {what} {number}") from error


def bounded(text: str, limit: int, field: str) -> str:
    """Return `text`, of at most `limit` characters, else raise `Invalid`."""
    if len(text) > limit:
        raise errors.Invalid(field=field, why=f"longer than {limit} characters")
    return text


def printable(text: str) -> str:
    r"""Return text that UTF-8 can carry; a lone surrogate (a byte of a name that is no UTF-8) shows as \udcXX."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def put_facts(facts: Mapping[str, Fact], into: "RepeatedCompositeFieldContainer[pb.Fact]") -> None:
    """Write facts into a message's list. A number beyond 64 bits travels as text."""
    for name, value in facts.items():
        if isinstance(value, int) and value in _INT64:
            into.add(name=printable(name), number=value)
        else:
            into.add(name=printable(name), text=printable(str(value)))


def take_facts(messages: Sequence[pb.Fact]) -> dict[str, Fact]:
    """Read facts.

    Raises:
        Garbled: too many, too long, one twice, or one without a value.
    """
    if not messages:
        return {}
    if len(messages) > MAX_FACTS:
        raise errors.Garbled(why=f"more than {MAX_FACTS} facts")
    facts: dict[str, Fact] = {}
    for fact in messages:
        kind = fact.WhichOneof("value")
        if kind is None or len(fact.name) > MAX_NAME or len(fact.text) > MAX_FACT_TEXT or fact.name in facts:
            raise errors.Garbled(why="a fact without value, twice, or too long")
        facts[fact.name] = fact.number if kind == "number" else fact.text
    return facts


def put_error(error: KioskError, into: pb.Error) -> None:
    """Write an error's code and facts; its cause stays where it is."""
    into.code = error.code
    put_facts(error.facts, into.facts)


def take_error(message: pb.Error) -> KioskError:
    """Read an error; a code that nobody knows becomes `UnknownFailure`.

    Raises:
        Garbled: no code, or facts that no error can have.
    """
    facts = take_facts(message.facts)
    if not 0 < len(message.code) <= MAX_NAME or not all(name.isidentifier() for name in facts):
        raise errors.Garbled(why="an error without code, or with impossible facts")
    if "self" in facts:
        raise errors.Garbled(why="an error with impossible facts")
    return errors.from_code(message.code, facts)
