"""Log-ons of holders on another device, against the strict double of Entra ID: whose they are, once, at one station, in time."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from server.authority.access import Caller
from server.authority.device_logons import LONGEST, MOST_AT_ONCE
from server.authority.holders import PER_STATION, HolderOpened, HolderSessions
from server.authority.policy import unrestricted
from server.connectors.directory.entra_kind import KIND
from server.connectors.directory.entra_logon import EntraWithLogon
from server.ports.directory import CodeLogon, CodeOutcome
from server.store.memory import MemoryStore
from shared import errors
from shared.credential.model import HolderId
from shared.credential.self_service import HolderProof
from shared.self_service import DeviceCode, DeviceWaits
from shared.station_profile import Face, StationProfile
from tests.conftest import FixedClock
from tests.contract.graph import Flow, Graph
from tests.peers.slapd import people
from tests.server.connectors.directory.built import build
from tests.server.store.examples import EVIDENCE, a_station

PEOPLE = people(3)
BOB = PEOPLE[0]
SERVER = "cards.example.org"


@dataclass
class Hall:
    """A kiosk in the hall, the server, and the tenant that people log on to."""

    graph: Graph
    clock: FixedClock
    store: MemoryStore
    directory: EntraWithLogon
    sessions: HolderSessions
    kiosk: Caller
    other: Caller
    asked: int = 0

    async def begin(self, name: str = "", caller: Caller | None = None) -> DeviceCode:
        return await self.sessions.begin_device(caller or self.kiosk, name or str(BOB.mail))

    async def ask(self, code: DeviceCode, caller: Caller | None = None) -> HolderOpened | DeviceWaits:
        return await self.sessions.ask_device(caller or self.kiosk, code.logon_id)

    def flow(self, code: DeviceCode) -> Flow:
        """Return what the tenant has of a log-on: where somebody types the code."""
        return next(each for each in self.graph.flows.values() if each.code == code.code)

    async def why(self) -> str:
        """Return why the last one was refused: the evidence says it, the station does not hear it."""
        last = (await self.store.audit.page(0, 1000))[-1].record
        assert last.event == "holder-log-on-failed"
        assert last.facts["proof"] == "device"
        return str(last.facts["why"])

    async def refused(self, code: DeviceCode, caller: Caller | None = None) -> str:
        with pytest.raises(errors.HolderLogonRefused) as told:
            await self.ask(code, caller)
        assert told.value.facts == {}
        return await self.why()


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[Hall]:
    graph = Graph(tmp_path, PEOPLE)
    await graph.start()
    clock = FixedClock()
    store = MemoryStore(clock)
    directory = build(KIND, graph.values() | {"device-log-on": True}, clock=clock)
    sessions = HolderSessions(store, {"entra": directory}, clock, names=[SERVER])
    callers = []
    for name in ("Hall", "Desk"):
        station = a_station(name)
        await store.stations.add_station(station, EVIDENCE)
        callers.append(
            Caller(
                station_id=station.station_id,
                name=name,
                lab=False,
                fingerprint=station.fingerprint,
                principal=unrestricted("test"),
            )
        )
    kiosk, other = callers
    made = Hall(graph, clock, store, directory, sessions, kiosk, other)
    outcome = directory.outcome

    async def counted(holder: HolderId, logon: CodeLogon) -> CodeOutcome:
        made.asked += 1
        found: CodeOutcome = await outcome(holder, logon)
        return found

    directory.outcome = counted
    yield made
    await directory.close()
    await graph.stop()


async def test_somebody_types_the_code_elsewhere(hall: Hall) -> None:
    code = await hall.begin()
    assert code.address.startswith("https://")
    hall.clock.move(timedelta(seconds=code.interval_s))
    assert await hall.ask(code) == DeviceWaits(interval_s=5)
    hall.flow(code).who = BOB.entry_uuid
    hall.clock.move(timedelta(seconds=5))
    opened = await hall.ask(code)
    assert isinstance(opened, HolderOpened)
    session = opened.session
    assert (session.directory, session.holder, session.proof) == ("entra", BOB.entry_uuid, HolderProof.DEVICE)
    assert session.credential_id is None
    assert await hall.sessions.admit(opened.token.reveal(), hall.kiosk) == session
    assert [each.record.event for each in await hall.store.audit.page(0, 9)][-2:] == [
        "holder-device-begun",
        "holder-logged-on",
    ]
    assert await hall.refused(code) == "none", "it is good once"


async def test_the_directory_is_asked_no_more_often_than_it_says(hall: Hall) -> None:
    code = await hall.begin()
    assert await hall.ask(code) == DeviceWaits(interval_s=5)
    assert hall.asked == 0
    hall.clock.move(timedelta(seconds=5))
    hall.flow(code).answer = "slow_down"
    assert await hall.ask(code) == DeviceWaits(interval_s=10)
    hall.clock.move(timedelta(seconds=9))
    assert await hall.ask(code) == DeviceWaits(interval_s=1)
    assert hall.asked == 1


async def test_somebody_elses_log_on_is_nobodys(hall: Hall) -> None:
    code = await hall.begin()
    hall.flow(code).who = PEOPLE[1].entry_uuid
    hall.clock.move(timedelta(seconds=5))
    assert await hall.refused(code) == "somebody else logged on"
    assert not hall.store._book.state.holder_sessions


@pytest.mark.parametrize("name", ["", "nobody", "*", "%"])
async def test_a_name_that_means_nobody_gets_no_code(hall: Hall, name: str) -> None:
    with pytest.raises(errors.HolderLogonRefused):
        await hall.sessions.begin_device(hall.kiosk, name)
    assert await hall.why() == "name"
    assert not hall.graph.flows
    assert not any("nobody" in repr(each) for each in await hall.store.audit.page(0, 100)), "what was typed"


async def test_it_counts_at_the_station_that_began_it(hall: Hall) -> None:
    code = await hall.begin()
    hall.flow(code).who = BOB.entry_uuid
    hall.clock.move(timedelta(seconds=5))
    assert await hall.refused(code, hall.other) == "none"
    assert await hall.refused(code, replace(hall.kiosk, fingerprint=b"r" * 32)) == "none"
    hall.sessions.cancel_device(hall.other, code.logon_id)
    assert isinstance(await hall.ask(code), HolderOpened)


async def test_what_was_taken_back_counts_no_more(hall: Hall) -> None:
    code = await hall.begin()
    hall.flow(code).who = BOB.entry_uuid
    hall.clock.move(timedelta(seconds=5))
    hall.sessions.cancel_device(hall.kiosk, code.logon_id)
    assert await hall.refused(code) == "none"
    assert hall.asked == 0
    hall.sessions.cancel_device(hall.kiosk, code.logon_id)


async def test_it_ends(hall: Hall) -> None:
    code = await hall.begin()
    assert code.ends_at == hall.clock.now() + LONGEST
    hall.flow(code).who = BOB.entry_uuid
    hall.clock.move(LONGEST)
    assert await hall.refused(code) == "expired"
    assert hall.asked == 0


async def test_somebody_who_says_no_ends_it(hall: Hall) -> None:
    code = await hall.begin()
    hall.flow(code).answer = "authorization_declined"
    hall.clock.move(timedelta(seconds=5))
    assert await hall.refused(code) == "it was declined on the other device"
    assert await hall.refused(code) == "none"


async def test_an_account_that_was_closed_meanwhile_logs_nobody_on(hall: Hall) -> None:
    code = await hall.begin()
    hall.flow(code).who = BOB.entry_uuid
    hall.graph.people[BOB.entry_uuid]["accountEnabled"] = False
    hall.clock.move(timedelta(seconds=5))
    assert await hall.refused(code) == "account"


async def test_so_many_wait_at_a_station_and_one_for_each_person(hall: Hall) -> None:
    first = await hall.begin()
    second = await hall.begin()
    assert await hall.refused(first) == "none", "another one for the same person takes its place"
    assert isinstance(await hall.ask(second), DeviceWaits)
    waiting = hall.sessions._proofs._devices
    for number in range(MOST_AT_ONCE - 1):
        await waiting.begin(hall.kiosk, "entra", hall.directory, HolderId(str(number)))
    with pytest.raises(errors.TooManyAttempts):
        await hall.begin(str(PEOPLE[1].mail))
    await hall.begin(str(PEOPLE[1].mail), hall.other)
    hall.clock.move(LONGEST)
    await hall.begin(str(PEOPLE[1].mail))


async def test_codes_are_throttled_like_every_log_on(hall: Hall) -> None:
    for _ in range(PER_STATION.burst):
        await hall.begin()
    with pytest.raises(errors.TooManyAttempts):
        await hall.begin()


async def test_only_where_holders_log_on(hall: Hall) -> None:
    code = await hall.begin()
    desk = replace(hall.kiosk, profile=StationProfile(faces=frozenset({Face.DESK})))
    with pytest.raises(errors.NotAllowed):
        await hall.begin(caller=desk)
    with pytest.raises(errors.NotAllowed):
        await hall.ask(code, desk)


async def test_a_directory_that_does_not_answer_leaves_it_waiting(hall: Hall) -> None:
    code = await hall.begin()
    hall.clock.move(timedelta(seconds=5))
    hall.flow(code).answer = "unauthorized_client"
    with pytest.raises(errors.ConnectorRefused):
        await hall.ask(code)
    hall.flow(code).who = BOB.entry_uuid
    hall.clock.move(timedelta(seconds=5))
    assert isinstance(await hall.ask(code), HolderOpened)


async def test_what_the_directory_is_asked_with_is_nowhere(
    hall: Hall, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    code = await hall.begin()
    (handle,) = hall.graph.flows
    hall.flow(code).who = BOB.entry_uuid
    hall.clock.move(timedelta(seconds=5))
    opened = await hall.ask(code)
    seen = [repr(code), repr(opened), caplog.text, repr(hall.sessions._proofs._devices.__dict__)]
    seen += [repr(each) for each in await hall.store.audit.page(0, 100)]
    assert not [each for each in seen if handle in each]
