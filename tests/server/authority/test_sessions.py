"""Log-ons of operators: what begins a session, what does not, and everything that ends it."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.authority.proofs import FIRST_WAIT, FREE_FAILURES, LONGEST_WAIT, PER_STATION, wait_after
from server.authority.sessions import PROOF_COUNTS, SessionLimits
from server.ports.store import AuditKind, OperatorState, SessionEnd
from shared import errors
from shared.credential.model import CredentialId, State
from shared.logon import LogonPurpose, read_logon_text
from shared.sessions import Leaving, LogonProof
from shared.station_profile import Face, StationProfile
from tests.server.authority.logons import SERVER, Office, Person, store_card
from tests.server.store.examples import EVIDENCE, NOON, a_credential, a_key


@pytest.fixture
async def office() -> Office:
    return await Office.open()


async def ended(office: Office, why: SessionEnd) -> None:
    """The record has no session but one that ended for this reason."""
    assert await office.store.sessions.live() == ()
    ends = [entry.record for entry in await office.evidence() if entry.record.event == "ended"]
    assert [end.facts["why"] for end in ends] == [why.value]


# --- logging on -----------------------------------------------------------------------------------------


async def test_an_operator_logs_on(office: Office) -> None:
    opened = await office.log_on()
    present = await office.sessions.admit(opened.token.reveal(), office.desk)
    assert present.operator.name == "Anna Berg"
    assert present.session.session_id == opened.present.session.session_id
    assert opened.failed_logons == 0
    assert (await office.record()).last_logon_at == NOON
    assert opened.token.reveal() not in repr(await office.store.sessions.live()).encode()


async def test_what_is_signed_names_server_station_and_purpose(office: Office) -> None:
    text = read_logon_text(await office.challenge(office.desk))
    assert (text.server, text.station, text.purpose) == (SERVER, office.desk.fingerprint, LogonPurpose.LOG_ON)
    assert timedelta(seconds=59) <= text.expires_at - NOON <= timedelta(seconds=60)


async def refused(office: Office, proof: LogonProof, caller: str = "desk") -> None:
    with pytest.raises(errors.LogonRefused) as why:
        await office.sessions.log_on(getattr(office, caller), proof)
    assert why.value.facts == {}
    assert await office.store.sessions.live() == ()
    assert (await office.evidence())[-1].record.event == "log-on-failed"


async def test_a_challenge_is_good_once(office: Office) -> None:
    proof = office.anna.prove(await office.challenge(office.desk))
    opened = await office.sessions.log_on(office.desk, proof)
    await office.sessions.log_off(await office.admitted(opened))
    await refused(office, proof)


async def test_a_challenge_is_spent_by_a_failure(office: Office) -> None:
    text = await office.challenge(office.desk)
    await refused(office, Person().prove(text))
    await refused(office, office.anna.prove(text))


async def test_a_challenge_is_its_stations(office: Office) -> None:
    text = await office.challenge(office.desk)
    await refused(office, office.anna.prove(text), "other_desk")


async def test_a_challenge_is_for_its_purpose(office: Office) -> None:
    """A signature that was given for a proof again begins no session, and the other way round."""
    caller = await office.admitted(await office.log_on())
    again = office.anna.prove(await office.challenge(caller, LogonPurpose.STEP_UP))
    with pytest.raises(errors.LogonRefused):
        await office.sessions.log_on(office.desk, again)
    first = office.anna.prove(await office.challenge(caller))
    with pytest.raises(errors.LogonRefused):
        await office.sessions.step_up(caller, first)


async def test_a_challenge_lives_a_minute(office: Office) -> None:
    proof = office.anna.prove(await office.challenge(office.desk))
    office.later(seconds=60)
    await refused(office, proof)


@given(st.data())
async def test_a_text_altered_in_one_byte_is_none_of_ours(data: st.DataObject) -> None:
    office = await Office.open()
    text = bytearray(await office.challenge(office.desk))
    text[data.draw(st.integers(0, len(text) - 1))] ^= data.draw(st.integers(1, 255))
    await refused(office, office.anna.prove(bytes(text)))


async def test_a_holder_is_no_operator(office: Office) -> None:
    """A certificate of the same authority, on an active card, of somebody whom nobody made an operator."""
    bob = Person()
    await store_card(office.store, bob, a_credential(state=State.ACTIVE))
    await refused(office, bob.prove(await office.challenge(office.desk)))
    assert (await office.record()).failed_logons == 0


async def test_the_signature_has_to_be_the_keys(office: Office) -> None:
    text = await office.challenge(office.desk)
    forged = replace(Person().prove(text), certificate=office.anna.certificate)
    await refused(office, forged)
    assert (await office.record()).failed_logons == 1


async def test_a_certificate_that_is_on_no_card_proves_nothing(office: Office) -> None:
    """The operator's own key, in a certificate that the operator wrote: what it says is nobody's word."""
    text = await office.challenge(office.desk)
    await refused(office, Person(key=office.anna.key).prove(text))


@pytest.mark.parametrize("certificate", [b"", b"no certificate", b"\x30\x00"])
async def test_noise_is_no_certificate(office: Office, certificate: bytes) -> None:
    text = await office.challenge(office.desk)
    await refused(office, replace(office.anna.prove(text), certificate=certificate))


async def test_an_expired_certificate_logs_nobody_on() -> None:
    office = await Office.open()
    office.clock.time = office.anna.until + timedelta(seconds=1)
    await refused(office, office.anna.prove(await office.challenge(office.desk)))


@pytest.mark.parametrize("state", [State.SUSPENDED, State.REVOKED, State.ISSUED])
async def test_a_credential_that_is_not_active_logs_nobody_on(office: Office, state: State) -> None:
    await office.clerk.set_credential(state)
    await refused(office, office.anna.prove(await office.challenge(office.desk)))


async def test_an_operator_who_was_deactivated_does_not_log_on(office: Office) -> None:
    await office.store.operators.set_state(office.operator.operator_id, OperatorState.INACTIVE, EVIDENCE)
    await refused(office, office.anna.prove(await office.challenge(office.desk)))


async def test_a_key_that_was_taken_away_does_not_log_on(office: Office) -> None:
    await office.store.operators.set_key(office.anna.digest, EVIDENCE, active=False)
    await refused(office, office.anna.prove(await office.challenge(office.desk)))


async def test_a_station_calls_the_server_by_a_name_of_its_own(office: Office) -> None:
    with pytest.raises(errors.Invalid):
        await office.sessions.challenge(office.desk, LogonPurpose.LOG_ON, "evil.example.org")
    with pytest.raises(errors.Invalid):
        await office.sessions.challenge(office.desk, LogonPurpose.APPROVE, SERVER)


async def test_a_second_log_on_takes_the_place_of_the_first(office: Office) -> None:
    caller = await office.admitted(await office.log_on())
    text = await office.challenge(caller)
    opened = await office.sessions.log_on(caller, office.anna.prove(text))
    assert [each.session_id for each in await office.store.sessions.live()] == [
        opened.present.session.session_id
    ]


# --- failures -------------------------------------------------------------------------------------------


def test_waiting_doubles_up_to_a_minute() -> None:
    assert [wait_after(n) for n in range(FREE_FAILURES + 1)] == [timedelta()] * (FREE_FAILURES + 1)
    waits = [wait_after(FREE_FAILURES + n) for n in range(1, 30)]
    assert waits[:3] == [FIRST_WAIT, 2 * FIRST_WAIT, 4 * FIRST_WAIT]
    assert waits[-1] == LONGEST_WAIT == max(waits)


async def test_failures_are_counted_delayed_and_told(office: Office) -> None:
    for _ in range(FREE_FAILURES + 1):
        text = await office.challenge(office.desk)
        with pytest.raises(errors.LogonRefused):
            await office.sessions.log_on(
                office.desk, replace(Person().prove(text), certificate=office.anna.certificate)
            )
    with pytest.raises(errors.TooManyAttempts) as wait:
        await office.log_on()
    assert wait.value.facts == {"seconds": 5}
    assert (await office.record()).failed_logons == FREE_FAILURES + 1
    office.later(seconds=5)
    opened = await office.log_on()
    assert opened.failed_logons == FREE_FAILURES + 1
    assert (await office.record()).failed_logons == 0
    failures = [entry.record for entry in await office.evidence() if entry.record.event == "log-on-failed"]
    assert [(each.kind, each.facts["why"]) for each in failures] == [(AuditKind.SESSION, "signature")] * 3


async def test_nobody_logs_on_at_a_station_for_holders(office: Office) -> None:
    text = await office.challenge(office.desk)
    office.desk = replace(office.desk, profile=StationProfile(faces=frozenset({Face.SELF_SERVICE})))
    with pytest.raises(errors.NotAllowed):
        await office.challenge(office.desk)
    with pytest.raises(errors.NotAllowed):
        await office.sessions.log_on(office.desk, office.anna.prove(text))
    assert not await office.store.sessions.live()


async def test_a_station_that_fails_on_purpose_keeps_nobody_out_elsewhere(office: Office) -> None:
    """Whoever has a station's key and has seen the operator's certificate can fail for ever."""
    for _ in range(FREE_FAILURES + 3):
        office.later(seconds=61)
        text = await office.challenge(office.other_desk)
        with pytest.raises(errors.LogonRefused):
            await office.sessions.log_on(
                office.other_desk, replace(Person().prove(text), certificate=office.anna.certificate)
            )
    with pytest.raises(errors.TooManyAttempts):
        await office.log_on(office.other_desk)
    assert (await office.log_on()).failed_logons == FREE_FAILURES + 3, "she is told"


async def test_a_station_that_tries_for_ever_does_not_fill_the_record(office: Office) -> None:
    for _ in range(40):
        office.later(seconds=2)
        with pytest.raises(errors.LogonRefused):
            await office.log_on(person=Person())
    failures = [entry for entry in await office.evidence() if entry.record.event == "log-on-failed"]
    assert 0 < len(failures) < 20


async def test_a_station_asks_only_so_often(office: Office) -> None:
    for _ in range(PER_STATION.burst):
        await office.challenge(office.desk)
    with pytest.raises(errors.TooManyAttempts):
        await office.challenge(office.desk)
    await office.challenge(office.other_desk)


# --- how a session ends ---------------------------------------------------------------------------------


async def over(office: Office, token: bytes) -> None:
    for _ in range(2):
        with pytest.raises(errors.SessionEnded):
            await office.sessions.admit(token, office.desk)


async def test_a_token_is_its_stations(office: Office) -> None:
    opened = await office.log_on()
    token = opened.token.reveal()
    for thief in (
        office.other_desk,
        replace(office.desk, fingerprint=office.other_desk.fingerprint),
        replace(office.other_desk, fingerprint=office.desk.fingerprint),
    ):
        with pytest.raises(errors.SessionEnded):
            await office.sessions.admit(token, thief)
    assert "token-elsewhere" in [entry.record.event for entry in await office.evidence()]
    await office.sessions.admit(token, office.desk)


@pytest.mark.parametrize("token", [b"", bytes(32), b"x" * 31])
async def test_a_token_that_nobody_was_given_is_refused(office: Office, token: bytes) -> None:
    await office.log_on()
    with pytest.raises(errors.SessionEnded):
        await office.sessions.admit(token, office.desk)


@pytest.mark.parametrize("why", Leaving)
async def test_who_logs_off_is_gone(office: Office, why: Leaving) -> None:
    opened = await office.log_on()
    await office.sessions.log_off(await office.admitted(opened), why)
    await over(office, opened.token.reveal())
    await ended(office, SessionEnd(why.value))


async def test_nobody_logs_off_nobody(office: Office) -> None:
    with pytest.raises(errors.LogonNeeded):
        await office.sessions.log_off(office.desk)


@pytest.mark.parametrize("state", [State.SUSPENDED, State.REVOKED])
async def test_it_ends_with_the_credential(office: Office, state: State) -> None:
    opened = await office.log_on()
    caller = await office.admitted(opened)
    await office.clerk.set_credential(state)
    with pytest.raises(errors.SessionEnded):
        await office.sessions.recheck(caller)
    await over(office, opened.token.reveal())
    await ended(office, SessionEnd.CREDENTIAL)


async def test_it_ends_with_the_operator(office: Office) -> None:
    opened = await office.log_on()
    caller = await office.admitted(opened)
    await office.store.operators.set_state(office.operator.operator_id, OperatorState.INACTIVE, EVIDENCE)
    with pytest.raises(errors.SessionEnded):
        await office.sessions.recheck(caller)
    await over(office, opened.token.reveal())
    await ended(office, SessionEnd.OPERATOR)


async def test_it_does_not_come_back_with_the_operator(office: Office) -> None:
    opened = await office.log_on()
    for state in (OperatorState.INACTIVE, OperatorState.ACTIVE):
        await office.store.operators.set_state(office.operator.operator_id, state, EVIDENCE)
        with pytest.raises(errors.SessionEnded):
            await office.sessions.admit(opened.token.reveal(), office.desk)


async def test_it_ends_when_nobody_uses_it(office: Office) -> None:
    opened = await office.log_on()
    for _ in range(5):
        office.later(minutes=9)
        await office.sessions.admit(opened.token.reveal(), office.desk)
    office.later(minutes=10)
    await over(office, opened.token.reveal())
    await ended(office, SessionEnd.IDLE)


async def test_it_ends_after_half_a_day_however_busy(office: Office) -> None:
    opened = await office.log_on()
    for _ in range(12 * 60 // 9 - 1):
        office.later(minutes=9)
        await office.sessions.admit(opened.token.reveal(), office.desk)
    office.later(minutes=9)
    await over(office, opened.token.reveal())
    await ended(office, SessionEnd.EXPIRED)


async def test_calls_in_a_row_write_once(office: Office) -> None:
    opened = await office.log_on()
    office.later(seconds=20)
    before = office.store.commits
    for _ in range(20):
        await office.sessions.admit(opened.token.reveal(), office.desk)
    assert office.store.commits == before + 1


# --- the proof again ------------------------------------------------------------------------------------


async def test_a_log_on_counts_as_a_proof_for_a_while(office: Office) -> None:
    opened = await office.log_on()
    session = opened.present.session
    assert office.sessions.stepped_up_until(session) == NOON + timedelta(minutes=5)
    office.later(minutes=5)
    assert office.sessions.stepped_up_until(session) is None
    caller = await office.admitted(opened)
    text = await office.challenge(caller, LogonPurpose.STEP_UP)
    present = await office.sessions.step_up(caller, office.anna.prove(text))
    assert office.sessions.stepped_up_until(present.session) == office.clock.now() + timedelta(minutes=5)


async def test_where_a_proof_counts_for_no_time_it_counts_for_what_comes_next() -> None:
    office = await Office.open(SessionLimits(step_up=timedelta()))
    session = (await office.log_on()).present.session
    assert office.sessions.stepped_up_until(session) == NOON + PROOF_COUNTS
    office.later(seconds=30)
    assert office.sessions.stepped_up_until(session) is None


async def test_nobody_proves_again_who_is_not_logged_on(office: Office) -> None:
    with pytest.raises(errors.LogonNeeded):
        await office.challenge(office.desk, LogonPurpose.STEP_UP)


async def test_a_proof_again_is_of_the_same_session(office: Office) -> None:
    first = await office.admitted(await office.log_on())
    text = await office.challenge(first, LogonPurpose.STEP_UP)
    second = await office.admitted(await office.log_on())
    with pytest.raises(errors.LogonRefused):
        await office.sessions.step_up(second, office.anna.prove(text))


async def test_a_proof_again_is_with_the_same_card(office: Office) -> None:
    """Not with another operator's card, nor with another one of the same operator."""
    other, credential = Person(), a_credential(state=State.ACTIVE)
    await store_card(office.store, other, credential)
    key = a_key(digest=other.digest, credential_id=CredentialId(credential.credential_id))
    await office.store.operators.add_key(office.operator.operator_id, key, EVIDENCE)
    caller = await office.admitted(await office.log_on())
    text = await office.challenge(caller, LogonPurpose.STEP_UP)
    with pytest.raises(errors.LogonRefused):
        await office.sessions.step_up(caller, other.prove(text))


async def test_a_session_that_ended_is_not_proven_again(office: Office) -> None:
    caller = await office.admitted(await office.log_on())
    text = await office.challenge(caller, LogonPurpose.STEP_UP)
    await office.sessions.log_off(caller)
    with pytest.raises(errors.SessionEnded):
        await office.sessions.step_up(caller, office.anna.prove(text))
