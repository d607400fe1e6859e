"""Templates: versions that never change."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import func, select

from server.ports.store import AuditRecord, StoredTemplate
from server.store import evidence
from server.store.schema import template
from server.store.statements import Cursor, Prepared, add, given
from server.store.writer import Writer
from shared import errors
from shared.clock import Clock
from shared.credential.model import TemplateRef

_ADD: Final = add(template)
_LATEST: Final = Prepared(
    select(*template.columns)
    .where(template.c.name == given(template.c.name))
    .order_by(template.c.version.desc())
    .limit(1)
)
_VERSION: Final = Prepared(
    select(*template.columns).where(
        template.c.name == given(template.c.name),
        template.c.version == given(template.c.version),
        template.c.digest == given(template.c.digest),
    )
)
_newest = (
    select(template.c.name, func.max(template.c.version).label("version"))
    .group_by(template.c.name)
    .subquery("newest")
)
_ALL_LATEST: Final = Prepared(
    select(*template.columns)
    .join(_newest, (_newest.c.name == template.c.name) & (_newest.c.version == template.c.version))
    .order_by(template.c.name)
)
_EXISTS: Final = Prepared(
    select(template.c.name).where(
        template.c.name == given(template.c.name), template.c.version == given(template.c.version)
    )
)


class TemplateTable:
    """The port `TemplateStore`."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        """Work through `writer`."""
        self._writer = writer
        self._clock = clock

    async def latest(self, name: str) -> StoredTemplate | None:
        """Return the newest version."""
        return _stored(await self._writer.read(lambda cursor: _LATEST.row(cursor, name=name)))

    async def version(self, ref: TemplateRef) -> StoredTemplate | None:
        """Return exactly this version."""
        return _stored(
            await self._writer.read(
                lambda cursor: _VERSION.row(cursor, name=ref.name, version=ref.version, digest=ref.digest)
            )
        )

    async def all_latest(self) -> Sequence[StoredTemplate]:
        """Return the newest version of every template, by name."""
        rows = await self._writer.read(_ALL_LATEST.rows)
        return [kept for row in rows if (kept := _stored(row)) is not None]

    async def add(self, template: StoredTemplate, audit: AuditRecord) -> None:
        """Store a new version; `StoreConflict` where this version exists already."""
        ref = template.ref

        def work(cursor: Cursor) -> None:
            if _EXISTS.row(cursor, name=ref.name, version=ref.version) is not None:
                raise errors.StoreConflict(what="template")
            _ADD.run(
                cursor,
                {
                    "name": ref.name,
                    "version": ref.version,
                    "digest": ref.digest,
                    "text": template.text,
                    "applied_at": template.applied_at,
                },
            )
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)


def _stored(row: tuple[Any, ...] | None) -> StoredTemplate | None:
    if row is None:
        return None
    name, version, digest, text, applied_at = row
    return StoredTemplate(
        ref=TemplateRef(name=name, version=version, digest=digest), text=text, applied_at=applied_at
    )
