"""Holders at the server's door: real sessions, and one card that is theirs."""

from collections.abc import Sequence
from uuid import UUID

from server.authority.access import Caller
from server.authority.holders import HolderSessions
from server.authority.self_service import SelfServices
from server.connectors.directory.memory import MemoryDirectory
from server.ports.connection import Ability
from shared import errors
from shared.approvals import ApprovalView, ApprovalWish
from shared.console import CardHints, CardView
from shared.credential.lifecycle import OperationKind
from shared.credential.model import HolderId, Person, State
from shared.credentials import CredentialView, DecisionView, FoundCredentials
from shared.secret import Secret

OWN = UUID(int=4711)
ANNA = Person(holder=HolderId("anna"), name="Anna Berg", attributes={"user": "aberg"})
PASSWORD = "correct horse"


class Passwords(MemoryDirectory):
    """One person, with a password."""

    def __init__(self) -> None:
        super().__init__([ANNA])
        self.tried = 0

    @property
    def abilities(self) -> frozenset[Ability]:
        return super().abilities | {Ability.AUTHENTICATE}

    async def authenticate(self, holder: HolderId, password: Secret) -> bool:
        self.tried += 1
        return holder == ANNA.holder and password.reveal() == PASSWORD.encode()


class OwnCards(SelfServices):
    """What holders ask, with one card; who is logged on is judged as ever."""

    def __init__(self, sessions: HolderSessions) -> None:
        self._sessions = sessions

    async def look_up(self, caller: Caller, hints: CardHints) -> CardView:
        del caller
        if hints.guid != OWN:
            raise errors.NotYours
        return CardView(state=State.ACTIVE, reachable=(OperationKind.CHANGE_PIN,))

    async def credentials(self, caller: Caller, text: str) -> FoundCredentials:
        del text
        assert caller.holder is not None
        view = CredentialView(
            record_id=OWN,
            credential_id=None,
            state=State.ACTIVE,
            holder=caller.holder.holder,
            holder_name=caller.holder.name,
        )
        return FoundCredentials(credentials=(view,), more=False)

    async def decide(
        self, caller: Caller, record_id: UUID, operation: OperationKind, reason: str
    ) -> DecisionView:
        del caller, operation, reason
        if record_id != OWN:
            raise errors.NotYours
        return DecisionView(state=State.SUSPENDED, facts={})

    async def request_approval(self, caller: Caller, wish: ApprovalWish) -> ApprovalView:
        del caller, wish
        raise errors.NotYours

    async def approvals(self, caller: Caller) -> Sequence[ApprovalView]:
        assert caller.holder is not None
        return ()

    async def withdraw_approval(self, caller: Caller, request_id: UUID) -> ApprovalView:
        del caller, request_id
        raise errors.NotYours
