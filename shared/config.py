"""Read `kiosk.toml` once, into frozen dataclasses.

The owner of a table describes it as a dataclass: a field `call_timeout_s` is the key `call-timeout-s`, a field
that is a dataclass is a table below, `dict[str, X]` is a table of named tables, a union of dataclasses is told
apart by the key `kind` (each has a field `kind: Literal[…]`), a field with a default may be left out. Values are
strings, whole numbers, numbers, yes or no, enums, tuples of these, and:

* `Path`: relative ones start at the file's folder, `~` is the home folder;
* `Secret`: a reference, `env:NAME`, `file:PATH` or `fd:N`, never the secret itself;
* every class with a `from_text` that raises `ValueError` with the reason, such as `Address`.

A dataclass may refuse a combination by a `ValueError` in `__post_init__`. Whatever is wrong is `ConfigInvalid`
with file, line and key. Finding the lines is `shared.toml_lines`'s work.
"""

import difflib
import os
import re
import stat
import tomllib
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import (
    Any,
    Final,
    Literal,
    Protocol,
    Self,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from shared import errors
from shared.secret import Secret
from shared.toml_lines import KeyPath, find_lines

TOP_LEVEL: Final = ("station", "server", "log")
"""Tables that a file may have; every program reads its own and leaves the others alone."""

FILE_VARIABLE: Final = "KIOSK_CONFIG"
NO_FILE: Final = "write it, or name another one with --config or KIOSK_CONFIG"
DEFAULT_FILES: Final = (Path("kiosk.toml"), Path("/etc/issuance-kiosk/kiosk.toml"))

T = TypeVar("T")


class FromText(Protocol):
    """A type that makes itself from what stands in the file."""

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Make the value; `ValueError` says what is wrong with the text."""
        ...


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens or is found. An IPv6 address stands in brackets in text."""

    host: str
    port: int

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Take `host:port` apart; `ValueError` says what is wrong."""
        host, colon, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            colon = ""
        if not (colon and host and port.isascii() and port.isdigit() and int(port) < 0x10000):
            message = "must be host:port"
            raise ValueError(message)
        return cls(host, int(port))

    def __str__(self) -> str:
        """Return the text that `from_text` reads."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def find_file(option: Path | None = None) -> Path:
    """Return the file to read: the option, else `KIOSK_CONFIG`, else the first default that exists.

    Raises:
        ConfigMissing: there is none.
    """
    named = option or (Path(value) if (value := os.environ.get(FILE_VARIABLE)) else None)
    for candidate in (named,) if named else DEFAULT_FILES:
        if candidate.is_file():
            return candidate
    raise errors.ConfigMissing(file=str(named or DEFAULT_FILES[-1]), what=NO_FILE)


class Document:
    """A file that was read and is well-formed TOML with known top-level tables."""

    def __init__(self, path: Path) -> None:
        """Read the file at `path`.

        Raises:
            ConfigMissing: it is not there.
            ConfigInvalid: it cannot be read, is no TOML, or has an unknown table.
        """
        self.path: Final = path
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise errors.ConfigMissing(file=str(path)) from error
        except (OSError, UnicodeDecodeError) as error:
            why = (error.strerror or "unreadable") if isinstance(error, OSError) else "not UTF-8"
            raise errors.ConfigInvalid(file=str(path), line=1, key="", why=why) from error
        try:
            self._data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise errors.ConfigInvalid(
                file=str(path), line=_line_of(error, text), key="", why=_reason(error)
            ) from error
        self._lines = find_lines(text)
        for key in self._data:
            if key not in TOP_LEVEL:
                raise self.invalid((key,), "unknown table", TOP_LEVEL)

    def read(self, table: str, kind: type[T]) -> T:
        """Return the top-level `table` as a `kind`, a frozen dataclass.

        Raises:
            ConfigMissing: the table or a key that has no default is not there.
            ConfigInvalid: a key is unknown or a value is not what it must be.
        """
        if table not in self._data:
            if any(_required(each) for each in fields(cast("Any", kind))):
                raise errors.ConfigMissing(file=str(self.path), key=table)
            return kind()
        return cast("T", _Reader(self).table((table,), self._data[table], kind))

    def invalid(self, path: KeyPath, why: str, known: tuple[str, ...] = ()) -> errors.ConfigInvalid:
        """Return the error for the value at `path`; `known` are the names that may have been meant."""
        facts: dict[str, errors.Fact] = {
            "file": str(self.path),
            "line": self._line(path),
            "key": ".".join(path),
            "why": why,
        }
        near = difflib.get_close_matches(path[-1], known, n=1)
        return errors.ConfigInvalid(**facts, **({"nearest": near[0]} if near else {}))

    def _line(self, path: KeyPath) -> int:
        """Return the line of the value or, for one inside an inline table, of what it stands in."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)


class _Reader:
    """Turns plain TOML values into typed ones, and knows where they stand for its errors."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def table(self, path: KeyPath, value: object, kind: type[Any]) -> object:
        """Make a dataclass from a table."""
        values = self._mapping(path, value)
        hints = get_type_hints(kind)
        keys = {each.name.replace("_", "-"): each for each in fields(kind)}
        for key in values:
            if key not in keys:
                raise self._document.invalid((*path, key), "unknown key", tuple(keys))
        made: dict[str, object] = {}
        for key, each in keys.items():
            if key in values:
                made[each.name] = self.value((*path, key), values[key], hints[each.name])
            elif _required(each):
                raise errors.ConfigMissing(file=str(self._document.path), key=".".join((*path, key)))
        try:
            return kind(**made)
        except ValueError as error:
            raise self._document.invalid(path, str(error)) from error

    def value(self, path: KeyPath, value: object, kind: Any) -> object:
        """Make one value of the type that its field is annotated with."""
        origin, inner = get_origin(kind), get_args(kind)
        if origin in (Union, types.UnionType):
            return self._alternative(path, value, tuple(one for one in inner if one is not types.NoneType))
        if origin is Literal:
            return self._choice(path, value, inner)
        if origin is tuple:
            return self._list(path, value, inner[0])
        if origin is dict:
            named = self._mapping(path, value)
            return {name: self.value((*path, name), each, inner[1]) for name, each in named.items()}
        if is_dataclass(kind) and not hasattr(kind, "from_text"):
            return self.table(path, value, cast("type[Any]", kind))
        return self._scalar(path, value, kind)

    def _alternative(self, path: KeyPath, value: object, kinds: tuple[Any, ...]) -> object:
        """Choose among dataclasses by their `kind`; a single alternative is just that one."""
        if len(kinds) == 1:
            return self.value(path, value, kinds[0])
        values = self._mapping(path, value)
        by_kind = {name: kind for kind in kinds for name in get_args(get_type_hints(kind)["kind"])}
        if "kind" not in values:
            raise errors.ConfigMissing(file=str(self._document.path), key=".".join((*path, "kind")))
        chosen = self._choice((*path, "kind"), values["kind"], tuple(by_kind))
        return self.table(path, value, by_kind[chosen])

    def _choice(self, path: KeyPath, value: object, choices: tuple[Any, ...]) -> Any:
        if value in choices and type(value) in {type(choice) for choice in choices}:
            return value
        why = "must be one of " + ", ".join(str(choice) for choice in choices)
        raise self._document.invalid(path, why)

    def _list(self, path: KeyPath, value: object, kind: Any) -> tuple[object, ...]:
        if not isinstance(value, list):
            raise self._document.invalid(path, "must be a list")
        return tuple(self.value(path, each, kind) for each in value)

    def _scalar(self, path: KeyPath, value: object, kind: Any) -> object:
        if isinstance(kind, type) and issubclass(kind, Enum):
            return kind(self._choice(path, value, tuple(member.value for member in kind)))
        if kind is float and type(value) is int:
            return float(value)
        if kind in _PLAIN:
            if type(value) is not kind:  # a bool is an int, and yes is no number
                raise self._document.invalid(path, f"must be {_PLAIN[kind]}")
            return value
        if not isinstance(value, str):
            raise self._document.invalid(path, "must be a text")
        if kind is Path:
            return self._document.path.parent.absolute() / Path(value).expanduser()
        try:
            if kind is Secret:
                return resolve_secret(value, self._document.path.parent)
            return cast("type[FromText]", kind).from_text(value)
        except ValueError as error:
            raise self._document.invalid(path, str(error)) from error

    def _mapping(self, path: KeyPath, value: object) -> Mapping[str, object]:
        if not isinstance(value, dict):
            raise self._document.invalid(path, "must be a table")
        return value


_PLAIN: Final[dict[object, str]] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


def _required(each: Field[Any]) -> bool:
    return each.default is MISSING and each.default_factory is MISSING


# --- secrets --------------------------------------------------------------------------------------------


def resolve_secret(reference: str, folder: Path) -> Secret:
    """Fetch what a reference means; one line end after it is not part of it.

    `env:NAME` takes the variable out of the environment, so that no child inherits it; `file:PATH` starts at
    `folder` and must not be open to everybody; `fd:N` is read to its end and closed.

    Raises:
        ValueError: the reference is none, or leads nowhere; says why, and never what it found.
    """
    scheme, _, name = reference.partition(":")
    match scheme:
        case "env":
            found = os.environb.pop(name.encode(), None)
        case "file":
            found = _read_private(folder / Path(name).expanduser())
        case "fd" if name.isascii() and name.isdigit():
            found = _read_descriptor(int(name))
        case _:
            message = "must be a reference: env:NAME, file:PATH or fd:N"
            raise ValueError(message)
    if not found:
        message = f"{scheme}:{name} is empty or not there"
        raise ValueError(message)
    return Secret(found)


def _read_private(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & stat.S_IRWXO:
                message = f"{path} is open to everybody; chmod o= it"
                raise ValueError(message)
            return _without_line_end(file.read())
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise ValueError(message) from error


def _read_descriptor(number: int) -> bytes:
    try:
        with os.fdopen(number, "rb") as file:
            return _without_line_end(file.read())
    except OSError as error:
        message = f"fd:{number}: {error.strerror}"
        raise ValueError(message) from error


def _without_line_end(found: bytes) -> bytes:
    return found.removesuffix(b"\n").removesuffix(b"\r")


# --- what tomllib says ----------------------------------------------------------------------------------

_PLACE: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


def _line_of(error: tomllib.TOMLDecodeError, text: str) -> int:
    """Return the line that the parser stopped at; it says so in words only."""
    place = _PLACE.search(str(error))
    if place is None or place.group(1) is None:
        return max(1, len(text.splitlines()))
    return int(place.group(1))


def _reason(error: tomllib.TOMLDecodeError) -> str:
    return _PLACE.sub("", str(error))
