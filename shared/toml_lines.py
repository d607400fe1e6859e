"""On which line of a TOML file each table and each key stands.

The standard parser says nothing of places. A well-formed file is a row of statements, and a statement is the
fewest lines that parse by themselves: so this needs no grammar of its own but that of a key.

Source: [TOML 1.0.0] sections Keys, Table, Array of Tables.
"""

import re
import tomllib
from typing import Final

KeyPath = tuple[str, ...]

_PART: Final = r"""(?:"(?:\\.|[^"\\])*"|'[^']*'|[A-Za-z0-9_-]+)"""
_DOTTED: Final = rf"{_PART}(?:\s*\.\s*{_PART})*"
_KEY: Final = re.compile(rf"\s*({_DOTTED})\s*=")
_HEADER: Final = re.compile(rf"\s*\[\[?\s*({_DOTTED})\s*\]")


def find_lines(text: str) -> dict[KeyPath, int]:
    """Return the line, from 1, of every table and key of a well-formed TOML text.

    Keys inside an inline table are not told apart; of an array of tables the first counts.
    """
    found: dict[KeyPath, int] = {}
    table: KeyPath = ()
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        start = number
        if header := _HEADER.match(lines[start]):
            table = _parts(header.group(1))
            found.setdefault(table, start + 1)
            number += 1
        elif key := _KEY.match(lines[start]):
            _note(found, table, _parts(key.group(1)), start + 1)
            number += _length(lines[start:])
        else:
            number += 1
    return found


def _note(found: dict[KeyPath, int], table: KeyPath, key: KeyPath, line: int) -> None:
    """Keep the key's line, and that of the tables that a dotted key makes."""
    for depth in range(1, len(key) + 1):
        found.setdefault(table + key[:depth], line)


def _length(lines: list[str]) -> int:
    """Return how many lines the statement at the beginning of `lines` has."""
    for count in range(1, len(lines)):
        if _whole("\n".join(lines[:count])):
            return count
    return len(lines)


def _whole(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _parts(dotted: str) -> KeyPath:
    """Take a dotted key apart by asking the parser."""
    value: object = tomllib.loads(f"{dotted} = 0")
    parts: list[str] = []
    while isinstance(value, dict):
        ((name, value),) = value.items()
        parts.append(name)
    return tuple(parts)
