"""Store, key store, certificate authority and line fail at every place, once or for a while: the next run heals.

`kept` says that what was asked for happened all the same, and only the answer was lost.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from kiosk.station.faces import Job, Outcome
from server.ports.ca import Outcome as Answer
from server.ports.ca import Reason, SignRequest
from shared import errors
from shared.credential.model import State
from shared.piv.ids import ProfileName
from shared.relay import OperationKind, ServerTurn, StationTurn
from tests.scenario.cards import listening
from tests.scenario.judging import judge
from tests.scenario.lab import BOB, Holder, Lab, Notes, Wire
from tests.scenario.promises import keeps_promises

PIN = "739154"
ENOUGH = 60
"""More writes, uses of a key and turns than an operation has."""
PROFILES = (ProfileName.YUBIKEY_5_7, ProfileName.UNKNOWN)


async def issue(lab: Lab) -> Outcome:
    return await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")


async def activate(lab: Lab) -> Outcome:
    return await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))


async def state_of(lab: Lab) -> State:
    """Return what the record says of the newest card."""
    *_, newest = lab.store._book.state.cards or [None]
    record = await lab.store.cards.card(newest) if newest is not None else None
    return record.state if record is not None else State.UNREGISTERED


async def insert_again(lab: Lab) -> None:
    await lab.readers.insert("Reader 1", "card")
    await lab.settle()


@dataclass
class Failing:
    """Something that fails at its `at`-th use; with `lasting` from then on."""

    at: int
    lasting: bool
    uses: int = 0

    def now(self) -> bool:
        self.uses += 1
        return self.uses == self.at or (self.lasting and self.uses > self.at)

    @property
    def happened(self) -> bool:
        return self.uses >= self.at


Break = Callable[[Lab, Failing], Callable[[], None]]
"""Put something that fails into a lab; what it returns mends it."""


async def with_a_part_that_fails(part: Break, profile: ProfileName, failing: Failing, before: State) -> bool:
    """Issue (or activate) with it, mend it, and do it again; return whether it failed at all."""
    lab = await Lab.start()
    try:
        await lab.insert(profile, make=listening)
        await lab.settle()
        if before is State.ISSUED:
            assert (await issue(lab)).error is None
            await lab.settle()
        act = activate if before is State.ISSUED else issue
        wanted = State.ACTIVE if before is State.ISSUED else State.ISSUED
        mend = part(lab, failing)
        try:
            await act(lab)
        finally:
            mend()
        await insert_again(lab)
        if await state_of(lab) is not wanted:
            outcome = await act(lab)
            assert outcome.error is None, outcome
        assert await state_of(lab) is wanted
        *_, newest = lab.store._book.state.cards
        record = await lab.store.cards.card(newest)
        assert record is not None
        assert record.open_operation is None, "it is done, and yet to be continued"
        await judge(lab)
        if before is State.REGISTERED:
            assert (await activate(lab)).error is None
        card = lab.readers.card("card")
        assert card.memory.pin.value.reveal() == PIN.encode().ljust(8, b"\xff")
        keeps_promises(card)  # type: ignore[arg-type]  # it is one that listens
        return failing.happened
    finally:
        await lab.close()


async def at_every_place(part: Break, profile: ProfileName, before: State, *, lasting: bool) -> None:
    wrong = []
    for at in range(1, ENOUGH):
        try:
            if not await with_a_part_that_fails(part, profile, Failing(at, lasting), before):
                break
        except AssertionError as failure:
            wrong.append(f"{at}: {str(failure).splitlines()[0]}")
    else:
        pytest.fail("more places than expected")
    assert not wrong
    assert at > 2


def store(*, kept: bool) -> Break:
    """The store cannot be written: cards, journal, evidence, and the certificate authority's book."""

    def put(lab: Lab, failing: Failing) -> Callable[[], None]:
        book = lab.store._book
        real = book.writing

        @contextmanager
        def writing() -> Iterator[Any]:
            fails = failing.now()
            if fails and not kept:
                raise errors.StoreUnavailable(why="test")
            with real() as draft:
                yield draft
            if fails:
                raise errors.StoreUnavailable(why="test")

        def mend() -> None:
            del book.writing

        book.writing = writing  # type: ignore[method-assign]  # the one way to write
        return mend

    return put


def key_store(lab: Lab, failing: Failing) -> Callable[[], None]:
    """The key store does not answer: whoever uses it, operations or the certificate authority."""
    keystore = lab.services.keystore
    real = {name: getattr(keystore, name) for name in ("derive", "sign")}

    def failing_at(name: str) -> Callable[..., Any]:
        async def use(*given: Any) -> Any:
            if failing.now():
                raise errors.ConnectorUnreachable(connection="key-store", reason="test")
            return await real[name](*given)

        return use

    for name in real:
        setattr(keystore, name, failing_at(name))

    def mend() -> None:
        for name in real:
            delattr(keystore, name)

    return mend


