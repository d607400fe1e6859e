"""Cards by their credentials."""

from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Select, and_, bindparam, exists, or_, select

from server.store.card_rows import CREDENTIAL, credential_of, read_card
from server.store.columns import Instant
from server.store.rules import FORGOTTEN_CREDENTIAL, USED_CREDENTIAL, fold
from server.store.schema import certificate, certificate_task, credential, operation
from server.store.statements import Cursor, Prepared, given
from server.store.writer import Writer
from shared.credential.model import (
    CardRecord,
    CertificateState,
    CredentialId,
    HolderId,
    RecordId,
    TemplateRef,
)

_newer = credential.alias("newer")
_older = credential.alias("older")
_renewed = certificate.alias("renewed")

_SHOWN: Final = and_(
    *(credential.c.state != state for state in sorted(FORGOTTEN_CREDENTIAL)),
    ~exists(
        select(_newer.c.number).where(
            _newer.c.record_id == credential.c.record_id,
            _newer.c.number > credential.c.number,
            *(_newer.c.state != state for state in sorted(FORGOTTEN_CREDENTIAL)),
        )
    ),
)
"""It is the one that its card's record shows."""

_USED: Final = and_(_SHOWN, or_(*(credential.c.state == state for state in sorted(USED_CREDENTIAL))))
_BEFORE: Final[ColumnElement[datetime]] = bindparam("before", type_=Instant(), required=True)
_LIMIT: Final[ColumnElement[int]] = bindparam("limit", required=True)


TOGETHER: Final = 32
"""Cards read in one go: some ten milliseconds, in which nothing else is read or written."""


def _cards(*where: ColumnElement[bool]) -> Select[tuple[RecordId]]:
    return select(credential.c.record_id).where(*where)


_OF_HOLDER: Final = Prepared(
    _cards(credential.c.holder == given(credential.c.holder), _SHOWN).order_by(credential.c.number)
)
_BEING_MADE_FOR: Final = Prepared(
    select(operation.c.record_id)
    .where(operation.c.holder == given(operation.c.holder), operation.c.ended_at.is_(None))
    .order_by(operation.c.began_at, operation.c.operation_id)
)
_BY_ID: Final = Prepared(
    select(credential.c.record_id, *CREDENTIAL).where(
        credential.c.credential_id == given(credential.c.credential_id)
    )
)
_SEARCH: Final = Prepared(
    _cards(credential.c.words.like(bindparam("pattern", required=True), escape="\\"), _SHOWN)
    .order_by(credential.c.words, credential.c.number)
    .limit(_LIMIT)
)
_ENDING: Final = Prepared(
    _cards(credential.c.ends_at <= _BEFORE, _USED).order_by(credential.c.ends_at, credential.c.number)
)


def _still_used(replaced: Column[UUID | None]) -> ColumnElement[bool]:
    return exists(
        select(_older.c.number).where(
            _older.c.credential_id == replaced,
            or_(*(_older.c.state == state for state in sorted(USED_CREDENTIAL))),
        )
    )


_SUCCEEDING: Final = Prepared(
    _cards(
        _USED,
        or_(credential.c.primary_id.is_not(None), _still_used(credential.c.replaces_id)),
    ).order_by(credential.c.number)
)
_TEMPLATES: Final = Prepared(
    select(credential.c.template_name, credential.c.template_version, credential.c.template_digest)
    .where(_USED)
    .distinct()
)
_BEING_MADE: Final = Prepared(
    select(operation.c.record_id)
    .where(operation.c.ended_at.is_(None), _still_used(operation.c.replaces_id))
    .order_by(operation.c.began_at, operation.c.operation_id)
)
_EXPIRING: Final = Prepared(
    _cards(
        certificate.c.not_after <= _BEFORE,
        certificate.c.state == CertificateState.CONFIRMED,
        ~exists(
            select(_renewed.c.number).where(
                _renewed.c.record_id == certificate.c.record_id,
                _renewed.c.slot == certificate.c.slot,
                _renewed.c.state == CertificateState.CONFIRMED,
                _renewed.c.number > certificate.c.number,
            )
        ),
        _USED,
    )
    .join(certificate, certificate.c.record_id == credential.c.record_id)
    .order_by(certificate.c.not_after, credential.c.number)
)
"""A card once for every slot; without grouping, the times are looked up in their order and not in every card."""

