"""What holders ask about their own cards and credentials; of anybody else's they are told nothing."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from server.authority.access import Caller
from server.authority.approvals import Approvals
from server.authority.console import Console
from server.authority.credentials import credential_view, without_card
from server.authority.holder_rights import HolderRights
from server.authority.holders import HolderSessions
from server.authority.own_approvals import OwnApprovals
from server.authority.policy import Holding
from server.operations.identify import identify
from server.operations.services import Services
from server.operations.succession import Succession
from server.ports.holders import HolderSessionRecord
from shared import errors
from shared.approvals import ApprovalView, ApprovalWish
from shared.console import CardHints, CardView
from shared.credential.lifecycle import OperationKind
from shared.credential.model import CardRecord, RecordId
from shared.credential.self_service import PROOFS
from shared.credentials import CredentialView, DecisionView, FoundCredentials
from shared.self_service import DeviceCode, DeviceWaits, HolderGiven, HolderReply, HolderView


class SelfServices:
    """Implements `server.authority.self_service_calls.SelfServiceCalls`."""

    def __init__(
        self, services: Services, sessions: HolderSessions, console: Console, approvals: Approvals
    ) -> None:
        """Show what `sessions` judges, and what `console` says of cards that are the holder's; `approvals` are everybody's."""
        self._approvals = OwnApprovals(services, approvals)
        self._services = services
        self._sessions = sessions
        self._console = console
        self._decisions = Succession(services)

    # --- who is logged on -------------------------------------------------------------------------------

    async def challenge(self, caller: Caller, server: str) -> bytes:
        """Return a text for a holder's card to sign."""
        return await self._sessions.challenge(caller, server)

    async def log_on(self, caller: Caller, given: HolderGiven) -> HolderReply:
        """Begin a session."""
        opened = await self._sessions.log_on(caller, given)
        return HolderReply(token=opened.token, session=self._view(opened.session))

    async def begin_device(self, caller: Caller, name: str) -> DeviceCode:
        """Begin a log-on that somebody finishes on another device."""
        return await self._sessions.begin_device(caller, name)

    async def ask_device(self, caller: Caller, logon_id: UUID) -> HolderReply | DeviceWaits:
        """Begin the session of whoever finished it, or say that nobody has yet."""
        outcome = await self._sessions.ask_device(caller, logon_id)
        if isinstance(outcome, DeviceWaits):
            return outcome
        return HolderReply(token=outcome.token, session=self._view(outcome.session))

    async def cancel_device(self, caller: Caller, logon_id: UUID) -> None:
        """Take it back."""
        self._sessions.cancel_device(caller, logon_id)

    async def log_off(self, caller: Caller) -> None:
        """End the caller's session."""
        await self._sessions.log_off(caller)

    async def who_is(self, caller: Caller) -> HolderView:
        """Return who is logged on."""
        if caller.holder is None:
            raise errors.LogonNeeded
        return self._view(caller.holder)

    def _view(self, session: HolderSessionRecord) -> HolderView:
        return HolderView(
            holder=session.holder,
            name=session.name,
            proof=session.proof,
            began_at=session.began_at,
            ends_at=session.expires_at,
            idle=self._sessions.limits.idle,
        )

    # --- their own --------------------------------------------------------------------------------------

    async def look_up(self, caller: Caller, hints: CardHints) -> CardView:
        """Return what the record says of a card that is the holder's, or nobody's, and what they may do with it now.

        Raises:
            NotYours: it is somebody else's; nothing is told of it.
        """
        holding = _holding(caller)
        record = (await identify(self._services.store.cards, hints)).record
        if record is not None and not await self._rights(caller).owns(holding, record):
            raise errors.NotYours
        view = await self._console.look_up(caller, hints)
        if record is None:
            view = replace(view, drift=())  # it would be that of a card that this one only looks like
        ways = await self._ways(caller, holding, record, view.reachable)
        cut = view.interrupted if view.interrupted in ways else None
        return replace(view, reachable=ways, at_sight=None, interrupted=cut)

    async def credentials(self, caller: Caller, text: str) -> FoundCredentials:
        """Return the holder's credentials that `text` means, and what they may decide about them without the card."""
        holding = _holding(caller)
        views: list[CredentialView] = []
        for record in await self._services.store.credentials.of_holder(holding.holder):
            if await self._rights(caller).owns(holding, record):
                view = await credential_view(self._services.store, record)
                if not _means(text, view):
                    continue
                views.append(
                    replace(view, reachable=await self._ways(caller, holding, record, without_card(record)))
                )
        return FoundCredentials(credentials=tuple(views), more=False)

    async def decide(
        self, caller: Caller, record_id: UUID, operation: OperationKind, reason: str
    ) -> DecisionView:
        """Suspend or revoke a credential of the holder whose card is not here; raises as `Decisions.decide`, and `NotYours`."""
        holding = _holding(caller)
        record = await self._services.store.cards.card(RecordId(record_id))
        if record is None or record.credential is None:
            raise errors.NotYours  # what there is not is not told from what is somebody else's
        await self._rights(caller).permit(holding, operation, record)
        decided = await self._decisions.decide(caller, RecordId(record_id), operation, reason)
        return DecisionView(state=decided.state, facts=decided.facts)

    async def request_approval(self, caller: Caller, wish: ApprovalWish) -> ApprovalView:
        """Ask a second person for what the holder may do; raises as `OwnApprovals.request`."""
        holding = _holding(caller)
        assert caller.holder is not None  # whoever holds has a session
        return await self._approvals.request(caller, holding, caller.holder.name, wish)

    async def approvals(self, caller: Caller) -> Sequence[ApprovalView]:
        """Return what the holder asked for and that waits."""
        _holding(caller)
        return await self._approvals.list(caller)

    async def withdraw_approval(self, caller: Caller, request_id: UUID) -> ApprovalView:
        """Take it back; raises as `OwnApprovals.withdraw`."""
        _holding(caller)
        return await self._approvals.withdraw(caller, request_id)

    async def _ways(
        self, caller: Caller, holding: Holding, record: CardRecord | None, ways: Sequence[OperationKind]
    ) -> tuple[OperationKind, ...]:
        """Return those of the ways that the holder may go now."""
        rights = self._rights(caller)
        found = []
        for way in ways:
            if way not in PROOFS:
                continue
            if way is OperationKind.ISSUE and (record is None or record.open_operation is None):
                allowed = bool(await rights.issued_here(holding))
            else:
                allowed = await rights.allows(holding, way, record)
            if allowed:
                found.append(way)
        return tuple(found)

    def _rights(self, caller: Caller) -> HolderRights:
        return HolderRights(self._services.store.templates, caller.profile)


def _holding(caller: Caller) -> Holding:
    if caller.principal is None or caller.principal.holding is None:
        raise errors.LogonNeeded
    return caller.principal.holding


def _means(text: str, view: CredentialView) -> bool:
    """Whether somebody means this one: by an id, whole, or by a part of what it is called."""
    wanted = text.strip().casefold()
    ids = {str(view.record_id), str(view.credential_id), view.holder.casefold()}
    called = f"{view.holder_name} {view.template} {view.template_title}".casefold()
    return wanted in ids or wanted in called