class CutWire(Wire):
    """A line that is cut at a turn, counted in both directions; `kept` says that this turn still arrives."""

    failing: Failing
    kept: bool

    async def send(self, turn: ServerTurn) -> None:
        fails = self.failing.now()
        if not fails or self.kept:
            await super().send(turn)
        if fails:
            raise errors.ConnectionLost

    async def receive(self) -> StationTurn:
        turn = await super().receive()
        if self.failing.now():
            raise errors.ConnectionLost
        return turn


def line(*, kept: bool) -> Break:
    def put(lab: Lab, failing: Failing) -> Callable[[], None]:
        def wire(turns: AsyncIterator[StationTurn]) -> Wire:
            made = CutWire(turns)
            made.failing, made.kept = failing, kept
            return made

        def mend() -> None:
            lab.backend.wire = Wire

        lab.backend.wire = wire
        return mend

    return put


BEFORE = [State.REGISTERED, State.ISSUED]


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("lasting", [False, True])
async def test_a_store_that_fails_at_any_commit(*, lasting: bool, kept: bool, before: State) -> None:
    await at_every_place(store(kept=kept), ProfileName.YUBIKEY_5_7, before, lasting=lasting)


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("profile", PROFILES)
async def test_a_key_store_that_fails_at_any_use(profile: ProfileName, before: State) -> None:
    await at_every_place(key_store, profile, before, lasting=False)


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("profile", PROFILES)
async def test_a_line_that_is_cut_at_any_turn(profile: ProfileName, *, kept: bool, before: State) -> None:
    await at_every_place(line(kept=kept), profile, before, lasting=True)


# --- somebody stops it -------------------------------------------------------------------------------------------


