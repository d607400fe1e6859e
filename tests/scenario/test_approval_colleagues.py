"""Two colleagues let a card be unblocked: their own cards in a reader, and what a lying server gets of it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from uuid import UUID

import pytest

from kiosk.ports import LineEnds
from kiosk.station.approving import ApprovalLine, approve
from server.authority.access import Caller
from server.authority.approvals import Approvals
from server.connectors.directory.memory import MemoryDirectory
from shared import approval_words, errors
from shared.approvals import ApprovalState, ApprovalView, ApprovalWish
from shared.credential.approval import Approvers, Way
from shared.credential.lifecycle import OperationKind
from shared.credential.model import HolderId, Person
from shared.piv.ids import ProfileName
from shared.sessions import LogonProof
from tests.scenario.approving import Second, service
from tests.scenario.lab import ALICE, BOB, Holder, Lab
from tests.scenario.templates import EMPLOYEE

PIN, NEW = "824650", "913572"
GUARDED = f"""{EMPLOYEE}
[[approval]]
operations = ["unblock"]
by = "colleagues"
count = 2
"""
DORA = replace(BOB, holder=HolderId("7a7e7c6e-0003"), name="Dora Maar")
PEOPLE = (BOB, ALICE, DORA)


@dataclass
class Line:
    """The server's approvals without a wire; what it sends may be another request than it says."""

    approvals_: Approvals
    caller: Caller
    lie: UUID | None = None

    @property
    def ends(self) -> LineEnds:
        return LineEnds(server="lab", station=self.caller.fingerprint)

    async def request_approval(self, wish: ApprovalWish) -> ApprovalView:
        return await self.approvals_.request(self.caller, wish)

    async def approvals(self) -> list[ApprovalView]:
        return list(await self.approvals_.list(self.caller))

    async def approval(self, request_id: UUID) -> ApprovalView:
        return await self.approvals_.show(self.caller, request_id)

    async def approval_challenge(self, request_id: UUID) -> bytes:
        return await self.approvals_.challenge(self.caller, self.lie or request_id, "lab")

    async def approve(self, request_id: UUID, proof: LogonProof, card: UUID | None) -> ApprovalView:
        return await self.approvals_.approve(self.caller, request_id, proof, card)

    async def decline(self, request_id: UUID, why: str) -> ApprovalView:
        return await self.approvals_.decline(self.caller, request_id, why)

    async def withdraw(self, request_id: UUID) -> ApprovalView:
        return await self.approvals_.withdraw(self.caller, request_id)


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    people = {"people": MemoryDirectory(PEOPLE)}
    made = await Lab.start(template=GUARDED, adapt=lambda services: replace(services, directories=people))
    for number, person in enumerate(PEOPLE):
        await made.insert(ProfileName.YUBIKEY_5_7, serial=1001 + number, name=person.name)
        issued = await made.perform(OperationKind.ISSUE, subject=person.holder, template="employee")
        assert issued.error is None
        assert (await made.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))).error is None
        await made.readers.pull("Reader 1")
    await Second.hired(made)
    yield made
    await made.close()


@pytest.fixture
def line(lab: Lab) -> Line:
    return Line(service(lab), lab.backend._caller)


async def unblock(lab: Lab, person: Person = BOB) -> errors.KioskError | None:
    await lab.readers.insert("Reader 1", person.name)
    came = (await lab.perform(OperationKind.UNBLOCK, Holder(new_pins=[NEW]))).error
    await lab.readers.pull("Reader 1")
    return came


async def ask(lab: Lab, line: Line) -> ApprovalView:
    (card,) = await lab.store.credentials.of_holder(BOB.holder)
    return await line.request_approval(ApprovalWish(way=Way.UNBLOCK, card=str(card.record_id)))


async def agree(lab: Lab, line: ApprovalLine, seen: ApprovalView, person: Person) -> ApprovalView:
    """Let somebody approve with their own card and its PIN."""
    await lab.readers.insert("Reader 1", person.name)
    holder = Holder(current_pins=[PIN])
    try:
        return await approve(lab.readers, line, seen, "Reader 1", holder, lab.services.clock)
    finally:
        await lab.readers.pull("Reader 1")


