"""The first start: the System Owner's card, the first operator's, and what nobody may do to either."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from kiosk.station.faces import Outcome
from server.authority.access import Access, Caller, Listener
from server.authority.acting import Acting
from server.authority.first_start import FirstStart, keep_passcode
from server.authority.operator_templates import operator_templates
from server.authority.sessions import Sessions
from server.connectors.directory.builtin import BuiltinDirectory
from server.connectors.directory.memory import MemoryDirectory
from server.ports.directory import Directory
from server.ports.store import OperatorKind, OperatorRecord
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.credential.model import OWNERS, CardRecord, HolderId
from shared.first_start import SYSTEM_OWNER
from shared.piv.ids import ProfileName
from shared.roles import SYSTEM_ADMINISTRATOR
from shared.secret import Secret
from tests.scenario.lab import BOB, Holder, Lab
from tests.scenario.templates import EMPLOYEE
from tests.server.store.examples import EVIDENCE, a_station

PASSCODE = "correct horse"
PIN = "824650"
RUN = "/kiosk.v1.Operations/Run"


class Start:
    """A server that waits for its first start, and two stations that are no lab stations."""

    def __init__(self, lab: Lab, here: Caller, elsewhere: Caller) -> None:
        self.lab, self.here, self.elsewhere = lab, here, elsewhere
        clock = lab.services.clock
        self.first_start = FirstStart(lab.store, clock)
        sessions = Sessions(lab.store, clock, names=["lab"])
        self.acting = Acting(lab.store.operators, lab.store.roles, sessions, self.first_start)
        self.access = Access(lab.store.stations, clock, self.acting)

    async def enter(self, token: bytes | None, method: str = RUN, at: Caller | None = None) -> Caller:
        caller = await self.access.admit(Listener.STATIONS, method, (at or self.here).fingerprint, token)
        assert caller is not None
        return caller

    async def begin(self) -> bytes:
        """Give the passcode, and act by it from now on."""
        token = (await self.first_start.begin(self.here, Secret.from_text(PASSCODE))).token.reveal()
        self.lab.backend._caller = replace(await self.enter(token), lab=True)
        return token

    async def card(self, serial: int) -> None:
        if serial != 1001:
            await self.lab.readers.pull("Reader 1")
        await self.lab.insert(ProfileName.YUBIKEY_5_7, serial=serial, name=f"card {serial}")

    async def issue(self, template: str, subject: str, roles: tuple[str, ...] = ()) -> Outcome:
        return await self.lab.perform(OperationKind.ISSUE, subject=subject, template=template, roles=roles)

    async def activate(self, holder: Holder) -> Outcome:
        return await self.lab.perform(OperationKind.ACTIVATE, holder)

    async def owner(self, holder: Holder) -> None:
        await self.card(1001)
        assert (await self.issue("system-owner", SYSTEM_OWNER)).error is None
        assert (await self.activate(holder)).error is None

    async def operator(self) -> None:
        await self.card(1002)
        assert (await self.issue("operator", BOB.holder, (SYSTEM_ADMINISTRATOR,))).error is None
        assert (await self.activate(Holder(new_pins=[PIN]))).error is None

    async def of(self, holder: HolderId) -> CardRecord:
        return (await self.lab.store.credentials.of_holder(holder))[0]

    async def operators(self) -> dict[OperatorKind, OperatorRecord]:
        return {each.kind: each for each in await self.lab.store.operators.all()}


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    people: dict[str, Directory] = {"built-in": BuiltinDirectory(), "people": MemoryDirectory([BOB])}
    lab = await Lab.start(template=EMPLOYEE, adapt=lambda services: replace(services, directories=people))
    for text in operator_templates("Example, Ltd", "people"):
        await lab.apply(text.text)
    await keep_passcode(lab.store, lab.services.clock, Secret.from_text(PASSCODE))
    callers = []
    for name in ("desk", "elsewhere"):
        station = replace(a_station(name), lab=False, not_after=lab.services.clock.now() + timedelta(days=30))
        await lab.store.stations.add_station(station, EVIDENCE)
        callers.append(
            Caller(station_id=station.station_id, name=name, lab=False, fingerprint=station.fingerprint)
        )
    yield Start(lab, *callers)
    await lab.close()


# --- from nothing to an operator ------------------------------------------------------------------------


async def test_from_the_passcode_to_an_operator(start: Start) -> None:
    token = await start.begin()
    assert not (await start.first_start.view(await start.enter(token))).owner_made
    holder = Holder(new_pins=[PIN])
    await start.owner(holder)
    (code,) = holder.codes
    assert len(code) == 8
    card = await start.of(SYSTEM_OWNER)
    assert card.puk.proven == OWNERS
    assert card.puk.pending is None
    assert (await start.first_start.view(await start.enter(token))).owner_made
    assert await start.first_start.waits()
    await start.operator()
    assert not await start.first_start.waits()
    made = await start.operators()
    assert set(made) == {OperatorKind.SYSTEM_OWNER, OperatorKind.OPERATOR}
    assert made[OperatorKind.OPERATOR].roles == {SYSTEM_ADMINISTRATOR}
    with pytest.raises(errors.SessionEnded):
        await start.enter(token)
    with pytest.raises(errors.PasscodeRejected):
        await start.begin()
