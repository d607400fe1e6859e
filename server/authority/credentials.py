"""Credentials whose cards are not here: found by their holders, decided about without a card."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

from server.authority.access import Caller
from server.authority.acting import needs_of, permit
from server.authority.operator_cards import GUARDED, authorise_carried, carried, known_to_owner
from server.authority.policy import OPERATION_RULES, Needs
from server.operations.decide import FOR_GOOD, is_being_retired
from server.operations.disclose import Disclosures
from server.operations.services import Services
from server.operations.succession import Succession
from server.ports.store import Store
from shared.credential.lifecycle import CONTINUED, WITHOUT_CARD, OperationKind, reachable
from shared.credential.model import CardRecord, CredentialId, HolderId, PinState, RecordId
from shared.credential.template_reading import parse_template
from shared.credential.update import due_at_sight
from shared.credentials import CodeView, CredentialView, DecisionView, FoundCredentials

SEARCH_LIMIT: Final = 200
_READ_OUT: Final = needs_of("/kiosk.v1.Credentials/ReadOut")
_UNBLOCK_CODE: Final = needs_of("/kiosk.v1.Credentials/MakeUnblockCode")


class Credentials:
    """Answer a station's questions about credentials, and take its decisions."""

    def __init__(self, services: Services) -> None:
        """Work with `services`."""
        self._store: Store = services.store
        self._decisions = Succession(services)
        self._disclosures = Disclosures(services)

    async def find(self, caller: Caller, text: str, limit: int) -> FoundCredentials:
        """Search by a part of the holder's name, by the holder's id, or by the id of a credential or card."""
        del caller
        limit = max(1, min(limit, SEARCH_LIMIT))
        records = await self._found(text.strip(), limit + 1)
        views = [await credential_view(self._store, record) for record in records[:limit]]
        return FoundCredentials(credentials=tuple(views), more=len(records) > limit)

    async def decide(
        self, caller: Caller, record_id: UUID, operation: OperationKind, reason: str
    ) -> DecisionView:
        """Suspend, resume, revoke or delete, with all that follows; raises as `Decisions.decide`."""
        await self._permit(caller, OPERATION_RULES[operation], record_id)
        decided = await self._decisions.decide(caller, RecordId(record_id), operation, reason)
        return DecisionView(state=decided.state, facts=decided.facts)

    async def read_out(self, caller: Caller, record_id: UUID) -> CodeView:
        """Tell the code that unblocks a card far away; raises as `Disclosures.read_out`."""
        await self._permit(caller, _READ_OUT, record_id)
        return CodeView(code=await self._disclosures.read_out(caller, RecordId(record_id)))

    async def make_unblock_code(self, caller: Caller, record_id: UUID) -> CodeView:
        """Make a code with which a holder unblocks the card once; raises as `Disclosures.unblock_code`."""
        await self._permit(caller, _UNBLOCK_CODE, record_id)
        made = await self._disclosures.unblock_code(caller, RecordId(record_id))
        return CodeView(code=made.code, expires_at=made.expires_at.isoformat())

    async def _permit(self, caller: Caller, needs: Needs, record_id: UUID) -> None:
        """Refuse what the caller may not do for the template of this card; raises as `acting.permit`."""
        record = await self._store.cards.card(RecordId(record_id))
        cut = record.open_operation if record else None
        credential = record.credential if record else None
        refs = (cut.template if cut else None, credential.template if credential else None)
        names: set[str | None] = {ref.name for ref in refs if ref is not None}
        for name in names or {None}:
            permit(caller, needs, name)
        if caller.principal is None or credential is None or needs.subject not in GUARDED:
            return
        if credential.roles:
            authorise_carried(caller.principal, await carried(self._store, credential))

    async def _found(self, text: str, limit: int) -> list[CardRecord]:
        credentials = self._store.credentials
        named = _read_id(text)
        if named is not None:
            record = await credentials.by_credential(CredentialId(named))
            record = record or await self._store.cards.card(RecordId(named))
            if record is not None:
                return [record]
        exact = await credentials.of_holder(HolderId(text)) if text else ()
        return list(_once((*exact, *await credentials.search(text, limit))))[:limit]


async def credential_view(store: Store, record: CardRecord) -> CredentialView:
    """Return a credential as faces show it."""
    credential, cut = record.credential, record.open_operation
    ref = credential.template if credential else (cut.template if cut else None)
    stored = await store.templates.version(ref) if ref else None
    kind = OperationKind(cut.kind) if cut else None
    return CredentialView(
        record_id=record.record_id,
        credential_id=credential.credential_id if credential else None,
        state=record.state,
        holder=credential.holder if credential else (cut.holder if cut else ""),
        holder_name=credential.holder_name if credential else "",
        template=ref.name if ref else "",
        template_title=parse_template(stored.text).title if stored else "",
        template_version=ref.version if ref else 0,
        profile=record.profile,
        serial=record.serial,
        issued_at=_time(credential.issued_at if credential else None),
        since=_time(credential.since if credential else None),
        ends_at=_time(credential.ends_at if credential else None),
        reason=credential.reason if credential and credential.since else "",
        reachable=without_card(record),
        interrupted=kind if kind in CONTINUED else None,
        waits_for_card=due_at_sight(record),
        waiting=len(record.tasks),
        replaces=credential.replaces if credential else None,
        primary=credential.primary if credential else None,
    )


def without_card(record: CardRecord) -> tuple[OperationKind, ...]:
    """Return what may be done now although the card is not here."""
    ways = [way for way in reachable(record.state) if way in WITHOUT_CARD]
    if is_being_retired(record):
        ways = [way for way in ways if way in FOR_GOOD]
    if known_to_owner(record):
        return ()
    if record.pin is not PinState.HOLDER:  # its holder has to choose a PIN
        ways = [way for way in ways if way is not OperationKind.RESUME]
    return tuple(ways)


def _once(records: Iterable[CardRecord]) -> Iterable[CardRecord]:
    return {record.record_id: record for record in records}.values()


def _read_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _time(at: datetime | None) -> str:
    return at.isoformat() if at is not None else ""
