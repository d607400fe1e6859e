"""What holders ask a second person for: what they may do themselves by the template, which says besides that somebody approves it.

A holder asks for themselves alone, with the proof that doing it takes, and sees what they asked for. They approve nothing here:
operators do, or colleagues, as they do for whoever asks.

Source: card-rules section 7 (approvals).
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from server.authority.access import Caller
from server.authority.approval_wishes import doing_of, named_card
from server.authority.approvals import Approvals
from server.authority.holder_rights import HolderRights
from server.authority.policy import Holding
from server.operations.services import Services
from shared import errors
from shared.approvals import ApprovalView, ApprovalWish
from shared.credential.approval import WAY_OF, Way
from shared.credential.lifecycle import OperationKind
from shared.credential.model import CardRecord

MOST_OF_ONE: Final = 5
"""Requests of one holder that wait at a time."""

_OPERATIONS: Final = {way: operation for operation, way in WAY_OF.items() if way is not None}


class OwnApprovals:
    """Ask, see and take back, for one's own credentials."""

    def __init__(self, services: Services, approvals: Approvals) -> None:
        """Keep requests with all the others."""
        self._services = services
        self._approvals = approvals

    async def request(self, caller: Caller, holding: Holding, name: str, wish: ApprovalWish) -> ApprovalView:
        """Ask for approvals of what a holder, called `name`, may do.

        Raises:
            NotYours, NotAllowed, OtherProofNeeded: the holder may not do it; of others' cards nothing is told.
            TooManyAttempts: enough of theirs wait.
            Invalid, UnknownTemplate, HolderDisabled: as `Approvals.request`.
        """
        operation = _OPERATIONS.get(wish.way)
        if operation is None or wish.roles or wish.replaces or wish.primary:
            raise errors.NotAllowed(what=f"{wish.way.value} by self-service")
        if wish.holder not in {"", holding.holder}:
            raise errors.NotYours
        record = await self._own(wish)
        rights = HolderRights(self._services.store.templates, caller.profile)
        issues = operation is OperationKind.ISSUE
        await rights.permit(holding, operation, record, template=wish.template if issues else "")
        if len(await self._approvals.mine(caller)) >= MOST_OF_ONE:
            raise errors.TooManyAttempts(seconds=60)
        wish = ApprovalWish(
            way=wish.way,
            holder=holding.holder if issues else "",
            template=wish.template if issues else "",
            card=wish.card,
        )
        doing = await doing_of(self._services, wish)
        if doing.holder != holding.holder or doing.roles:
            raise errors.NotYours
        return await self._approvals.ask(caller, doing, note="", name=name)

    async def list(self, caller: Caller) -> Sequence[ApprovalView]:
        """Return what the caller asked for and that waits, the oldest first."""
        return await self._approvals.mine(caller)

    async def withdraw(self, caller: Caller, request_id: UUID) -> ApprovalView:
        """Take back what the caller asked for.

        Raises:
            ApprovalRefused: it does not wait any more.
            NotYours: there is none of this id that the caller asked for.
        """
        if request_id not in {view.request_id for view in await self._approvals.mine(caller)}:
            raise errors.NotYours
        return await self._approvals.withdraw(caller, request_id)

    async def _own(self, wish: ApprovalWish) -> CardRecord | None:
        """Return the card that is meant; one that there is not is not told from somebody else's."""
        if wish.way is Way.ISSUE and not wish.card:
            return None
        try:
            return await named_card(self._services, wish.card)
        except errors.UnknownCard as cause:
            raise errors.NotYours from cause