class Stopping(Notes):
    """Somebody who stops the operation at the n-th sign of progress."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.left = at
        self.task: asyncio.Task[Outcome] | None = None

    def steps(self, steps: Sequence[Any]) -> None:
        super().steps(steps)
        self._count()

    def step(self, index: int, *, done: bool, expected_ms: int) -> None:
        super().step(index, done=done, expected_ms=expected_ms)
        self._count()

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0 and self.task is not None:
            self.task.cancel()


async def test_an_issue_stopped_at_any_sign_of_progress() -> None:
    """It stops at a border between two steps, or not at all; both ways the card can be gone on with."""
    stopped = 0
    for at in itertools.count(1):
        lab = await Lab.start()
        try:
            await lab.insert(ProfileName.YUBIKEY_5_7, make=listening)
            await lab.settle()
            watcher = Stopping(at)
            job = Job(
                operation=OperationKind.ISSUE, reader="Reader 1", holder=BOB.holder, template="employee"
            )
            watcher.task = asyncio.create_task(lab.station.perform(job, Holder(), watcher))
            outcome = await watcher.task
            if outcome.error is not None:
                assert outcome.error.code == "cancelled"
                stopped += 1
                assert (await issue(lab)).error is None
            await judge(lab)
            assert (await activate(lab)).error is None
            keeps_promises(lab.readers.card("card"))  # type: ignore[arg-type]  # it is one that listens
            if watcher.left > 0:
                break
        finally:
            await lab.close()
    assert stopped >= 2


async def break_down_during(lab: Lab, operation: OperationKind, person: Holder) -> None:
    """Let the store fail from the second write of an operation on, as when the server dies in it."""
    mend = store(kept=False)(lab, Failing(2, lasting=True))
    assert (await lab.perform(operation, person)).error is not None
    mend()
    await insert_again(lab)


async def test_a_change_of_the_pin_that_never_ended_stands_in_nobodys_way(lab: Lab) -> None:
    assert (await issue(lab)).error is None
    assert (await activate(lab)).error is None
    await break_down_during(lab, OperationKind.CHANGE_PIN, Holder(current_pins=[PIN], new_pins=["482615"]))
    seen = await lab.station.refresh("Reader 1")
    assert seen.record is not None
    assert seen.record.interrupted is None
    assert (await lab.perform(OperationKind.UNBLOCK, Holder(new_pins=["604182"]))).error is None
    again = Holder(current_pins=["604182"], new_pins=[PIN])
    assert (await lab.perform(OperationKind.CHANGE_PIN, again)).error is None


async def test_what_was_cut_is_gone_on_with_first(lab: Lab) -> None:
    assert (await issue(lab)).error is None
    assert (await activate(lab)).error is None
    await break_down_during(lab, OperationKind.UNBLOCK, Holder(new_pins=["482615"]))
    other = await lab.perform(OperationKind.CHANGE_PIN, Holder(current_pins=[PIN], new_pins=["604182"]))
    assert other.error is not None
    assert (other.error.code, other.error.facts) == ("operation-interrupted", {"operation": "unblock"})
    seen = await lab.station.refresh("Reader 1")
    assert seen.record is not None
    assert seen.record.interrupted is OperationKind.UNBLOCK
    assert (await lab.perform(OperationKind.UNBLOCK, Holder(new_pins=["604182"]))).error is None


# --- certificate authorities ----------------------------------------------------------------------------------------


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    made = await Lab.start()
    await made.insert(ProfileName.YUBIKEY_5_7, make=listening)
    await made.settle()
    yield made
    await made.close()


def signed(lab: Lab) -> int:
    """Return how many certificates were signed for requests."""
    return sum(1 for entry in lab.store._book.state.ledger.values() if entry.request_id is not None)


def answering(lab: Lab, answer: Callable[[Sequence[SignRequest]], Any]) -> None:
    lab.ca.issue = answer  # type: ignore[method-assign, assignment]  # another answer


async def test_answers_in_the_wrong_order_are_put_right(lab: Lab) -> None:
    real = lab.ca.issue

    async def mixed_up(requests: Sequence[SignRequest]) -> Sequence[Answer]:
        return list(reversed(await real(requests)))

    answering(lab, mixed_up)
    assert (await issue(lab)).error is None
    await judge(lab)
    assert signed(lab) == 4


@pytest.mark.parametrize("answers", [lambda all_: all_[:3], lambda all_: [*all_, all_[0]], lambda _: []])
async def test_more_or_fewer_answers_than_requests(
    lab: Lab, answers: Callable[[Sequence[Answer]], Sequence[Answer]]
) -> None:
    real = lab.ca.issue

    async def miscount(requests: Sequence[SignRequest]) -> Sequence[Answer]:
        return answers(await real(requests))

    answering(lab, miscount)
    assert getattr((await issue(lab)).error, "code", "") == "certificate-rejected"
    del lab.ca.issue
    assert (await issue(lab)).error is None
    await judge(lab)
    assert signed(lab) == 4


@pytest.mark.parametrize("refused", range(4))
async def test_one_of_four_refused(lab: Lab, refused: int) -> None:
    """What the others got is kept; only the refused one is asked for again."""
    real, asked = lab.ca.issue, list[int]()

    async def refuse(requests: Sequence[SignRequest]) -> Sequence[Answer]:
        asked.append(len(requests))
        wrong = replace(requests[refused], profile="unheard-of") if len(asked) == 1 else requests[-1]
        return await real(
            [*requests[:refused], wrong, *requests[refused + 1 :]] if len(asked) == 1 else requests
        )

    answering(lab, refuse)
    assert getattr((await issue(lab)).error, "code", "") == "connector-refused"
    assert (await issue(lab)).error is None
    assert asked == [4, 1]
    await judge(lab)
    assert signed(lab) == 4


async def test_an_authority_that_signs_when_nobody_waits_any_more(lab: Lab) -> None:
    real, late = lab.ca.issue, list[Sequence[SignRequest]]()

    async def too_late(requests: Sequence[SignRequest]) -> Sequence[Answer]:
        late.append(requests)
        raise errors.ConnectorUnreachable(connection="built-in", reason="timed out")

    async def while_we_ask_again(requests: Sequence[SignRequest]) -> Sequence[Answer]:
        await real(late[0])
        return await real(requests)

    answering(lab, too_late)
    assert getattr((await issue(lab)).error, "code", "") == "connector-unreachable"
    answering(lab, while_we_ask_again)
    assert (await issue(lab)).error is None
    await judge(lab)
    assert signed(lab) == 4


async def test_a_wrong_certificate_that_cannot_be_revoked_now_is_found_again(lab: Lab) -> None:
    real, revoke = lab.ca.issue, lab.ca.revoke

    async def for_an_administrator(requests: Sequence[SignRequest]) -> Sequence[Answer]:
        named = [replace(each, names=replace(each.names, subject="CN=Administrator")) for each in requests]
        return await real(named)

    async def down(_certificate: bytes, _reason: Reason) -> None:
        raise errors.ConnectorUnreachable(connection="built-in", reason="test")

    answering(lab, for_an_administrator)
    lab.ca.revoke = down  # type: ignore[method-assign, assignment]  # cannot be reached for this
    assert getattr((await issue(lab)).error, "code", "") == "connector-unreachable"
    assert getattr((await issue(lab)).error, "code", "") == "connector-unreachable"
    lab.ca.revoke = revoke  # type: ignore[method-assign]  # and is there again
    answering(lab, real)
    assert (await issue(lab)).error is None
    await judge(lab)
    assert signed(lab) == 8
