"""Read LDIF content records.

Change records and values fetched from an address are refused, not skipped: a file that means more than its people
is a mistake.

Source: [RFC 2849].
"""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_LINE: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9.-]*(?:;[A-Za-z0-9-]+)*):(:|<)? *(.*)")


class LdifError(ValueError):
    """The file is not LDIF; `line` counts from 1."""

    def __init__(self, line: int, why: str) -> None:
        """Keep where and why."""
        super().__init__(why)
        self.line: Final = line
        self.why: Final = why


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One entry; `line` is where it begins. Names of attributes are in lower case, without options."""

    line: int
    dn: str
    values: dict[str, list[bytes]]


def read_ldif(text: str) -> Iterator[Record]:
    """Yield the entries of a file.

    Raises:
        LdifError: a line is malformed, a record has no dn, or it is a change.
    """
    record: Record | None = None
    for number, line in _unfolded(text):
        if not line:
            if record is not None:
                yield record
            record = None
            continue
        name, value = _value(number, line)
        if record is None:
            if name != "version":
                record = _begin(number, name, value)
            elif value != b"1":
                raise LdifError(number, "not LDIF version 1")
        elif name in ("dn", "changetype"):
            raise LdifError(number, f"{name} inside an entry")
        else:
            record.values.setdefault(name, []).append(value)
    if record is not None:
        yield record


def _begin(number: int, name: str, value: bytes) -> Record:
    if name != "dn":
        raise LdifError(number, "a record begins with its dn")
    try:
        return Record(line=number, dn=value.decode(), values={})
    except UnicodeDecodeError as cause:
        raise LdifError(number, "not UTF-8") from cause


def _unfolded(text: str) -> Iterator[tuple[int, str]]:
    """Join continued lines and leave comments out; empty lines stay, they end records."""
    start, whole = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(" ") and whole:
            whole += line[1:]
            continue
        if start and not whole.startswith("#"):
            yield start, whole
        start, whole = number, line
    if start and not whole.startswith("#"):
        yield start, whole


def _value(number: int, line: str) -> tuple[str, bytes]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise LdifError(number, "not of the form name: value")
    name, kind, value = match[1].split(";")[0].lower(), match[2], match[3]
    if kind == "<":
        raise LdifError(number, "a value at an address is not fetched")
    if kind != ":":
        return name, value.encode()
    try:
        return name, base64.b64decode(value.rstrip(" "), validate=True)
    except binascii.Error as cause:
        raise LdifError(number, "not base64") from cause
