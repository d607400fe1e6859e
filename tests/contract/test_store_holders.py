"""What every store must do with sessions of holders and with tries of their passwords."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from server.ports.holders import HolderSessionRecord
from server.ports.store import AuditRecord, CredentialChanged, SessionEnd, SessionId, Store
from shared.credential.model import HolderId
from shared.credential.self_service import HolderProof
from tests.contract.stores import begin, conflict
from tests.server.store.examples import EVIDENCE, NOON, a_card, a_credential, a_station

LATER = NOON + timedelta(hours=1)
ANNA = HolderId("anna")
BEN = HolderId("ben")
HALF_AN_HOUR = timedelta(minutes=30)


async def acts(store: Store) -> list[AuditRecord]:
    return [entry.record for entry in await store.audit.page(0, 100)]


async def a_session(store: Store, **changed: object) -> HolderSessionRecord:
    """Return a session at a station that exists; it is not stored yet."""
    station = a_station()
    await store.stations.add_station(station, EVIDENCE)
    plain = HolderSessionRecord(
        session_id=SessionId(uuid4()),
        token_digest=uuid4().bytes * 2,
        directory="people",
        holder=ANNA,
        name="Anna Berg",
        proof=HolderProof.PASSWORD,
        station_id=station.station_id,
        fingerprint=station.fingerprint,
        began_at=NOON,
        last_seen_at=NOON,
        expires_at=LATER,
    )
    return replace(plain, **changed)  # type: ignore[arg-type]  # whichever field


async def test_a_session_is_found_by_its_token(store: Store) -> None:
    session = await a_session(store)
    assert await store.holders.by_digest(session.token_digest) is None
    await store.holders.open(session, EVIDENCE)
    assert await store.holders.by_digest(session.token_digest) == session
    assert (await acts(store))[-1] == EVIDENCE


async def test_a_log_on_elsewhere_is_of_no_credential(store: Store) -> None:
    session = await a_session(store, proof=HolderProof.DEVICE)
    await store.holders.open(session, EVIDENCE)
    assert await store.holders.by_digest(session.token_digest) == session


async def test_a_session_of_a_card_names_its_credential(store: Store) -> None:
    credential = a_credential()
    await begin(store, a_card(), CredentialChanged(credential=credential))
    session = await a_session(store, proof=HolderProof.CARD, credential_id=credential.credential_id)
    await store.holders.open(session, EVIDENCE)
    assert await store.holders.by_digest(session.token_digest) == session


async def test_a_session_needs_what_it_names_and_a_token_of_its_own(store: Store) -> None:
    session = await a_session(store)
    await store.holders.open(session, EVIDENCE)
    before = await acts(store)
    with conflict("holder_session"):
        await store.holders.open(session, EVIDENCE)
    with conflict("holder_session"):
        await store.holders.open(replace(session, session_id=SessionId(uuid4())), EVIDENCE)
    other = await a_session(store)
    with conflict("reference"):
        await store.holders.open(replace(other, station_id=a_station().station_id), EVIDENCE)
    unknown = a_credential().credential_id
    with conflict("reference"):
        await store.holders.open(replace(other, proof=HolderProof.CODE, credential_id=unknown), EVIDENCE)
    assert len(await acts(store)) == len(before) + 1  # of the other station


async def test_a_session_ends_once_and_is_kept(store: Store) -> None:
    session = await a_session(store)
    await store.holders.open(session, EVIDENCE)
    seen = NOON + timedelta(minutes=1)
    assert await store.holders.touch(session.session_id, seen)
    before = len(await acts(store))
    assert await store.holders.end(session.session_id, SessionEnd.IDLE, LATER, EVIDENCE)
    assert not await store.holders.end(session.session_id, SessionEnd.LOGGED_OFF, LATER, EVIDENCE)
    assert not await store.holders.touch(session.session_id, LATER)
    assert len(await acts(store)) == before + 1
    ended = replace(session, last_seen_at=seen, ended_at=LATER, why=SessionEnd.IDLE)
    assert await store.holders.by_digest(session.token_digest) == ended


async def test_the_sessions_of_a_station_end_together(store: Store) -> None:
    one = await a_session(store)
    two = replace(
        one, session_id=SessionId(uuid4()), token_digest=b"2" * 32, began_at=NOON + timedelta(minutes=1)
    )
    elsewhere = await a_session(store)
    for session in (two, one, elsewhere):
        await store.holders.open(session, EVIDENCE)
    ended = await store.holders.end_of_station(one.station_id, LATER, EVIDENCE)
    assert [each.session_id for each in ended] == [one.session_id, two.session_id]
    assert {each.why for each in ended} == {SessionEnd.STATION}
    before = len(await acts(store))
    assert await store.holders.end_of_station(one.station_id, LATER, EVIDENCE) == ()
    assert len(await acts(store)) == before
    assert await store.holders.touch(elsewhere.session_id, LATER)


async def tries(store: Store, holder: HolderId = ANNA, at: timedelta = timedelta()) -> object:
    return await store.holders.try_once("people", holder, at=NOON + at, limit=3, within=HALF_AN_HOUR)


async def test_tries_are_counted_until_the_time_of_the_first_is_over(store: Store) -> None:
    assert await tries(store) is None
    assert await tries(store, at=timedelta(minutes=20)) is None
    assert await tries(store, at=timedelta(minutes=29)) is None
    assert await tries(store, at=timedelta(minutes=29)) == NOON + HALF_AN_HOUR
    assert await tries(store, BEN) is None
    assert await store.holders.try_once("others", ANNA, at=NOON, limit=3, within=HALF_AN_HOUR) is None
    assert await tries(store, at=HALF_AN_HOUR) is None


@pytest.mark.parametrize("at_once", [3, 10])
async def test_many_tries_at_the_same_time_are_no_more_than_allowed(store: Store, at_once: int) -> None:
    came = await asyncio.gather(*(tries(store) for _ in range(at_once)))
    assert came.count(None) == 3


async def test_the_right_password_begins_the_count_anew(store: Store) -> None:
    for _ in range(3):
        assert await tries(store) is None
    await store.holders.forget_tries("people", ANNA)
    await store.holders.forget_tries("people", BEN)
    assert await tries(store) is None
