"""Second persons: operators and colleagues with cards of their own, and requests that they approve."""

import os
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Self
from uuid import UUID, uuid4

from server.authority.access import Caller
from server.authority.approval_proof import ApprovalProofs
from server.authority.approvals import Approvals
from server.authority.proofs import Proofs
from server.ports.store import LoggedOn, LogonMethod, OperatorRecord, SessionId, SessionRecord
from shared.approvals import ApprovalView, ApprovalWish
from shared.credential.approval import Way
from shared.credential.model import HolderId, State, StationId
from tests.scenario.lab import Lab
from tests.server.authority.logons import Clerk, Person
from tests.server.store.examples import BADGE, with_template

ADMINISTRATOR = "system-administrator"


def service(lab: Lab) -> Approvals:
    """Return what the lab's server asks about approvals."""
    proofs = Proofs(lab.store, lab.services.clock, names=["lab"], random=os.urandom)
    return Approvals(lab.services, ApprovalProofs(lab.store, lab.services.clock, proofs))


@dataclass
class Second:
    """An operator who is asked, at a station of their own; whoever works at the lab's own is somebody else."""

    lab: Lab
    clerk: Clerk
    caller: Caller
    approvals: Approvals = field(init=False)

    def __post_init__(self) -> None:
        self.approvals = service(self.lab)

    @classmethod
    async def hired(cls, lab: Lab, name: str = "Carol Reed", *roles: str) -> Self:
        """Make an operator, with a card that is in the record; from then on there are operators."""
        if await lab.store.templates.version(BADGE) is None:
            await with_template(lab.store)
        clerk = await Clerk.hired(lab.store, Person(), *(roles or (ADMINISTRATOR,)), name=name)
        caller = replace(lab.backend._caller, station_id=StationId(uuid4()), fingerprint=os.urandom(32))
        return cls(lab, clerk, caller)

    @property
    def operator(self) -> OperatorRecord:
        return self.clerk.operator

    async def ask(self, way: Way, **wish: Any) -> ApprovalView:
        """Ask for it as whoever works at the lab's station."""
        if way is not Way.ISSUE and "card" not in wish:
            wish["card"] = str(await self.record_id(wish.pop("holder")))
        return await self.approvals.request(self.lab.backend._caller, ApprovalWish(way=way, **wish))

    async def approve(self, request_id: UUID) -> ApprovalView:
        """Sign it with the card."""
        text = await self.approvals.challenge(self.caller, request_id, "lab")
        return await self.approvals.approve(self.caller, request_id, self.clerk.person.prove(text), None)

    async def agree(self, way: Way, **wish: Any) -> ApprovalView:
        """Be asked, and approve."""
        return await self.approve((await self.ask(way, **wish)).request_id)

    async def record_id(self, holder: HolderId) -> UUID:
        """Return the holder's newest card that has a credential."""
        cards = await self.lab.store.credentials.of_holder(holder)
        return [card.record_id for card in cards if card.credential is not None][-1]

    async def dismissed(self) -> None:
        """Let the operator's card be suspended."""
        await self.clerk.set_credential(State.SUSPENDED)


def logged_on(lab: Lab, second: Second) -> None:
    """Let the lab's station act as this operator."""
    operator, now = second.operator, lab.services.clock.now()
    session = SessionRecord(
        session_id=SessionId(uuid4()),
        token_digest=os.urandom(32),
        operator_id=operator.operator_id,
        key_digest=operator.keys[0].digest,
        method=LogonMethod.CARD,
        station_id=lab.backend._caller.station_id,
        fingerprint=lab.backend._caller.fingerprint,
        began_at=now,
        last_seen_at=now,
        expires_at=now + timedelta(hours=12),
    )
    present = LoggedOn(session=session, operator=operator)
    lab.backend._caller = replace(lab.backend._caller, session=present, proven=True)
