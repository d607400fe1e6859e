"""Operations under an operator's session: what a role lets begin, and what ends one that has begun."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import uuid4

import pytest

from server.authority.access import Caller
from server.authority.acting import Acting
from server.authority.policy import Principal, unrestricted
from server.authority.sessions import Sessions
from server.ports.store import AuditKind, OperatorState, SessionId
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.credential.model import State
from shared.credential.pins import PinPolicy
from shared.errors import KioskError
from shared.logon import LogonPurpose
from shared.piv.ids import ObjectId, ProfileName
from shared.roles import PRESETS, Grant, Level, Role, union
from shared.secret import Secret
from tests.scenario.lab import BOB, Holder, Lab
from tests.server.authority.logons import Clerk, Person
from tests.server.store.examples import EVIDENCE, a_key, a_station, with_template

TEMPLATE = "employee"


def acting(caller: Caller, *roles: Role) -> Caller:
    return replace(caller, principal=Principal(actor="anna", permissions=union(roles)))


def role(*grants: Grant) -> Role:
    return Role(name="test", title="Test", grants=grants)


def execute(operation: OperationKind, *templates: str) -> Role:
    names = frozenset(templates) if templates else None
    return role(Grant(subject=operation, level=Level.EXECUTE, templates=names))


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    made = await Lab.start()
    await made.insert(ProfileName.YUBIKEY_5_7)
    yield made
    await made.close()


def become(lab: Lab, *roles: Role) -> None:
    lab.backend._caller = acting(lab.backend._caller, *roles)


async def issue(lab: Lab) -> errors.KioskError | None:
    outcome = await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template=TEMPLATE)
    return outcome.error


async def nothing_was_done(lab: Lab) -> None:
    card = lab.readers.card_in("Reader 1")
    assert card is not None
    assert ObjectId.CHUID not in card.memory.objects
    kinds = [entry.record.kind for entry in await lab.store.audit.page(0, 100)]
    assert AuditKind.REFUSED in kinds
    assert AuditKind.OPERATION not in kinds


async def test_who_is_nobody_begins_nothing(lab: Lab) -> None:
    lab.backend._caller = replace(lab.backend._caller, principal=None)
    assert isinstance(await issue(lab), errors.LogonNeeded)
    await nothing_was_done(lab)


@pytest.mark.parametrize(
    "may",
    [
        role(),
        PRESETS["restricted"],
        PRESETS["key-recovery"],
        execute(OperationKind.ISSUE, "visitor"),
        execute(OperationKind.REGISTER),
        role(Grant(subject=OperationKind.ISSUE, level=Level.VIEW)),
    ],
    ids=["nothing", "restricted", "key-recovery", "another template", "another operation", "view"],
)
async def test_a_role_without_it_issues_nothing(lab: Lab, may: Role) -> None:
    become(lab, may)
    assert isinstance(await issue(lab), errors.NotAllowed)
    await nothing_was_done(lab)


@pytest.mark.parametrize(
    "may", [execute(OperationKind.ISSUE), execute(OperationKind.ISSUE, TEMPLATE), PRESETS["normal"]]
)
async def test_a_role_with_it_issues(lab: Lab, may: Role) -> None:
    become(lab, may)
    assert await issue(lab) is None


async def test_the_template_of_the_card_counts(lab: Lab) -> None:
    """Nobody names a template to activate a card; the record knows whose it is."""
    assert await issue(lab) is None
    become(lab, execute(OperationKind.ACTIVATE, "visitor"))
    refused = await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=["824650"]))
    assert isinstance(refused.error, errors.NotAllowed)
    assert refused.state == State.ISSUED
    become(lab, execute(OperationKind.ACTIVATE, TEMPLATE))
    assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=["824650"]))).error is None


async def test_a_decision_without_the_card_takes_the_same(lab: Lab) -> None:
    assert await issue(lab) is None
    (record,) = await lab.store.credentials.of_holder(BOB.holder)
    become(lab, execute(OperationKind.REVOKE, "visitor"), execute(OperationKind.SUSPEND))
    with pytest.raises(errors.NotAllowed):
        await lab.backend.decide(record.record_id, OperationKind.REVOKE, "lost")
    for ask in (lab.backend.read_out, lab.backend.make_unblock_code):
        with pytest.raises(errors.NotAllowed):
            await ask(record.record_id)
    become(lab, execute(OperationKind.REVOKE, TEMPLATE))
    assert (await lab.backend.decide(record.record_id, OperationKind.REVOKE, "lost")).state is State.REVOKED


# --- while it runs --------------------------------------------------------------------------------------


@dataclass
class Desk:
    """The lab's desk, where an operator is logged on."""

    lab: Lab
    clerk: Clerk
    sessions: Sessions
    caller: Caller
    anna: Person

    @classmethod
    async def manned(cls, lab: Lab) -> "Desk":
        store, clock = lab.store, lab.services.clock
        await with_template(store)
        anna = Person(until=clock.now() + timedelta(days=1))
        clerk = await Clerk.hired(store, anna, "normal")
        sessions = Sessions(store, clock, names=["lab"])
        acting = Acting(store.operators, store.roles, sessions)
        station = a_station("desk")
        await store.stations.add_station(replace(station, lab=True), EVIDENCE)
        caller = Caller(station_id=station.station_id, name="desk", lab=True, fingerprint=station.fingerprint)
        text = await sessions.challenge(caller, LogonPurpose.LOG_ON, "lab")
        opened = await sessions.log_on(caller, anna.prove(text))
        made = cls(lab, clerk, sessions, await acting.of(caller, opened.token.reveal()), anna)
        lab.engine._again = acting.again
        lab.backend._caller = made.caller
        return made


