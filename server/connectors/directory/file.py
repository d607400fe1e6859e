"""A directory in a file: CSV or LDIF, for those who have no other, and for tests and training.

The file is read at the start and again when it changed. A CSV has a header; its columns are called what templates
call the attributes, besides the key column and `enabled` (`no` for people who may not get a credential).
"""

import asyncio
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from server.connectors.directory.entry import person_from
from server.connectors.directory.ldif import LdifError, read_ldif
from server.connectors.directory.memory import MemoryDirectory
from server.connectors.directory.schema import OPENLDAP, IdForm, Schema
from server.ports.connection import (
    Ability,
    Aspect,
    Configured,
    Field,
    FieldKind,
    Finding,
    Kind,
    Port,
    Surroundings,
    Verdict,
)
from shared import errors
from shared.credential.model import HolderId, Person

CSV_KEY: Final = "id"
LDIF_KEY: Final = "entryUUID"
ENABLED: Final = "enabled"
YES_AND_NO: Final = {"": True, "yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}

LDIF: Final = ".ldif"
MANY: Final = 1_000_000

Stamp = tuple[int, int, int]


class FileDirectory:
    """Find people in a CSV or LDIF file, by its suffix."""

    def __init__(
        self,
        path: Path,
        *,
        key: str = "",
        connection: str = "file",
        schema: Schema = OPENLDAP,
        at_once: bool = True,
    ) -> None:
        """Read the file, or only when it is asked (not `at_once`).

        `key` is the column (`id`) or attribute (`entryUUID`) with the immutable id, `schema` says what an LDIF calls its
        attributes.

        Raises:
            ConfigMissing: there is no file.
            ConfigInvalid: `line` of the file is wrong, `why` says how.
        """
        self._path = path
        self._key = key
        self._connection = connection
        self._schema = schema
        self._stamp: Stamp | None = None
        self._people = MemoryDirectory(())
        if not at_once:
            return
        try:
            self._stamp = self._look()
            self._people = self._read()
        except FileNotFoundError as cause:
            raise errors.ConfigMissing(file=str(path)) from cause
        except OSError as cause:
            raise errors.ConfigInvalid(file=str(path), why=str(cause.strerror)) from cause

    @property
    def abilities(self) -> frozenset[Ability]:
        """Those of a directory in memory; an LDIF may have photos."""
        photo = {Ability.PHOTO} if self._path.suffix.lower() == LDIF else set()
        return self._people.abilities | photo

    async def search(self, text: str, limit: int) -> Sequence[Person]:
        """Return at most `limit` people that match, by name; see `MemoryDirectory.search`.

        Raises:
            ConnectorUnreachable: the file is gone or cannot be read.
            ConnectorRefused: the file was changed and is wrong; `reason` names file and line.
        """
        return await (await self._current()).search(text, limit)

    async def get(self, holder: HolderId) -> Person | None:
        """Return the person with this immutable id, or None; raises as `search`."""
        return await (await self._current()).get(holder)

    async def match(self, attribute: str, value: str, limit: int) -> Sequence[Person]:
        """Return people with this value; raises as `search`."""
        return await (await self._current()).match(attribute, value, limit)

    async def test(self) -> Sequence[Finding]:
        """Read the file, and count."""
        try:
            count = len(await self.search("", MANY))
        except errors.ConnectorError as problem:
            return (
                Finding(aspect=Aspect.SEARCH, verdict=Verdict.FAILS, detail=str(problem.facts["reason"])),
            )
        return (Finding(aspect=Aspect.SEARCH, verdict=Verdict.WORKS, detail=f"{count} people"),)

    async def _current(self) -> MemoryDirectory:
        try:
            stamp = self._look()
            if stamp != self._stamp:
                self._people = await asyncio.to_thread(self._read)
                self._stamp = stamp
        except OSError as cause:
            raise errors.ConnectorUnreachable(
                connection=self._connection, reason=f"{self._path.name}: {cause.strerror}"
            ) from cause
        except errors.ConfigInvalid as cause:
            where = f"{self._path.name}, line {cause.facts.get('line', 1)}"
            raise errors.ConnectorRefused(
                connection=self._connection, reason=f"{where}: {cause.facts['why']}"
            ) from cause
        return self._people

    def _look(self) -> Stamp:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> MemoryDirectory:
        try:
            text = self._path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as cause:
            line = cause.object[: cause.start].count(b"\n") + 1
            raise self._wrong(line, "not UTF-8") from cause
        rows = self._ldif(text) if self._path.suffix.lower() == LDIF else self._csv(text)
        people: dict[HolderId, Person] = {}
        for line, person in rows:
            if person.holder in people:
                raise self._wrong(line, f"a second entry with the id {person.holder}")
            people[person.holder] = person
        return MemoryDirectory(people.values())

    def _csv(self, text: str) -> Iterator[tuple[int, Person]]:
        key = self._key or CSV_KEY
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        try:
            columns = list(reader.fieldnames or ())
            if key not in columns:
                raise self._wrong(1, f"no column {key}")
            if len(set(columns)) != len(columns) or "" in columns:
                raise self._wrong(1, "a column without a name, or two with one")
            for row in reader:
                yield reader.line_num, self._row(reader.line_num, key, row)
        except csv.Error as cause:
            raise self._wrong(reader.reader.line_num, str(cause)) from cause

    def _row(self, line: int, key: str, row: dict[str, str]) -> Person:
        if None in row or None in row.values():
            raise self._wrong(line, "more or fewer cells than columns")
        values = {name: value.strip() for name, value in row.items()}
        holder = values.pop(key)
        if not holder:
            raise self._wrong(line, f"column {key} is empty")
        enabled = YES_AND_NO.get(values.pop(ENABLED, "").lower())
        if enabled is None:
            raise self._wrong(line, f"column {ENABLED} says neither yes nor no")
        attributes = {name: value for name, value in values.items() if value}
        both = f"{attributes.get('given-name', '')} {attributes.get('surname', '')}".strip()
        name = attributes.get("name") or both or attributes.get("user", holder)
        return Person(holder=HolderId(holder), name=name, attributes=attributes, enabled=enabled)

    def _ldif(self, text: str) -> Iterator[tuple[int, Person]]:
        key = self._key or LDIF_KEY
        schema = replace(self._schema, id_attribute=key, id_form=IdForm.TEXT)
        try:
            for record in read_ldif(text):
                classes = {value.lower() for value in record.values.get("objectclass", ())}
                if not classes & {b"person", b"inetorgperson", b"organizationalperson", b"user"}:
                    continue
                person = person_from(record.values, schema)
                if person is None:
                    raise self._wrong(record.line, f"a person without {key}")
                yield record.line, person
        except LdifError as cause:
            raise self._wrong(cause.line, cause.why) from cause

    def _wrong(self, line: int, why: str) -> errors.ConfigInvalid:
        return errors.ConfigInvalid(file=str(self._path), line=line, why=why)


def _build(configured: Configured, surroundings: Surroundings) -> FileDirectory:
    del surroundings  # nothing outside is asked
    schema = OPENLDAP.with_attributes(configured.mapping("attributes"))
    path = Path(configured.text("path"))
    return FileDirectory(
        path, key=configured.text("key"), connection=configured.name, schema=schema, at_once=False
    )


KIND: Final = Kind(
    name="file",
    port=Port.DIRECTORY,
    title="CSV or LDIF file",
    fields=(
        Field(
            name="path",
            kind=FieldKind.TEXT,
            title="File",
            help="A .csv or .ldif file on the server; it is read again when it changes.",
            required=True,
        ),
        Field(
            name="key",
            kind=FieldKind.TEXT,
            title="Immutable id",
            help="The column (id) or LDIF attribute (entryUUID) that never changes and is never used again.",
        ),
        Field(
            name="attributes",
            kind=FieldKind.MAP,
            title="Attributes of an LDIF",
            help="What templates call it = what the file calls it. The columns of a CSV are called as in templates.",
        ),
    ),
    abilities=frozenset({Ability.SEARCH, Ability.PHOTO, Ability.LEAVERS}),
    build=_build,
    page="file.md",
)