_STALE: Final = Prepared(
    select(operation.c.record_id)
    .where(
        operation.c.ended_at.is_(None),
        operation.c.began_at < _BEFORE,
        exists(
            select(certificate.c.number).where(
                certificate.c.record_id == operation.c.record_id,
                or_(
                    certificate.c.state == CertificateState.REQUESTED,
                    certificate.c.state == CertificateState.ISSUED,
                ),
                ~exists(
                    select(certificate_task.c.number).where(
                        certificate_task.c.request_id == certificate.c.request_id
                    )
                ),
            )
        ),
        ~exists(
            select(credential.c.number).where(
                credential.c.record_id == operation.c.record_id,
                or_(*(credential.c.state == state for state in sorted(USED_CREDENTIAL))),
            )
        ),
    )
    .order_by(operation.c.began_at, operation.c.operation_id)
    .limit(_LIMIT)
)


class CredentialTables:
    """The port `CredentialStore`."""

    def __init__(self, writer: Writer) -> None:
        """Work through `writer`."""
        self._writer = writer

    async def of_holder(self, holder: HolderId) -> Sequence[CardRecord]:
        """Return the cards of this holder, and those that an open operation is making for them."""
        return await self._found((_OF_HOLDER, _BEING_MADE_FOR), holder=holder)

    async def by_credential(self, credential_id: CredentialId) -> CardRecord | None:
        """Return the card that this credential is or was on, showing this credential."""

        def work(cursor: Cursor) -> CardRecord | None:
            row = _BY_ID.row(cursor, credential_id=credential_id)
            card = None if row is None else read_card(cursor, row[0])
            return None if row is None or card is None else replace(card, credential=credential_of(row[1:]))

        return await self._writer.read(work)

    async def templates_in_use(self) -> AbstractSet[TemplateRef]:
        """Return the versions of templates that credentials in use were issued by."""
        rows = await self._writer.read(_TEMPLATES.rows)
        return {TemplateRef(name=name, version=version, digest=digest) for name, version, digest in rows}

    async def search(self, text: str, limit: int) -> Sequence[CardRecord]:
        """Return cards whose holder's name or id contains `text`, in any case, by name."""
        return await self._found((_SEARCH,), pattern=f"%{_literally(fold(text))}%", limit=limit)

    async def ending(self, before: datetime) -> Sequence[CardRecord]:
        """Return cards with a temporary credential in use that ends by then, the earliest first."""
        return await self._found((_ENDING,), before=before)

    async def succeeding(self) -> Sequence[CardRecord]:
        """Return cards with a credential in use that is temporary, or replaces one that is still in use."""
        return await self._found((_SUCCEEDING, _BEING_MADE))

    async def expiring(self, before: datetime) -> Sequence[CardRecord]:
        """Return cards with a credential in use and a confirmed certificate that expires by then."""
        return await self._found((_EXPIRING,), before=before)

    async def stale(self, before: datetime, limit: int) -> Sequence[CardRecord]:
        """Return cards without a credential in use whose open operation began before then and left a certificate."""
        return await self._found((_STALE,), before=before, limit=limit)

    async def _found(self, statements: Collection[Prepared], **values: object) -> Sequence[CardRecord]:
        """Read the cards that these statements name, each once; an operation need not wait for all of them."""

        def names(cursor: Cursor) -> Sequence[RecordId]:
            return [row[0] for each in statements for row in each.rows(cursor, **values)]

        def cards(cursor: Cursor) -> Sequence[CardRecord | None]:
            return [read_card(cursor, record_id) for record_id in some]

        ids = tuple(dict.fromkeys(await self._writer.read(names)))
        found: list[CardRecord | None] = []
        for start in range(0, len(ids), TOGETHER):
            some = ids[start : start + TOGETHER]
            found += await self._writer.read(cards)
        return tuple(card for card in found if card is not None)


def _literally(text: str) -> str:
    """Return a pattern of LIKE that matches `text` and nothing else."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
