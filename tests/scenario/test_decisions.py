"""Suspend, resume, revoke, delete, with and without the card: decided once, then carried to whoever has to know."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from server.connectors.keystore.memory import MemoryKeyStore
from server.operations.services import Services
from server.operations.tasks import attempt, pause
from server.ports.ca import Reason
from shared import errors
from shared.clock import SystemClock
from shared.credential.model import CardRecord, CertificateState, PinState, State
from shared.credential.reasons import Cause
from shared.piv.ids import Ins, ProfileName
from shared.relay import OperationKind
from shared.virtual.faults import Fault, FaultKind
from tests.scenario.lab import BOB, Holder, Lab
from tests.scenario.templates import EMPLOYEE

PIN = "739154"
PROFILES = [ProfileName.YUBIKEY_5_7, ProfileName.YUBIKEY_4, ProfileName.UNKNOWN]


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    made = await Lab.start()
    yield made
    await made.close()


async def active(lab: Lab, profile: ProfileName = ProfileName.YUBIKEY_5_7) -> CardRecord:
    await lab.insert(profile)
    assert (await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")).error is None
    assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))).error is None
    await lab.settle()
    return await record(lab)


async def record(lab: Lab) -> CardRecord:
    (found,) = await lab.store.credentials.of_holder(BOB.holder)
    return found


def reasons(lab: Lab) -> list[str]:
    return [e.reason for e in lab.store._book.state.ledger.values() if e.request_id is not None]


def pin(lab: Lab) -> bytes:
    return lab.readers.card("card").memory.pin.value.reveal()


# --- with the card --------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", PROFILES)
async def test_a_suspended_credential_is_of_no_use_until_it_is_resumed(
    lab: Lab, profile: ProfileName
) -> None:
    await active(lab, profile)
    before = lab.readers.card("card").memory
    outcome = await lab.perform(OperationKind.SUSPEND, reason=Cause.FORGOTTEN)
    assert outcome.error is None
    assert outcome.state == State.SUSPENDED
    assert outcome.facts["waiting"] == 0
    assert reasons(lab) == [Reason.CERTIFICATE_HOLD] * 4
    held = await record(lab)
    assert {each.state for each in held.certificates} == {CertificateState.HELD}
    assert held.credential is not None
    assert (held.credential.reason, held.pin) == (Cause.FORGOTTEN, PinState.TRANSPORT)
    assert pin(lab) != before.pin.value.reveal()
    for operation in (OperationKind.UNBLOCK, OperationKind.ACTIVATE, OperationKind.CHANGE_PIN):
        refused = await lab.perform(operation, Holder(new_pins=["482615"]))
        assert refused.error is not None
        assert refused.error.code == "transition-forbidden"
    resumed = await lab.perform(OperationKind.RESUME, Holder(new_pins=["482615"]))
    assert resumed.error is None
    assert resumed.state == State.ACTIVE
    assert reasons(lab) == [""] * 4
    free = await record(lab)
    assert {each.state for each in free.certificates} == {CertificateState.CONFIRMED}
    assert free.credential is not None
    assert (free.credential.reason, free.credential.since, free.pin) == ("", None, PinState.HOLDER)
    assert pin(lab) == b"482615\xff\xff"
    assert lab.readers.card("card").memory.keys == before.keys


@pytest.mark.parametrize("profile", PROFILES)
async def test_a_deleted_record_is_closed_and_its_card_useless(lab: Lab, profile: ProfileName) -> None:
    before = await active(lab, profile)
    outcome = await lab.perform(OperationKind.DELETE, reason=Cause.LEFT)
    assert outcome.error is None
    assert outcome.state == State.DELETED
    assert reasons(lab) == [Reason.CESSATION_OF_OPERATION] * 4
    assert pin(lab) != f"{PIN}\xff\xff".encode("latin-1")
    assert await lab.store.credentials.of_holder(BOB.holder) == ()
    closed = await lab.store.cards.card(before.record_id)
    assert closed is not None
    assert closed.state is State.DELETED
    events = [entry for entry in await lab.store.audit.page(0, 10_000) if entry.record.event == "deleted"]
    (tombstone,) = events
    assert tombstone.record.facts["holder"] == BOB.holder
    assert tombstone.record.facts["reason"] == Cause.LEFT


@pytest.mark.parametrize("operation", [OperationKind.SUSPEND, OperationKind.REVOKE, OperationKind.DELETE])
@pytest.mark.parametrize("kind", [FaultKind.COMMAND_LOST, FaultKind.RESPONSE_LOST])
@pytest.mark.parametrize("profile", [ProfileName.YUBIKEY_5_7, ProfileName.UNKNOWN])
async def test_what_was_decided_stands_when_the_card_is_pulled(
    profile: ProfileName, kind: FaultKind, operation: OperationKind
) -> None:
    count = await _commands(profile, operation)
    decided = 0
    for at in range(1, count + 1):
        lab = await Lab.start()
        try:
            await active(lab, profile)
            lab.readers.arm("card", Fault(kind=kind, at=at))
            outcome = await lab.perform(operation, reason=Cause.STOLEN)
            assert outcome.error is not None, at
            await lab.readers.insert("Reader 1", "card")
            await lab.settle()
            if outcome.state in {State.ACTIVE, "unknown"}:
                assert reasons(lab) == [""] * 4, at
                assert pin(lab) == b"739154\xff\xff"
                continue
            decided += 1
            assert "" not in reasons(lab), at
            assert outcome.next_action == "insert-again"
            carried = await lab.perform(OperationKind.UPDATE)
            assert carried.error is None, at
            assert carried.state == outcome.state
            assert pin(lab) != b"739154\xff\xff", at
            puk = lab.readers.card("card").memory.puk
            assert puk.left == puk.tries
        finally:
            await lab.close()
    assert decided > 0


async def _commands(profile: ProfileName, operation: OperationKind) -> int:
    """Return how many commands an operation takes that nothing cuts; an update has a new master key to do."""
    lab = await Lab.start()
    try:
        await active(lab, profile)
        if operation is OperationKind.UPDATE:
            await _new_master_key(lab)
        before = lab.readers.card("card").commands
        assert (await lab.perform(operation, reason=Cause.STOLEN)).error is None
        return lab.readers.card("card").commands - before
    finally:
        await lab.close()


# --- without the card -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "state"),
    [
        (OperationKind.SUSPEND, State.SUSPENDED),
        (OperationKind.REVOKE, State.REVOKED),
        (OperationKind.DELETE, State.DELETED),
    ],
)
@pytest.mark.parametrize("profile", PROFILES)
async def test_a_decision_without_the_card_is_carried_to_it(
    lab: Lab, profile: ProfileName, operation: OperationKind, state: State
) -> None:
    before = await active(lab, profile)
    memory = lab.readers.card("card").memory
    await lab.readers.pull("Reader 1")
    (found,) = (await lab.station.find_credentials("smith")).credentials
    assert operation in found.reachable
    assert not found.waits_for_card
    decided = await lab.station.decide(found.record_id, operation, Cause.STOLEN)
    assert decided.state is state
    assert decided.facts["waiting"] == 0
    assert "" not in reasons(lab)
    assert lab.readers.card("card").memory == memory
    await lab.readers.insert("Reader 1", "card")
    await lab.settle()
    view = (await lab.station.refresh("Reader 1")).record
    assert view is not None
    assert view.state is state
    assert view.at_sight is OperationKind.UPDATE
    assert (await lab.perform(OperationKind.UPDATE)).error is None
    assert pin(lab) != memory.pin.value.reveal()
    after = await lab.store.cards.card(before.record_id)
    assert after is not None
    assert (after.state, after.pin) == (state, PinState.TRANSPORT)
    view = (await lab.station.refresh("Reader 1")).record
    assert view is not None
    assert view.at_sight is None


async def test_a_suspension_that_never_reached_the_card_leaves_its_pin(lab: Lab) -> None:
    found = await active(lab)
    await lab.readers.pull("Reader 1")
    await lab.station.decide(found.record_id, OperationKind.SUSPEND, Cause.FORGOTTEN)
    assert reasons(lab) == [Reason.CERTIFICATE_HOLD] * 4
    assert (await lab.station.decide(found.record_id, OperationKind.RESUME, "")).state is State.ACTIVE
    assert reasons(lab) == [""] * 4
    await lab.readers.insert("Reader 1", "card")
    await lab.settle()
    assert pin(lab) == b"739154\xff\xff"
    assert (await lab.perform(OperationKind.CHANGE_PIN, Holder([PIN[::-1]], [PIN]))).error is None


async def test_a_suspension_that_reached_the_card_needs_it_to_be_resumed(lab: Lab) -> None:
    found = await active(lab)
    assert (await lab.perform(OperationKind.SUSPEND, reason=Cause.FORGOTTEN)).error is None
    with pytest.raises(errors.CardNeeded):
        await lab.station.decide(found.record_id, OperationKind.RESUME, "")
    assert (await record(lab)).state is State.SUSPENDED


@pytest.mark.parametrize("operation", [OperationKind.RETIRE, OperationKind.ISSUE, OperationKind.UPDATE])
async def test_what_needs_the_card_is_not_decided_without_it(lab: Lab, operation: OperationKind) -> None:
    found = await active(lab)
    with pytest.raises(errors.CardNeeded):
        await lab.station.decide(found.record_id, operation, Cause.LEFT)


@pytest.mark.parametrize("reason", ["", "boredom"])
async def test_a_decision_has_a_reason(lab: Lab, reason: str) -> None:
    found = await active(lab)
    with pytest.raises(errors.Invalid):
        await lab.station.decide(found.record_id, OperationKind.REVOKE, reason)
    assert reasons(lab) == [""] * 4


async def test_a_card_that_was_lost_in_its_issue_leaves_no_certificate(lab: Lab) -> None:
    """Nobody comes back with it: deleting the record gives the issue up and revokes what it was given."""
    await lab.insert(ProfileName.YUBIKEY_5_7)
    lab.readers.arm("card", Fault(kind=FaultKind.COMMAND_LOST, at=await _last_writes()))
    cut = await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")
    assert cut.error is not None
    assert reasons(lab) == [""] * 4
    found = await record(lab)
    assert found.open_operation is not None
    (listed,) = (await lab.station.find_credentials(BOB.holder)).credentials
    assert listed.interrupted is OperationKind.ISSUE
    decided = await lab.station.decide(found.record_id, OperationKind.DELETE, Cause.LOST)
    assert decided.state is State.DELETED
    assert reasons(lab) == [Reason.SUPERSEDED] * 4
    closed = await lab.store.cards.card(found.record_id)
    assert closed is not None
    assert closed.open_operation is None


async def _last_writes() -> int:
    """Return a command at which the certificates are issued and not all of them written."""
    lab = await Lab.start()
    try:
        await lab.insert(ProfileName.YUBIKEY_5_7)
        await lab.settle()
        before = lab.readers.card("card").commands
        assert (await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")).error is None
        return lab.readers.card("card").commands - before - 25
    finally:
        await lab.close()


async def test_a_revocation_does_not_wait_for_an_update_that_was_cut() -> None:
    """The management key may be either of two then; the card still learns that it is revoked."""
    unsettled = 0
    for at in range(1, await _commands(ProfileName.UNKNOWN, OperationKind.UPDATE) + 1):
        lab = await Lab.start()
        try:
            found = await active(lab, ProfileName.UNKNOWN)
            await _new_master_key(lab)
            lab.readers.arm("card", Fault(kind=FaultKind.RESPONSE_LOST, at=at))
            assert (await lab.perform(OperationKind.UPDATE)).error is not None
            unsettled += (await record(lab)).management_key.pending is not None
            decided = await lab.station.decide(found.record_id, OperationKind.REVOKE, Cause.STOLEN)
            assert decided.state is State.REVOKED
            await lab.readers.insert("Reader 1", "card")
            await lab.settle()
            assert (await lab.perform(OperationKind.UPDATE)).error is None, at
            assert pin(lab) != b"739154\xff\xff"
            after = await record(lab)
            assert (after.open_operation, after.management_key.pending) == (None, None)
        finally:
            await lab.close()
    assert unsettled > 0


async def _new_master_key(lab: Lab) -> None:
    keystore = lab.services.keystore
    assert isinstance(keystore, MemoryKeyStore)
    await keystore.add_generation()


# --- what the template says -----------------------------------------------------------------------------

TABLE = """
[reasons]
damaged = "leave"
left = "revoke privilegeWithdrawn"
forgotten = "leave"
"""


async def test_the_template_says_what_a_reason_means() -> None:
    template = EMPLOYEE.replace("[[certificate]]", TABLE + "\n[[certificate]]", 1).replace(
        'slot = "9D"', 'slot = "9D"\nreasons = { left = "leave" }', 1
    )
    lab = await Lab.start(template=template)
    try:
        await active(lab)
        outcome = await lab.perform(OperationKind.REVOKE, reason=Cause.LEFT)
        assert outcome.error is None
        assert sorted(reasons(lab)) == ["", *[Reason.PRIVILEGE_WITHDRAWN] * 3]
    finally:
        await lab.close()


async def test_a_reason_may_leave_certificates_as_they_are() -> None:
    lab = await Lab.start(template=EMPLOYEE.replace("[[certificate]]", TABLE + "\n[[certificate]]", 1))
    try:
        await active(lab)
        assert (await lab.perform(OperationKind.SUSPEND, reason=Cause.FORGOTTEN)).error is None
        assert reasons(lab) == [""] * 4
        assert pin(lab) != b"739154\xff\xff"
    finally:
        await lab.close()


async def test_a_credential_whose_retirement_was_cut_is_not_taken_into_use_again(lab: Lab) -> None:
    """Its keys may be gone from the card. It is revoked or deleted, or its retirement is gone on with."""
    found = await active(lab)
    lab.readers.arm("card", Fault(kind=FaultKind.RESPONSE_LOST, ins=Ins.RESET_RETRY_COUNTER))
    assert (await lab.perform(OperationKind.RETIRE, reason=Cause.LEFT)).error is not None
    with pytest.raises(errors.OperationInterrupted):
        await lab.station.decide(found.record_id, OperationKind.SUSPEND, Cause.FORGOTTEN)
    (listed,) = (await lab.station.find_credentials("smith")).credentials
    assert listed.reachable == (OperationKind.REVOKE, OperationKind.DELETE)
    await lab.station.decide(found.record_id, OperationKind.REVOKE, Cause.LEFT)
    await lab.readers.insert("Reader 1", "card")
    await lab.settle()
    assert (await lab.perform(OperationKind.RETIRE, reason=Cause.LEFT)).error is None


# --- an authority that does not answer ------------------------------------------------------------------


class Asleep:
    """A certificate authority that answers again when `awake`; everything else is the built-in one's."""

    def __init__(self, services: Services) -> None:
        self.real = services.authorities["built-in"]
        self.awake = True
        self.held_up = asyncio.Event()
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    def __getattr__(self, name: str) -> object:
        return getattr(self.real, name)

    async def revoke(self, certificate: bytes, reason: Reason) -> None:
        self._wake()
        await self.real.revoke(certificate, reason)  # type: ignore[attr-defined]  # it can

    async def hold(self, certificate: bytes) -> None:
        self._wake()
        self.held_up.set()
        await self.goes_on.wait()
        await self.real.hold(certificate)  # type: ignore[attr-defined]  # it can

    async def release(self, certificate: bytes) -> None:
        self._wake()
        await self.real.release(certificate)  # type: ignore[attr-defined]  # it can

    def _wake(self) -> None:
        if not self.awake:
            raise errors.ConnectorUnreachable(connection="built-in", reason="asleep")