async def test_two_colleagues_unblock_a_card(lab: Lab, line: Line) -> None:
    assert isinstance(await unblock(lab), errors.ApprovalNeeded)
    asked = await ask(lab, line)
    assert asked.intent.by is Approvers.COLLEAGUES
    first = await agree(lab, line, asked, ALICE)
    assert [each.name for each in first.signed] == ["Alice Jones"]
    assert first.left == 1
    refused = await unblock(lab)
    assert isinstance(refused, errors.ApprovalNeeded)
    assert "1 of 2" in str(refused.facts["why"])
    await agree(lab, line, asked, DORA)
    assert await unblock(lab) is None
    assert (await line.approval(asked.request_id)).state is ApprovalState.SPENT
    assert isinstance(await unblock(lab), errors.ApprovalNeeded), "once"


async def test_neither_the_holder_nor_one_colleague_twice(lab: Lab, line: Line) -> None:
    asked = await ask(lab, line)
    with pytest.raises(errors.ApprovalRefused, match="themselves"):
        await agree(lab, line, asked, BOB)
    await agree(lab, line, asked, ALICE)
    with pytest.raises(errors.ApprovalRefused, match="already"):
        await agree(lab, line, asked, ALICE)


async def test_a_colleague_whose_card_is_out_of_use_is_none(lab: Lab, line: Line) -> None:
    asked = await ask(lab, line)
    (card,) = await lab.store.credentials.of_holder(ALICE.holder)
    await agree(lab, line, asked, DORA)
    approved = await agree(lab, line, asked, ALICE)
    assert not approved.left
    await lab.backend.decide(card.record_id, OperationKind.SUSPEND, "lost")
    refused = await unblock(lab)
    assert isinstance(refused, errors.ApprovalNeeded)
    assert "1 of 2" in str(refused.facts["why"])
    another = await ask(lab, line)
    with pytest.raises(errors.ApprovalRefused):
        await agree(lab, line, another, ALICE)


async def test_a_card_that_asks_for_no_pin_approves_nothing(lab: Lab, line: Line) -> None:
    """Whoever finds it signs with it: nobody has shown to be there."""
    quick = EMPLOYEE.replace('name = "employee"', 'name = "quick"', 1)
    await lab.apply(quick.replace('algorithm = "P-256"', 'algorithm = "P-256"\npin-policy = "never"', 1))
    await lab.insert(ProfileName.YUBIKEY_5_7, serial=1009, name="found")
    issued = await lab.perform(OperationKind.ISSUE, subject=ALICE.holder, template="quick")
    assert issued.error is None
    assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))).error is None
    await lab.readers.pull("Reader 1")
    with pytest.raises(errors.ApprovalRefused, match="no active card of a colleague"):
        await agree(lab, line, await ask(lab, line), replace(ALICE, name="found"))


async def test_a_server_that_shows_one_request_gets_no_signature_for_another(lab: Lab, line: Line) -> None:
    shown, other = await ask(lab, line), await ask(lab, line)
    line.lie = other.request_id
    with pytest.raises(errors.ChallengeRefused) as refused:
        await agree(lab, line, shown, ALICE)
    assert refused.value.facts == {"why": "intent"}


async def test_what_is_over_is_not_put_before_anybody(lab: Lab, line: Line) -> None:
    asked = await ask(lab, line)
    over = await line.withdraw(asked.request_id)
    with pytest.raises(errors.ApprovalRefused):
        await agree(lab, line, over, ALICE)


async def test_all_that_decides_is_said_in_words(lab: Lab, line: Line) -> None:
    asked = await ask(lab, line)
    said = "\n".join(approval_words.lines(asked))
    for part in (
        "Unblock a card",
        "Bob Smith (7a7e7c6e-0001)",
        "employee",
        str(asked.intent.card),
        str(asked.intent.credential),
        "set the PIN",
        "2 of colleagues of the holder",
        f"{asked.intent.expires_at:%Y-%m-%d %H:%M} UTC",
    ):
        assert part in said
    assert approval_words.document(asked)["digest"] == asked.intent.digest.hex()
    assert "0 of 2" in approval_words.summary(asked)
