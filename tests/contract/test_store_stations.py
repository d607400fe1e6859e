"""What every store must do with stations and the tokens with which they join, whatever it is made of."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from server.ports.store import (
    AuditRecord,
    Change,
    JoinToken,
    SecretsCarried,
    Standing,
    StateChanged,
    StationState,
    Store,
)
from shared.credential.lifecycle import OperationKind
from shared.credential.model import RecordId, State
from shared.station_profile import EVERYTHING, Face, StationProfile
from tests.contract.stores import Kept, begin, conflict, read
from tests.server.store.examples import EVIDENCE, NOON, a_card, a_station


async def test_a_station_is_found_by_its_certificate(store: Store) -> None:
    second, first = a_station("Desk 2"), a_station("Desk 1")
    for station in (second, first):
        await store.stations.add_station(station, EVIDENCE)
    assert await store.stations.by_fingerprint(first.fingerprint) == first
    assert await store.stations.by_fingerprint(bytes(32)) is None
    assert list(await store.stations.all()) == [first, second]
    with conflict("station"):
        await store.stations.add_station(replace(a_station(), fingerprint=first.fingerprint), EVIDENCE)


async def test_a_station_is_blocked_and_renamed_with_evidence(store: Store) -> None:
    station = a_station("Desk 1")
    await store.stations.add_station(station, EVIDENCE)
    before = len(await store.audit.page(0, 100))
    await store.stations.set_state(station.station_id, StationState.BLOCKED, EVIDENCE)
    await store.stations.rename(station.station_id, "Desk 2", EVIDENCE)
    changed = replace(station, state=StationState.BLOCKED, name="Desk 2")
    assert await store.stations.by_fingerprint(station.fingerprint) == changed
    assert len(await store.audit.page(0, 100)) == before + 2
    nobody = a_station().station_id
    with conflict("station"):
        await store.stations.set_state(nobody, StationState.BLOCKED, EVIDENCE)
    with conflict("station"):
        await store.stations.rename(nobody, "Desk 3", EVIDENCE)
    assert len(await store.audit.page(0, 100)) == before + 2


async def test_a_token_is_spent_once(store: Store) -> None:
    token = JoinToken(digest=b"d" * 32, name="Desk 9", lab=True, expires_at=NOON + timedelta(hours=1))
    await store.stations.add_token(token, EVIDENCE)
    with conflict("join_token"):
        await store.stations.add_token(token, EVIDENCE)
    came = await asyncio.gather(*(store.stations.spend_token(token.digest, NOON) for _ in range(5)))
    assert [each for each in came if each is not None] == [token]
    assert await store.stations.spend_token(b"x" * 32, NOON) is None


async def test_a_token_expires(store: Store) -> None:
    token = JoinToken(digest=b"d" * 32, name="Desk 9", lab=False, expires_at=NOON)
    await store.stations.add_token(token, EVIDENCE)
    assert await store.stations.spend_token(token.digest, NOON) is None


async def test_a_compromised_station_stays_so(store: Store) -> None:
    station = a_station()
    await store.stations.add_station(station, EVIDENCE)
    await store.stations.set_state(station.station_id, StationState.COMPROMISED, EVIDENCE)
    for state in StationState:
        with conflict("station"):
            await store.stations.set_state(station.station_id, state, EVIDENCE)
    assert [each.state for each in await store.stations.all()] == [StationState.COMPROMISED]


async def test_what_a_compromised_station_carried_is_named_and_due(kept: Kept) -> None:
    store, clock = kept.store, kept.clock
    stolen, other = a_station("Stolen"), a_station("Other")
    for each in (stolen, other):
        await store.stations.add_station(each, EVIDENCE)
    first, second, gone, elsewhere = (a_card() for _ in range(4))
    for card, carrier, state in (
        (first, stolen, None),
        (second, stolen, None),
        (gone, stolen, State.DELETED),
        (elsewhere, other, None),
    ):
        changes: list[Change] = [SecretsCarried(station=carrier.station_id)]
        changes += [] if state is None else [StateChanged(state=state)]
        await begin(store, card, *changes)
        clock.time += timedelta(minutes=1)

    def about(record_id: RecordId) -> AuditRecord:
        return replace(EVIDENCE, subject=str(record_id))

    found = await store.stations.compromise(stolen.station_id, EVIDENCE, about)
    assert [each.record_id for each in found] == [gone.record_id, second.record_id, first.record_id]
    assert found[0].at - found[2].at == timedelta(minutes=2)
    for card, due in ((first, True), (second, True), (gone, False), (elsewhere, False)):
        assert (await read(store, card)).puk_disclosed is (await read(store, card)).key_disclosed is due
        assert len(await store.audit.about(str(card.record_id))) == (card is not elsewhere)
    known = await store.stations.by_fingerprint(stolen.fingerprint)
    assert known is not None
    assert known.state is StationState.COMPROMISED
    assert await store.stations.compromise(stolen.station_id, EVIDENCE, about) == found
    with conflict("station"):
        await store.stations.compromise(a_station().station_id, EVIDENCE, about)


async def test_a_profile_is_kept_and_taken_back(store: Store) -> None:
    station, other = a_station("Desk 1"), a_station("Desk 2")
    for each in (station, other):
        await store.stations.add_station(each, EVIDENCE)
    kiosk = StationProfile(
        faces=frozenset({Face.SELF_SERVICE}),
        operations=frozenset({OperationKind.UNBLOCK, OperationKind.ACTIVATE}),
        templates=frozenset({"employee"}),
        default_template="employee",
    )
    await store.stations.set_profile(station.station_id, kiosk, EVIDENCE)
    assert await store.stations.by_fingerprint(station.fingerprint) == replace(station, profile=kiosk)
    assert list(await store.stations.all()) == [replace(station, profile=kiosk), other]
    await store.stations.set_profile(station.station_id, EVERYTHING, EVIDENCE)
    assert await store.stations.by_fingerprint(station.fingerprint) == station
    with conflict("station"):
        await store.stations.set_profile(a_station().station_id, kiosk, EVIDENCE)


RENEWED, AGAIN = b"r" * 32, b"a" * 32
LATER = NOON + timedelta(days=700)


async def test_a_renewed_certificate_counts_beside_the_current_one_until_it_is_shown(store: Store) -> None:
    station = replace(a_station(), not_after=NOON + timedelta(days=100))
    await store.stations.add_station(station, EVIDENCE)
    await store.stations.add_next(station.station_id, RENEWED, LATER, EVIDENCE)
    assert await store.stations.by_fingerprint(station.fingerprint) == station
    seen = await store.stations.by_fingerprint(RENEWED)
    assert seen == replace(station, fingerprint=RENEWED, not_after=LATER, standing=Standing.NEXT)
    assert list(await store.stations.all()) == [station]

    before = len(await store.audit.page(0, 100))
    until = NOON + timedelta(minutes=10)
    came = await asyncio.gather(*(store.stations.take_next(RENEWED, until, EVIDENCE) for _ in range(3)))
    assert sorted(came) == [False, False, True]
    assert len(await store.audit.page(0, 100)) == before + 1
    current = replace(station, fingerprint=RENEWED, not_after=LATER)
    assert await store.stations.by_fingerprint(RENEWED) == current
    assert list(await store.stations.all()) == [current]
    former = await store.stations.by_fingerprint(station.fingerprint)
    assert former == replace(station, not_after=until, standing=Standing.FORMER)


async def test_the_former_certificate_never_counts_longer_than_it_is_valid(store: Store) -> None:
    station = replace(a_station(), not_after=NOON + timedelta(minutes=1))
    await store.stations.add_station(station, EVIDENCE)
    await store.stations.add_next(station.station_id, RENEWED, LATER, EVIDENCE)
    assert await store.stations.take_next(RENEWED, NOON + timedelta(minutes=10), EVIDENCE)
    former = await store.stations.by_fingerprint(station.fingerprint)
    assert former is not None
    assert former.not_after == station.not_after


async def test_a_station_has_one_next_certificate_and_one_former(store: Store) -> None:
    station = a_station()
    await store.stations.add_station(station, EVIDENCE)
    await store.stations.add_next(station.station_id, RENEWED, LATER, EVIDENCE)
    await store.stations.add_next(station.station_id, AGAIN, LATER, EVIDENCE)
    assert await store.stations.by_fingerprint(RENEWED) is None
    assert not await store.stations.take_next(RENEWED, LATER, EVIDENCE)
    assert await store.stations.take_next(AGAIN, LATER, EVIDENCE)
    await store.stations.add_next(station.station_id, RENEWED, LATER, EVIDENCE)
    assert await store.stations.take_next(RENEWED, LATER, EVIDENCE)
    assert await store.stations.by_fingerprint(station.fingerprint) is None


async def test_a_certificate_is_of_one_station(store: Store) -> None:
    first, second = a_station("Desk 1"), a_station("Desk 2")
    for each in (first, second):
        await store.stations.add_station(each, EVIDENCE)
    await store.stations.add_next(first.station_id, RENEWED, LATER, EVIDENCE)
    for known in (RENEWED, first.fingerprint):
        with conflict("station"):
            await store.stations.add_next(second.station_id, known, LATER, EVIDENCE)
    with conflict("station"):
        await store.stations.add_station(replace(a_station(), fingerprint=RENEWED), EVIDENCE)
    with conflict("station"):
        await store.stations.add_next(a_station().station_id, AGAIN, LATER, EVIDENCE)
