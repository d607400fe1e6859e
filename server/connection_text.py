"""Connections as people write them: options of a command, and TOML. Both become values of a kind's fields.

A secret is never written out: it is a reference (`env:NAME`, `file:PATH`, `fd:N`), or typed where nobody sees it.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from server.authority.connection_views import ConnectionView
from server.ports.connection import Field, FieldKind, Kind, Value
from shared import errors
from shared.config import resolve_secret
from shared.secret import Secret

YES_AND_NO: Final = {"true": True, "yes": True, "false": False, "no": False}
FILE: Final = "file:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One connection as a document says it."""

    name: str
    kind: Kind
    values: Mapping[str, Value]


def field_of(kind: Kind, name: str) -> Field:
    """Return a field of a kind; `Invalid` where there is none."""
    for field in kind.fields:
        if field.name == name:
            return field
    why = f"{kind.name} has no such field; there are {', '.join(field.name for field in kind.fields)}"
    raise errors.Invalid(field=name, why=why)


# --- options --------------------------------------------------------------------------------------------


def from_options(kind: Kind, given: Iterable[str]) -> dict[str, Value]:
    """Read `NAME=VALUE` options: a list's field once for each item, a table's as `NAME.KEY=VALUE`.

    Raises:
        Invalid: an option is of another form, or no value of its field.
    """
    found: dict[str, Value] = {}
    for option in given:
        name, equals, text = option.partition("=")
        if not equals:
            raise errors.Invalid(field=name, why="write NAME=VALUE")
        name, _, key = name.partition(".")
        field = field_of(kind, name)
        before = found.get(name)
        if field.kind is FieldKind.MAP:
            table = dict(before) if isinstance(before, Mapping) else {}
            found[name] = {**table, key: text}
        elif field.kind is FieldKind.TEXTS:
            found[name] = (*(before if isinstance(before, tuple) else ()), text)
        elif before is not None:
            raise errors.Invalid(field=name, why="it is given twice")
        else:
            found[name] = _from_text(field, text)
    return found


def _from_text(field: Field, text: str) -> Value:
    match field.kind:
        case FieldKind.NUMBER:
            return _number(field, text)
        case FieldKind.FLAG if text.lower() in YES_AND_NO:
            return YES_AND_NO[text.lower()]
        case FieldKind.FLAG:
            raise errors.Invalid(field=field.name, why="yes or no is needed")
        case FieldKind.SECRET:
            return _secret(field, text, Path())
        case FieldKind.CERTIFICATES:
            return _certificates(field, text, Path())
        case _:
            return text


def _number(field: Field, text: str) -> int:
    try:
        return int(text)
    except ValueError as cause:
        raise errors.Invalid(field=field.name, why="a number is needed") from cause


def _secret(field: Field, reference: str, folder: Path) -> Secret:
    try:
        return resolve_secret(reference, folder)
    except ValueError as cause:
        raise errors.Invalid(field=field.name, why=str(cause)) from cause


def _certificates(field: Field, text: str, folder: Path) -> str:
    """Return PEM: the text itself, or what is in the file that it names (`file:PATH`)."""
    if not text.startswith(FILE):
        return text
    path = folder / Path(text.removeprefix(FILE)).expanduser()
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as cause:
        why = getattr(cause, "strerror", None) or "it is not PEM"
        raise errors.Invalid(field=field.name, why=f"{path}: {why}") from cause


# --- TOML -----------------------------------------------------------------------------------------------


def read_document(text: str, kinds: Mapping[str, Kind], folder: Path) -> list[Written]:
    """Read tables `[[connection]]`, each with `name`, `kind` and values; files are looked for in `folder`.

    Raises:
        Invalid: it is no TOML, or says something that no connection has.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as cause:
        raise errors.Invalid(field="document", why=str(cause)) from cause
    tables = document.pop("connection", [])
    if document or not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise errors.Invalid(field="document", why="it has only tables [[connection]]")
    return [_written(table, kinds, folder) for table in tables]


def _written(table: Mapping[str, Any], kinds: Mapping[str, Kind], folder: Path) -> Written:
    name, kind = str(table.get("name", "")), kinds.get(str(table.get("kind", "")))
    if not name:
        raise errors.Invalid(field="name", why="every connection has one")
    if kind is None:
        raise errors.Invalid(field=name, why=f"its kind is one of {', '.join(kinds)}")
    values = {
        field.name: _from_toml(field, value, folder)
        for field, value in (
            (field_of(kind, key), each) for key, each in table.items() if key not in {"name", "kind"}
        )
    }
    return Written(name=name, kind=kind, values=values)


def _from_toml(field: Field, value: Any, folder: Path) -> Value:
    """Return a value as TOML has it; the server judges whether it fits."""
    if field.kind is FieldKind.SECRET:
        return _secret(field, str(value), folder)
    if field.kind is FieldKind.CERTIFICATES:
        return _certificates(field, str(value), folder)
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, str | int | dict):
        return value
    raise errors.Invalid(field=field.name, why="no connection has values of this kind")


def to_document(views: Sequence[ConnectionView]) -> str:
    """Return connections as `read_document` reads them. Of secrets there is only a remark: they stay where they are."""
    return "\n".join(_table(view) for view in views)


def _table(view: ConnectionView) -> str:
    lines = ["[[connection]]", f"name = {_quoted(view.name)}", f"kind = {_quoted(view.kind)}"]
    lines += [f"# {name}: a secret, kept by the server" for name in view.secrets]
    tables: list[str] = []
    for name, value in view.values.items():
        if isinstance(value, Mapping):
            tables += ["", f"[connection.{name}]"]
            tables += [f"{_quoted(key)} = {_quoted(each)}" for key, each in value.items()]
        else:
            lines.append(f"{name} = {_literal(value)}")
    return "\n".join((*lines, *tables)) + "\n"


def _literal(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case tuple():
            return f"[{', '.join(map(_quoted, value))}]"
        case _:
            return _quoted(str(value))


def _quoted(text: str) -> str:
    """Write a basic string of TOML; one of several lines, as PEM has them, over several lines."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    for code in (*range(0x20), 0x7F):
        if chr(code) != "\n":
            escaped = escaped.replace(chr(code), f"\\u{code:04X}")
    return f'"""\n{escaped}"""' if "\n" in escaped else f'"{escaped}"'
