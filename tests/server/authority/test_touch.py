"""A touch through an ssh-agent: presence where the card's vendor vouches that the key takes one each time, and nowhere else."""

from dataclasses import replace

import pytest

from server.authority.access import Caller
from server.authority.acting import Acting, require_proof
from server.authority.logons import Logons
from server.authority.policy import OPERATION_RULES
from server.authority.sessions import PROOF_COUNTS
from server.ports.store import KeyChanged
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.credential.model import KeyRecord, KeyState, State
from shared.logon import LogonPurpose
from shared.piv.ids import Algorithm, Slot, TouchPolicyId
from tests.server.authority.agents import by_agent
from tests.server.authority.logons import Office, Person

ISSUE = OPERATION_RULES[OperationKind.ISSUE]


@pytest.fixture
async def office() -> Office:
    return await Office.open()


async def vouched(
    office: Office, touch: TouchPolicyId | None = TouchPolicyId.ALWAYS, **changed: object
) -> None:
    """Let the record say of the key in 9A of the operator's card what the server verified."""
    key = KeyRecord(
        slot=Slot.AUTHENTICATION,
        algorithm=Algorithm.P256,
        state=KeyState.PROVEN,
        public_key=office.anna.public_key,
        touch=touch,
    )
    await office.store.cards.apply(office.clerk.lease, [KeyChanged(key=replace(key, **changed))])  # type: ignore[arg-type]  # fields of a key


async def from_afar(office: Office, station: Caller | None = None) -> tuple[Caller, bytes]:
    """Log on through the agent; return the caller, and the token for the calls to come."""
    station = station or office.desk
    opened = await office.sessions.log_on(station, by_agent(office.anna.key, await office.challenge(station)))
    token = opened.token.reveal()
    return await acting(office, station, token), token


async def acting(office: Office, station: Caller, token: bytes) -> Caller:
    """Return the caller as every call sees it."""
    return await Acting(office.store.operators, office.store.roles, office.sessions).of(station, token)


async def touch(office: Office, caller: Caller) -> None:
    text = await office.challenge(caller, LogonPurpose.STEP_UP)
    await office.sessions.step_up(caller, by_agent(office.anna.key, text))


async def refused(office: Office, caller: Caller) -> None:
    """Nothing sensitive is done, and no proof is taken."""
    with pytest.raises(errors.PresenceNeeded):
        require_proof(caller, ISSUE)
    with pytest.raises(errors.PresenceNeeded):
        await office.challenge(caller, LogonPurpose.STEP_UP)
    text = await office.challenge(office.desk)
    with pytest.raises(errors.PresenceNeeded):
        await office.sessions.step_up(caller, by_agent(office.anna.key, text))


async def test_the_log_on_itself_proves_possession(office: Office) -> None:
    """Also by such a key: what is sensitive takes a signature that was asked for that."""
    await vouched(office)
    caller, _ = await from_afar(office)
    with pytest.raises(errors.StepUpNeeded):
        require_proof(caller, ISSUE)


async def test_a_touch_counts_for_what_it_was_asked_for(office: Office) -> None:
    await vouched(office)
    caller, token = await from_afar(office)
    await touch(office, caller)
    last = (await office.evidence())[-1].record
    assert (last.event, last.facts["method"]) == ("stepped-up", "agent")
    require_proof(await acting(office, office.desk, token), ISSUE)
    office.later(seconds=PROOF_COUNTS.total_seconds())
    assert office.sessions.limits.step_up > PROOF_COUNTS, "a PIN would be remembered"
    with pytest.raises(errors.StepUpNeeded):
        require_proof(await acting(office, office.desk, token), ISSUE)


async def test_who_is_logged_on_is_told(office: Office) -> None:
    logons = Logons(office.sessions, office.store.roles)
    caller, _ = await from_afar(office)
    assert (await logons.who_is(caller)).possession_only
    await vouched(office)
    assert not (await logons.who_is(caller)).possession_only


