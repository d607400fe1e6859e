"""What every store must do with applications, whatever it is made of."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest

from server.ports.store import (
    Application,
    JoinToken,
    OperatorId,
    OperatorKind,
    OperatorRecord,
    StationState,
    Store,
)
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.roles import Act
from tests.contract.stores import conflict
from tests.server.store.examples import EVIDENCE, NOON, a_station

WANTED: Final = Application(
    roles=frozenset({"normal", "restricted"}), unattended=frozenset({OperationKind.ISSUE, Act.UNBLOCK_CODE})
)


async def test_a_token_remembers_what_it_makes(store: Store) -> None:
    token = JoinToken(
        digest=b"d" * 32, name="HR", lab=False, expires_at=NOON + timedelta(hours=1), application=WANTED
    )
    nothing = replace(token, digest=b"e" * 32, application=Application(roles=frozenset()))
    for each in (token, nothing):
        await store.stations.add_token(each, EVIDENCE)
        assert await store.stations.spend_token(each.digest, NOON) == each


async def test_an_application_is_a_station_and_an_operator(store: Store) -> None:
    station = replace(a_station("HR"), unattended=WANTED.unattended)
    operator = OperatorRecord(
        operator_id=OperatorId(station.station_id),
        name="HR",
        kind=OperatorKind.APPLICATION,
        registered_at=NOON,
        roles=WANTED.roles,
    )
    wrong = replace(operator, roles=frozenset({"no such role"}))
    with pytest.raises(errors.Invalid):
        await store.stations.add_station(station, EVIDENCE, wrong)
    assert await store.stations.by_fingerprint(station.fingerprint) is None  # all of it or nothing
    await store.stations.add_station(station, EVIDENCE, operator)
    assert await store.stations.by_fingerprint(station.fingerprint) == station
    assert await store.operators.by_id(operator.operator_id) == operator
    await store.stations.rename(station.station_id, "Payroll", EVIDENCE)
    assert [each.name for each in await store.operators.all()] == ["Payroll"]
    await store.stations.set_state(station.station_id, StationState.BLOCKED, EVIDENCE)
    await store.stations.set_unattended(station.station_id, [OperationKind.REVOKE], EVIDENCE)
    (kept,) = await store.stations.all()
    assert kept == replace(
        station,
        name="Payroll",
        state=StationState.BLOCKED,
        unattended=frozenset({OperationKind.REVOKE}),
    )
    await store.stations.set_unattended(station.station_id, (), EVIDENCE)
    assert (await store.stations.all())[0].unattended == frozenset()


async def test_stations_act_as_themselves_only_until_there_is_an_operator_who_is_a_person(
    store: Store,
) -> None:
    station = replace(a_station("HR"), unattended=frozenset())
    operator = OperatorRecord(
        operator_id=OperatorId(station.station_id),
        name="HR",
        kind=OperatorKind.APPLICATION,
        registered_at=NOON,
    )
    await store.stations.add_station(station, EVIDENCE, operator)
    assert not await store.operators.exist()


async def test_a_station_is_granted_nothing_that_is_for_applications(store: Store) -> None:
    station = a_station()
    await store.stations.add_station(station, EVIDENCE)
    with conflict("application"):
        await store.stations.set_unattended(station.station_id, WANTED.unattended, EVIDENCE)
    with conflict("application"):
        await store.stations.set_unattended(a_station().station_id, WANTED.unattended, EVIDENCE)
    assert await store.stations.by_fingerprint(station.fingerprint) == station