async def test_a_revocation_waits_for_its_authority_and_is_not_forgotten() -> None:
    sleepers: list[Asleep] = []

    def adapt(services: Services) -> Services:
        sleepers.append(Asleep(services))
        return replace(services, authorities={"built-in": sleepers[0]})  # type: ignore[dict-item]  # it stands in

    lab = await Lab.start(adapt=adapt)
    try:
        await active(lab)
        sleepers[0].awake = False
        outcome = await lab.perform(OperationKind.REVOKE, reason=Cause.STOLEN)
        assert outcome.error is None
        assert (outcome.state, outcome.facts["waiting"]) == (State.REVOKED, 4)
        assert reasons(lab) == [""] * 4
        found = await record(lab)
        assert [task.reason for task in found.tasks] == [Reason.KEY_COMPROMISE] * 4
        assert [task.attempts for task in found.tasks] == [1] * 4
        assert {task.failure for task in found.tasks} == {"asleep"}
        assert await lab.store.tasks.due(SystemClock().now(), 10) == ()
        later = SystemClock().now() + pause(0)
        due = await lab.store.tasks.due(later, 10)
        assert len(due) == 4
        assert await attempt(lab.services, due) == 4
        sleepers[0].awake = True
        due = await lab.store.tasks.due(later + timedelta(hours=1), 10)
        assert [task.attempts for task in due] == [2] * 4
        assert await attempt(lab.services, due) == 0
        assert reasons(lab) == [Reason.KEY_COMPROMISE] * 4
        assert (await record(lab)).tasks == ()
        assert {each.state for each in (await record(lab)).certificates} == {CertificateState.REVOKED}
    finally:
        await lab.close()