@pytest.mark.parametrize("policy", [None, TouchPolicyId.DEFAULT, TouchPolicyId.NEVER, TouchPolicyId.CACHED])
async def test_no_other_policy_counts(office: Office, policy: TouchPolicyId | None) -> None:
    await vouched(office, policy)
    caller, _ = await from_afar(office)
    await refused(office, caller)


async def test_the_policy_of_another_key_does_not_count(office: Office) -> None:
    """A key that was vouched for, in a slot that holds another one by now; or in another slot."""
    await vouched(office, public_key=Person().public_key)
    await refused(office, (await from_afar(office))[0])
    await vouched(office, slot=Slot.SIGNATURE)
    await refused(office, (await from_afar(office))[0])


@pytest.mark.parametrize("state", [KeyState.INTENDED, KeyState.UNPROVEN])
async def test_a_key_that_is_in_doubt_does_not_count(office: Office, state: KeyState) -> None:
    await vouched(office, state=state)
    await refused(office, (await from_afar(office))[0])


async def test_what_the_record_does_not_say_any_more_does_not_count(office: Office) -> None:
    await vouched(office)
    caller, token = await from_afar(office)
    text = await office.challenge(caller, LogonPurpose.STEP_UP)
    await vouched(office, None)
    with pytest.raises(errors.PresenceNeeded):
        await office.sessions.step_up(caller, by_agent(office.anna.key, text))
    await refused(office, await acting(office, office.desk, token))


async def test_a_virtual_card_is_touched_by_nobody(office: Office) -> None:
    """Its lab root has a published key. On a lab station it counts, as everything there does."""
    await vouched(office)
    (known,) = await office.store.credentials.of_holder(office.clerk.credential.holder)
    book = office.store._book.state  # type: ignore[attr-defined]  # the record in memory
    book.cards[known.record_id] = replace(known, virtual=True)
    await refused(office, (await from_afar(office))[0])
    lab = replace(office.desk, lab=True)
    caller, _ = await from_afar(office, lab)
    await touch(office, caller)


async def test_the_signature_of_the_log_on_is_no_touch(office: Office) -> None:
    await vouched(office)
    caller, _ = await from_afar(office)
    text = await office.challenge(office.desk)
    with pytest.raises(errors.LogonRefused):
        await office.sessions.step_up(caller, by_agent(office.anna.key, text))
    assert (await office.evidence())[-1].record.facts["why"] == "challenge"


async def test_a_touch_is_for_its_session_and_good_once(office: Office) -> None:
    await vouched(office)
    first, _ = await from_afar(office)
    second, _ = await from_afar(office, office.other_desk)
    text = await office.challenge(first, LogonPurpose.STEP_UP)
    proof = by_agent(office.anna.key, text)
    with pytest.raises(errors.LogonRefused):
        await office.sessions.step_up(second, proof)
    await touch(office, first)
    with pytest.raises(errors.LogonRefused):
        await office.sessions.step_up(first, proof)


async def test_neither_way_stands_for_the_other(office: Office) -> None:
    """A card's session takes the PIN, also where the same key takes a touch; an agent's takes no card's signature."""
    await vouched(office)
    at_desk = await office.admitted(await office.log_on())
    text = await office.challenge(at_desk, LogonPurpose.STEP_UP)
    with pytest.raises(errors.LogonRefused):
        await office.sessions.step_up(at_desk, by_agent(office.anna.key, text))
    assert (await office.evidence())[-1].record.facts["why"] == "method"
    afar, _ = await from_afar(office)
    text = await office.challenge(afar, LogonPurpose.STEP_UP)
    with pytest.raises(errors.LogonRefused):
        await office.sessions.step_up(afar, office.anna.prove(text))
    assert (await office.evidence())[-1].record.facts["why"] == "method"


async def test_it_ends_with_the_credential(office: Office) -> None:
    await vouched(office)
    caller, token = await from_afar(office)
    await touch(office, caller)
    await office.clerk.set_credential(State.SUSPENDED)
    with pytest.raises(errors.SessionEnded):
        await acting(office, office.desk, token)
