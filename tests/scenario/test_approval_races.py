"""An approval is spent by what was opened with it: whoever comes too late, or finds the card taken, neither uses it up nor spoils it."""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from kiosk.station.faces import Job
from server.connectors.directory.memory import MemoryDirectory
from server.operations.journal import Journal
from server.ports.approvals import ApprovalState
from server.ports.store import Lease, Opening
from shared import errors
from shared.credential.approval import Way
from shared.credential.lifecycle import OperationKind
from shared.credential.model import CardRecord, OperationId, StationId
from shared.credential.pins import PinPolicy
from shared.errors import KioskError
from shared.piv.ids import Ins, ProfileName
from shared.secret import Secret
from shared.virtual.card import VirtualCard
from shared.virtual.faults import Fault, FaultKind
from tests.scenario.approving import Second
from tests.scenario.lab import ALICE, BOB, Holder, Lab, Notes
from tests.scenario.templates import EMPLOYEE

PIN = "824650"
OTHER = "Reader 2"
GUARDED = f"""{EMPLOYEE}
[[approval]]
operations = ["issue", "activate"]
"""
BADGE: dict[str, Any] = {"subject": BOB.holder, "template": "employee"}


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    people = {"people": MemoryDirectory([BOB, ALICE])}
    made = await Lab.start(template=GUARDED, adapt=lambda services: replace(services, directories=people))
    await made.insert(ProfileName.YUBIKEY_5_7)
    yield made
    await made.close()


async def spendings(lab: Lab, request_id: object) -> int:
    entries = await lab.store.audit.about(str(request_id))
    return sum(each.record.event == "approval-spent" for each in entries)


class Interrupted(Holder):
    """Somebody who takes so long to type a PIN that another station has begun to work on the card."""

    lab: Lab
    lease: Lease | None = None

    async def new_pin(self, policy: PinPolicy, problem: KioskError | None) -> Secret | None:
        store = self.lab.store
        (record,) = await store.credentials.of_holder(BOB.holder)
        self.lease = await store.cards.open(elsewhere(record))
        await store.cards.extend(self.lease, proven=True)
        return await super().new_pin(policy, problem)


def elsewhere(record: CardRecord) -> Opening:
    return Opening(
        operation_id=OperationId(uuid4()),
        kind=OperationKind.CHANGE_PIN.value,
        record_id=record.record_id,
        station=StationId(uuid4()),
        seen=record,
    )


async def test_an_operation_that_finds_the_card_taken_spends_nothing(lab: Lab) -> None:
    carol = await Second.hired(lab)
    await carol.agree(Way.ISSUE, holder=BOB.holder, template="employee")
    assert (await lab.perform(OperationKind.ISSUE, **BADGE)).error is None
    asked = await carol.agree(Way.ACTIVATE, holder=BOB.holder)
    holder = Interrupted(new_pins=[PIN])
    holder.lab = lab
    outcome = await lab.perform(OperationKind.ACTIVATE, holder)
    assert isinstance(outcome.error, errors.CardLeased | errors.StoreConflict), outcome.error
    kept = await lab.store.approvals.by_id(asked.request_id)
    assert kept is not None
    assert kept.state is ApprovalState.OPEN
    assert await spendings(lab, asked.request_id) == 0
    assert holder.lease is not None
    await lab.store.cards.release(holder.lease)
    assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))).error is None


async def test_who_comes_too_late_does_not_spoil_what_was_begun(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two stations spend one approval at the same time: the first is cut, and can be gone on with all the same."""
    carol = await Second.hired(lab)
    asked = await carol.agree(Way.ISSUE, holder=BOB.holder, template="employee")
    there = Job(operation=OperationKind.ISSUE, reader=OTHER, holder=BOB.holder, template="employee")
    opened = Journal.open

    async def late(journal: Journal, opening: Opening, *, firm: bool = False) -> Lease:
        monkeypatch.setattr(Journal, "open", opened)
        lab.readers.attach(OTHER)
        lab.readers.add_card(
            "second", VirtualCard.new(ProfileName.YUBIKEY_5_7, serial=1002, random=os.urandom)
        )
        await lab.readers.insert(OTHER, "second")
        lab.readers.arm("second", Fault(kind=FaultKind.RESPONSE_LOST, ins=Ins.GENERATE_ASYMMETRIC, at=1))
        first = await lab.station.perform(there, Holder(), Notes())
        assert isinstance(first.error, errors.CardLost), first.error
        return await opened(journal, opening, firm=firm)

    monkeypatch.setattr(Journal, "open", late)
    second = await lab.perform(OperationKind.ISSUE, **BADGE)
    assert isinstance(second.error, errors.StoreConflict), second.error
    assert await spendings(lab, asked.request_id) == 1
    await lab.readers.insert(OTHER, "second")
    assert (await lab.station.perform(there, Holder(), Notes())).error is None