async def test_what_waits_to_be_held_is_revoked_when_that_is_decided() -> None:
    """The newest wish counts; a hold that was never made is no reason to release."""
    sleepers: list[Asleep] = []

    def adapt(services: Services) -> Services:
        sleepers.append(Asleep(services))
        return replace(services, authorities={"built-in": sleepers[0]})  # type: ignore[dict-item]  # it stands in

    lab = await Lab.start(adapt=adapt)
    try:
        found = await active(lab)
        sleepers[0].awake = False
        await lab.station.decide(found.record_id, OperationKind.SUSPEND, Cause.FORGOTTEN)
        await lab.station.decide(found.record_id, OperationKind.RESUME, "")
        await lab.station.decide(found.record_id, OperationKind.SUSPEND, Cause.LOST)
        await lab.station.decide(found.record_id, OperationKind.REVOKE, Cause.STOLEN)
        tasks = (await record(lab)).tasks
        assert [task.action for task in tasks] == ["revoke"] * 4
        sleepers[0].awake = True
        assert await attempt(lab.services, tasks) == 0
        assert reasons(lab) == [Reason.KEY_COMPROMISE] * 4
    finally:
        await lab.close()


async def test_a_hold_that_is_late_does_not_follow_the_release_that_was_decided_after_it() -> None:
    slow: list[Asleep] = []

    def adapt(services: Services) -> Services:
        slow.append(Asleep(services))
        return replace(services, authorities={"built-in": slow[0]})  # type: ignore[dict-item]  # it stands in

    lab = await Lab.start(adapt=adapt)
    try:
        found = await active(lab)
        slow[0].goes_on.clear()
        suspending = asyncio.create_task(
            lab.station.decide(found.record_id, OperationKind.SUSPEND, Cause.FORGOTTEN)
        )
        await slow[0].held_up.wait()
        stale = (await record(lab)).tasks
        resuming = asyncio.create_task(lab.station.decide(found.record_id, OperationKind.RESUME, ""))
        for _ in range(100):
            await asyncio.sleep(0)
        slow[0].goes_on.set()
        assert (await suspending).facts["waiting"] == 0
        assert (await resuming).facts["waiting"] == 0
        assert reasons(lab) == [""] * 4
        now = await record(lab)
        assert ({each.state for each in now.certificates}, now.tasks) == ({CertificateState.CONFIRMED}, ())
        assert await attempt(lab.services, stale) == 0, "what is not asked any more is not done"
        assert reasons(lab) == [""] * 4
    finally:
        await lab.close()
