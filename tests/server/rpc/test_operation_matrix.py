"""Every operation over the wire, by the real engine: with every preset, with every session and station that does not count."""

import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import pytest

from kiosk.backend.client import GrpcBackend
from kiosk.backend.token import HeldToken
from kiosk.devices.virtual.reader import VirtualReaders
from kiosk.station.core import StationCore
from kiosk.station.faces import Job
from server.authority.credentials import Credentials
from server.ports.operators import OperatorState, RoleRecord, SessionEnd, SessionRecord
from server.ports.store import StationRecord, StationState
from shared import errors
from shared.clock import SystemClock
from shared.credential.lifecycle import OperationKind
from shared.credential.model import State
from shared.credential.pins import PinPolicy
from shared.errors import KioskError
from shared.piv.ids import ProfileName
from shared.roles import PRESETS, SENSITIVE, Act, Grant, Level, allowed, edited, to_document
from shared.secret import Secret
from shared.virtual.card import VirtualCard
from tests.scenario.lab import BOB, Holder, Lab, Notes
from tests.server.rpc import pki
from tests.server.rpc.test_matrix import REFUSALS, TOKEN, log_on
from tests.server.rpc.world import World
from tests.server.store.examples import EVIDENCE

READER = "Reader 1"
TEMPLATE = "employee"
PIN = "824650"
ROLES = (None, *PRESETS)
HELP = (Act.READ_OUT, Act.UNBLOCK_CODE)


class Stubborn(HeldToken):
    """A token that goes on being shown after the server has refused it."""

    def end(self) -> None:
        pass


@dataclass
class Place:
    """A station with a card in its reader, at a server that operates on it."""

    world: World
    lab: Lab
    pair: pki.Pair
    record: StationRecord
    line: GrpcBackend
    station: StationCore

    async def perform(self, operation: OperationKind, holder: Holder | None = None) -> KioskError | None:
        issue = operation is OperationKind.ISSUE
        job = Job(
            operation=operation,
            reader=READER,
            holder=BOB.holder if issue else "",
            template=TEMPLATE if issue else "",
            reason="lost" if operation in {OperationKind.REVOKE, OperationKind.SUSPEND} else "",
        )
        outcome = await self.station.perform(job, holder or Holder(new_pins=[PIN]), Notes())
        return outcome.error

    async def decide(self, operation: OperationKind) -> KioskError | None:
        try:
            await self.line.decide(await self.record_id(), operation, "lost")
        except KioskError as error:
            return error
        return None

    async def help(self, act: Act) -> KioskError | None:
        asks = {Act.READ_OUT: self.line.read_out, Act.UNBLOCK_CODE: self.line.make_unblock_code}
        try:
            await asks[act](await self.record_id())
        except KioskError as error:
            return error
        return None

    async def record_id(self) -> UUID:
        (card,) = await self.lab.store.credentials.of_holder(BOB.holder)
        return card.record_id

    async def state(self) -> State:
        (card,) = await self.lab.store.credentials.of_holder(BOB.holder)
        return card.state

    async def log_on(self, *roles: str, proven: bool = True) -> SessionRecord:
        self.line.token.keep(Secret(TOKEN))
        session = await log_on(self.world, self.record, *roles)
        if proven:
            await self.world.store.sessions.step_up(session.session_id, self.world.clock.now(), EVIDENCE)
        return session


@asynccontextmanager
async def place(ends: timedelta = pki.DAY) -> AsyncIterator[Place]:
    """Start a server whose endpoint is real, and whose engine too."""
    world, lab = World(), await Lab.start()
    lab.engine._again = world.acting.again
    world.engine = cast("Any", lab.engine)
    world.credentials = cast("Any", Credentials(lab.services))
    await world.start()
    pair = world.pair(ends=ends)
    record = await world.register(pair)
    line = GrpcBackend(world.identity(pair), SystemClock())
    line._token = Stubborn()
    readers = VirtualReaders([READER])
    readers.add_card("card", VirtualCard.new(ProfileName.YUBIKEY_5_7, serial=1001, random=os.urandom))
    await readers.insert(READER, "card")
    try:
        async with StationCore(readers, line) as station:
            yield Place(world, lab, pair, record, line, station)
    finally:
        await line.close()
        await readers.close()
        await world.stop()
        await lab.close()


@asynccontextmanager
async def issued() -> AsyncIterator[Place]:
    """Start with a card that was issued before there was any operator."""
    async with place() as made:
        assert await made.perform(OperationKind.ISSUE) is None
        yield made


def check(came: KioskError | None, operation: OperationKind | Act, preset: str | None) -> None:
    """Compare what came with what the role says."""
    roles = [PRESETS[preset]] if preset else []
    if allowed(roles, operation, TEMPLATE) < Level.EXECUTE:
        assert isinstance(came, errors.NotAllowed), (operation, came)
        assert came.facts == {"what": operation.value}
    else:
        assert not isinstance(came, (*REFUSALS, errors.StepUpNeeded)), (operation, came)


# --- presets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ROLES)
async def test_an_operation_takes_a_role_with_it(preset: str | None) -> None:
    async with issued() as made:
        await made.log_on(*([preset] if preset else []))
        for operation in OperationKind:
            check(await made.perform(operation), operation, preset)


@pytest.mark.parametrize("preset", ROLES)
async def test_a_decision_takes_a_role_with_it(preset: str | None) -> None:
    async with issued() as made:
        await made.log_on(*([preset] if preset else []))
        for operation in OperationKind:
            check(await made.decide(operation), operation, preset)