class Interrupted(Holder):
    """Somebody who types a PIN while something happens elsewhere."""

    def __init__(self, happens: Callable[[], Awaitable[object]]) -> None:
        super().__init__(new_pins=["824650"])
        self._happens = happens

    async def new_pin(self, policy: PinPolicy, problem: KioskError | None) -> Secret | None:
        await self._happens()
        return await super().new_pin(policy, problem)


async def test_a_session_acts_and_is_named_in_evidence(lab: Lab) -> None:
    desk = await Desk.manned(lab)
    assert await issue(lab) is None
    began = [entry.record for entry in await lab.store.audit.page(0, 1000) if entry.record.event == "began"]
    assert [each.actor for each in began] == [str(desk.clerk.operator.operator_id)]


@pytest.mark.parametrize("how", ["revoked", "deactivated", "logged off", "another role"])
async def test_a_session_that_ends_stops_what_it_does(lab: Lab, how: str) -> None:
    """At the next border between two steps; the card is gone on with by somebody who may."""
    assert await issue(lab) is None
    desk = await Desk.manned(lab)
    operators, operator_id = lab.store.operators, desk.clerk.operator.operator_id
    ends: dict[str, Callable[[], Awaitable[object]]] = {
        "revoked": lambda: desk.clerk.set_credential(State.REVOKED),
        "deactivated": lambda: operators.set_state(operator_id, OperatorState.INACTIVE, EVIDENCE),
        "logged off": lambda: desk.sessions.log_off(desk.caller),
        "another role": lambda: operators.set_roles(operator_id, {"key-recovery"}, EVIDENCE),
    }
    stopped = await lab.perform(OperationKind.ACTIVATE, Interrupted(ends[how]))
    wanted = errors.NotAllowed if how == "another role" else errors.SessionEnded
    assert isinstance(stopped.error, wanted)
    assert stopped.state == State.ISSUED
    lab.backend._caller = replace(desk.caller, session=None, principal=unrestricted("test"))
    assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=["824650"]))).error is None


async def test_what_is_sensitive_wants_the_pin_again(lab: Lab) -> None:
    assert await issue(lab) is None
    assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=["824650"]))).error is None
    desk = await Desk.manned(lab)
    lab.backend._caller = replace(desk.caller, proven=False)
    refused = await lab.perform(OperationKind.UNBLOCK, Holder(new_pins=["824651"]))
    assert isinstance(refused.error, errors.StepUpNeeded)
    assert refused.error.facts == {"what": "unblock"}
    (record,) = await lab.store.credentials.of_holder(BOB.holder)
    with pytest.raises(errors.StepUpNeeded):
        await lab.backend.decide(record.record_id, OperationKind.REVOKE, "lost")
    await lab.backend.decide(record.record_id, OperationKind.SUSPEND, "lost")  # that has to be quick


@pytest.mark.parametrize("card_here", [True, False])
async def test_a_session_does_not_come_back_with_its_credential(lab: Lab, card_here: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """Suspended and resumed while its operator did nothing: the card has to prove itself anew."""
    assert await issue(lab) is None
    assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=["824650"]))).error is None
    (record,) = await lab.store.credentials.of_holder(BOB.holder)
    assert record.credential is not None
    desk = await Desk.manned(lab)
    bob = record.certificates[0]
    key = a_key(digest=hashlib.sha256(bob.public_key).digest(), credential_id=record.credential.credential_id)
    await lab.store.operators.add_key(desk.clerk.operator.operator_id, key, EVIDENCE)
    assert desk.caller.session is not None
    other = replace(
        desk.caller.session.session,
        session_id=SessionId(uuid4()),
        token_digest=bytes(32),
        key_digest=key.digest,
    )
    await lab.store.sessions.open(other, EVIDENCE)
    if card_here:
        suspended = await lab.perform(OperationKind.SUSPEND, reason="lost")
        assert suspended.error is None
    else:
        await lab.backend.decide(record.record_id, OperationKind.SUSPEND, "lost")
    live = await lab.store.sessions.live()
    assert [each.session_id for each in live] == [desk.caller.session.session.session_id]
