"""What every store must do with sessions of operators, and with challenges."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from server.ports.store import (
    AuditKind,
    AuditRecord,
    ChallengeRecord,
    CredentialChanged,
    LoggedOn,
    LogonMethod,
    OperatorId,
    OperatorRecord,
    OperatorState,
    SessionEnd,
    SessionId,
    SessionRecord,
    StationRecord,
    Store,
)
from shared.credential.model import CredentialId, State, StationId
from tests.contract.stores import conflict
from tests.server.store.examples import EVIDENCE, NOON, a_key, a_station, an_operator, with_credential

ACTED = AuditRecord(kind=AuditKind.SESSION, event="logged-on", actor="1", subject="2")
LATER = NOON + timedelta(hours=1)


async def acts(store: Store) -> Sequence[AuditRecord]:
    return [each.record for each in await store.audit.page(0, 100) if each.record == ACTED]


async def with_operator(
    store: Store, credential_id: CredentialId | None = None
) -> tuple[OperatorRecord, StationRecord]:
    operator, station = an_operator(a_key(credential_id=credential_id)), a_station()
    await store.operators.add(operator, EVIDENCE)
    await store.stations.add_station(station, EVIDENCE)
    return operator, station


def a_session(operator: OperatorRecord, station: StationRecord) -> SessionRecord:
    session_id = SessionId(uuid4())
    return SessionRecord(
        session_id=session_id,
        token_digest=session_id.bytes * 2,
        operator_id=operator.operator_id,
        key_digest=operator.keys[0].digest,
        method=LogonMethod.CARD,
        station_id=station.station_id,
        fingerprint=station.fingerprint,
        began_at=NOON,
        last_seen_at=NOON,
        expires_at=LATER,
    )


async def seen(store: Store, session: SessionRecord) -> LoggedOn:
    found = await store.sessions.by_digest(session.token_digest)
    assert found is not None
    return found


# --- sessions -------------------------------------------------------------------------------------------


async def test_a_session_is_its_operators_log_on(store: Store) -> None:
    operator, station = await with_operator(store)
    for _ in range(2):
        await store.operators.note_failure(operator.operator_id, LATER, EVIDENCE)
    session = a_session(operator, station)
    before = store.commits
    assert await store.sessions.open(session, ACTED) == 2
    assert store.commits == before + 1
    found = await seen(store, session)
    assert found == LoggedOn(session=session, operator=replace(operator, last_logon_at=NOON))
    assert found.counts
    assert list(await store.sessions.live()) == [session]
    assert await acts(store) == [ACTED]
    assert await store.sessions.open(a_session(operator, station), ACTED) == 0


async def test_an_unknown_token_opens_nothing(store: Store) -> None:
    operator, station = await with_operator(store)
    await store.sessions.open(a_session(operator, station), ACTED)
    assert await store.sessions.by_digest(b"\x00" * 32) is None


async def test_a_session_is_not_opened_with_a_key_that_does_not_count(store: Store) -> None:
    operator, station = await with_operator(store)
    session = a_session(operator, station)
    with conflict("operator"):
        await store.sessions.open(replace(session, operator_id=OperatorId(uuid4())), ACTED)
    with conflict("operator"):
        await store.sessions.open(replace(session, key_digest=b"\x00" * 32), ACTED)
    await store.operators.set_key(operator.keys[0].digest, EVIDENCE, active=False)
    with conflict("operator"):
        await store.sessions.open(session, ACTED)
    await store.operators.set_key(operator.keys[0].digest, EVIDENCE, active=True)
    await store.operators.set_state(operator.operator_id, OperatorState.INACTIVE, EVIDENCE)
    with conflict("operator"):
        await store.sessions.open(session, ACTED)
    assert await acts(store) == []


async def test_ids_and_tokens_are_used_once(store: Store) -> None:
    operator, station = await with_operator(store)
    session = a_session(operator, station)
    await store.sessions.open(session, ACTED)
    with conflict("session"):
        await store.sessions.open(replace(session, token_digest=b"\x01" * 32), ACTED)
    with conflict("session"):
        await store.sessions.open(replace(session, session_id=SessionId(uuid4())), ACTED)
    with conflict("reference"):
        nowhere = replace(a_session(operator, station), station_id=StationId(uuid4()))
        await store.sessions.open(nowhere, ACTED)
    assert await acts(store) == [ACTED]


@pytest.mark.parametrize("state", [State.SUSPENDED, State.REVOKED])
async def test_a_session_stops_counting_with_the_credential(store: Store, state: State) -> None:
    credential, lease = await with_credential(store)
    operator, station = await with_operator(store, credential.credential_id)
    session = a_session(operator, station)
    await store.sessions.open(session, ACTED)
    assert (await seen(store, session)).counts
    await store.cards.apply(lease, [CredentialChanged(credential=replace(credential, state=state))])
    assert not (await seen(store, session)).counts


async def test_a_session_stops_counting_with_operator_and_key(store: Store) -> None:
    operator, station = await with_operator(store)
    session = a_session(operator, station)
    await store.sessions.open(session, ACTED)
    await store.operators.set_key(operator.keys[0].digest, EVIDENCE, active=False)
    assert not (await seen(store, session)).counts
    await store.operators.set_key(operator.keys[0].digest, EVIDENCE, active=True)
    assert (await seen(store, session)).counts
    await store.operators.set_state(operator.operator_id, OperatorState.INACTIVE, EVIDENCE)
    assert not (await seen(store, session)).counts


async def test_use_and_the_pin_asked_again_are_noted(store: Store) -> None:
    operator, station = await with_operator(store)
    session = a_session(operator, station)
    await store.sessions.open(session, EVIDENCE)
    assert await store.sessions.touch(session.session_id, LATER)
    assert await acts(store) == []
    assert await store.sessions.step_up(session.session_id, LATER, ACTED)
    assert (await seen(store, session)).session == replace(session, last_seen_at=LATER, stepped_up_at=LATER)
    assert await acts(store) == [ACTED]


@pytest.mark.parametrize("why", SessionEnd)
async def test_a_session_ends_once(store: Store, why: SessionEnd) -> None:
    operator, station = await with_operator(store)
    session, other = (a_session(operator, station) for _ in range(2))
    for each in (session, other):
        await store.sessions.open(each, EVIDENCE)
    assert await store.sessions.end(session.session_id, why, LATER, ACTED)
    ended = replace(session, ended_at=LATER, why=why)
    assert not await store.sessions.end(session.session_id, SessionEnd.IDLE, NOON, ACTED)
    assert not await store.sessions.touch(session.session_id, LATER)
    assert not await store.sessions.step_up(session.session_id, LATER, ACTED)
    found = await seen(store, session)
    assert (found.session, found.counts) == (ended, False)
    assert list(await store.sessions.live()) == [other]
    assert await acts(store) == [ACTED]


async def test_what_is_done_to_no_session_leaves_nothing(store: Store) -> None:
    nothing = SessionId(uuid4())
    assert not await store.sessions.end(nothing, SessionEnd.IDLE, LATER, ACTED)
    assert not await store.sessions.touch(nothing, LATER)
    assert not await store.sessions.step_up(nothing, LATER, ACTED)
    assert list(await store.sessions.end_of_operator(OperatorId(uuid4()), LATER, ACTED)) == []
    assert list(await store.sessions.end_of_station(StationId(uuid4()), LATER, ACTED)) == []
    assert list(await store.sessions.end_of_credential(CredentialId(uuid4()), LATER, ACTED)) == []
    assert await acts(store) == []


@pytest.mark.parametrize("why", [SessionEnd.OPERATOR, SessionEnd.STATION, SessionEnd.CREDENTIAL])
async def test_all_that_hang_on_one_thing_end_together(store: Store, why: SessionEnd) -> None:
    credential, _ = await with_credential(store)
    operator, station = await with_operator(store, credential.credential_id)
    others = await with_operator(store)
    kept = a_session(*others)
    first = a_session(operator, station)
    second = replace(a_session(operator, station), began_at=NOON + timedelta(seconds=1))
    for each in (second, first, kept):
        await store.sessions.open(each, EVIDENCE)
    match why:
        case SessionEnd.OPERATOR:
            ended = await store.sessions.end_of_operator(operator.operator_id, LATER, ACTED)
        case SessionEnd.STATION:
            ended = await store.sessions.end_of_station(station.station_id, LATER, ACTED)
        case _:
            ended = await store.sessions.end_of_credential(credential.credential_id, LATER, ACTED)
    assert list(ended) == [replace(each, ended_at=LATER, why=why) for each in (first, second)]
    assert list(await store.sessions.live()) == [kept]
    assert await acts(store) == [ACTED]


def test_no_token_shows_in_words() -> None:
    session = replace(a_session(an_operator(a_key()), a_station()), token_digest=b"token")
    assert "token" not in repr(session).replace("token_digest", "")


# --- challenges -----------------------------------------------------------------------------------------


def a_challenge(digest: bytes = b"\x07" * 32) -> ChallengeRecord:
    return ChallengeRecord(digest=digest, station_id=StationId(uuid4()), purpose="log-on", expires_at=LATER)


async def test_a_challenge_is_answered_once(store: Store) -> None:
    challenge = a_challenge()
    await store.challenges.add(challenge, NOON)
    with conflict("challenge"):
        await store.challenges.add(challenge, NOON)
    came = await asyncio.gather(*(store.challenges.spend(challenge.digest, NOON) for _ in range(3)))
    assert sorted(map(repr, came)) == sorted(map(repr, [challenge, None, None]))


async def test_a_challenge_expires_and_is_forgotten(store: Store) -> None:
    challenge = a_challenge()
    await store.challenges.add(challenge, NOON)
    assert await store.challenges.spend(b"\x08" * 32, NOON) is None
    assert await store.challenges.spend(challenge.digest, LATER) is None
    await store.challenges.add(a_challenge(b"\x09" * 32), LATER)
    assert await store.challenges.spend(challenge.digest, NOON) is None  # the clock was set back