@pytest.mark.parametrize("preset", ROLES)
async def test_help_with_a_card_far_away_takes_a_role_with_it(preset: str | None) -> None:
    async with issued() as made:
        await made.log_on(*([preset] if preset else []))
        for act in HELP:
            check(await made.help(act), act, preset)


async def test_help_with_a_card_far_away_takes_the_pin_again() -> None:
    async with issued() as made:
        await made.log_on("system-administrator", proven=False)
        for act in HELP:
            came = await made.help(act)
            assert isinstance(came, errors.StepUpNeeded), act
            assert came.facts == {"what": act.value}


async def test_what_is_sensitive_takes_the_pin_again() -> None:
    async with issued() as made:
        await made.log_on("system-administrator", proven=False)
        for operation in OperationKind:
            for came in (await made.perform(operation), await made.decide(operation)):
                if operation in SENSITIVE:
                    assert isinstance(came, errors.StepUpNeeded), (operation, came)
                else:
                    assert not isinstance(came, (*REFUSALS, errors.StepUpNeeded)), (operation, came)


# --- no session, or one that does not count -------------------------------------------------------------


async def nobody(made: Place) -> None:
    made.line.token.forget()


async def ended(made: Place) -> None:
    session = await made.world.store.sessions.by_digest(hashlib.sha256(TOKEN).digest())
    assert session is not None
    now = made.world.clock.now()
    await made.world.store.sessions.end(session.session.session_id, SessionEnd.CARD_REMOVED, now, EVIDENCE)


async def idle(made: Place) -> None:
    made.world.clock.later = timedelta(minutes=10, seconds=1)


async def blocked(made: Place) -> None:
    await made.world.store.stations.set_state(made.record.station_id, StationState.BLOCKED, EVIDENCE)


async def expired(made: Place) -> None:
    made.world.clock.later = timedelta(minutes=6)  # the session would go on


States = Callable[[Place], Awaitable[None]]
SHUT_OUT: dict[States, type[KioskError]] = {
    nobody: errors.LogonNeeded,
    ended: errors.SessionEnded,
    idle: errors.SessionEnded,
    blocked: errors.StationBlocked,
    expired: errors.StationExpired,
}


@pytest.mark.parametrize("state", SHUT_OUT)
async def test_an_operation_takes_a_session_that_counts(state: States) -> None:
    async with place(timedelta(minutes=5) if state is expired else pki.DAY) as made:
        assert await made.perform(OperationKind.ISSUE) is None
        await made.log_on("system-administrator")
        await state(made)
        for operation in OperationKind:
            for act in (made.perform, made.decide):
                assert isinstance(await act(operation), SHUT_OUT[state]), operation
        assert await made.state() is State.ISSUED


async def test_an_operation_takes_a_session_of_this_station() -> None:
    async with issued() as made:
        other = await made.world.register(made.world.pair())
        made.line.token.keep(Secret(TOKEN))
        await log_on(made.world, other, "system-administrator")
        for operation in OperationKind:
            for act in (made.perform, made.decide):
                assert isinstance(await act(operation), errors.SessionEnded), operation
        assert await made.state() is State.ISSUED


# --- while it runs --------------------------------------------------------------------------------------


class Interrupted(Holder):
    """Somebody who types a PIN while something happens elsewhere."""

    def __init__(self, happens: Callable[[], Awaitable[object]]) -> None:
        super().__init__(new_pins=[PIN])
        self._happens = happens

    async def new_pin(self, policy: PinPolicy, problem: KioskError | None) -> Secret | None:
        await self._happens()
        return await super().new_pin(policy, problem)


async def edit_normal(world: World) -> None:
    less = edited(PRESETS["normal"], [Grant(subject=OperationKind.ACTIVATE, level=Level.VIEW)])
    role = RoleRecord(name=less.name, document=to_document(less), preset=True, changed_at=world.clock.now())
    await world.store.roles.add(role, EVIDENCE)


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        ("another role", errors.NotAllowed),
        ("no role", errors.NotAllowed),
        ("a role that was edited", errors.NotAllowed),
        ("deactivated", errors.SessionEnded),
        ("key", errors.SessionEnded),
        ("logged off", errors.SessionEnded),
    ],
)
async def test_an_operation_stops_at_the_next_border(how: str, wanted: type[KioskError]) -> None:
    async with issued() as made:
        session = await made.log_on("normal")
        store = made.world.store
        operators, operator, now = store.operators, session.operator_id, made.world.clock.now()
        happens: dict[str, Callable[[], Awaitable[object]]] = {
            "another role": lambda: operators.set_roles(operator, {"key-recovery"}, EVIDENCE),
            "no role": lambda: operators.set_roles(operator, (), EVIDENCE),
            "a role that was edited": lambda: edit_normal(made.world),
            "deactivated": lambda: operators.set_state(operator, OperatorState.INACTIVE, EVIDENCE),
            "key": lambda: operators.set_key(session.key_digest, EVIDENCE, active=False),
            "logged off": lambda: store.sessions.end(
                session.session_id, SessionEnd.LOGGED_OFF, now, EVIDENCE
            ),
        }
        came = await made.perform(OperationKind.ACTIVATE, Interrupted(happens[how]))
        assert isinstance(came, wanted)
        assert await made.state() is State.ISSUED
