"""Whatever is done to a card, in whatever order, cut wherever: the record goes only the ways that the table knows.

Operations, wrong PINs, cuts, reinsertions at either station, a card that is taken to the other one while its holder is
asked for a PIN, decisions without the card, a certificate authority that is not reached or not heard, and what other
people do to a card behind our back. And every certificate that was issued is on its card, or revoked, or waits to be, or
its key is gone; while an operation stands open, the record at least knows of it. Where the record says that the PIN is
the holder's, it is. Where nobody else touched the card, it comes to its goal in the end.
"""

import asyncio
import os
import random
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar
from uuid import uuid4

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shared import errors
from shared.credential.drift_kinds import Kind
from shared.credential.lifecycle import CONTINUED, WITHOUT_CARD, OperationKind, target
from shared.credential.model import CardRecord, PinState, RecordId, State
from shared.credential.plan import LIVE
from shared.credential.update import due_at_sight
from shared.piv.chuid import Chuid
from shared.piv.ids import ObjectId, ProfileName, Slot
from shared.virtual.factory import blank
from shared.virtual.memory import Memory
from shared.virtual.profiles import PROFILES as MADE
from tests.cuts import judge
from tests.cuts.authority import Mood
from tests.cuts.cut import Cut
from tests.cuts.inside import Inside
from tests.cuts.operations import OPERATIONS, PROFILES, reason_for
from tests.cuts.world import CARD, DESKS, Books

T = TypeVar("T")

EXAMPLES: Final = 40
STEPS: Final = 14
PLACES: Final = 40
"""Cuts are at up to this many commands or messages of an operation."""
INSERTIONS: Final = 8
"""Within so many a card comes to its goal."""

KINDS: Final = sorted({row.kind for row in OPERATIONS.values()})
WAY: Final = {
    State.UNREGISTERED: OperationKind.ISSUE,
    State.REGISTERED: OperationKind.ISSUE,
    State.ISSUED: OperationKind.ACTIVATE,
    State.SUSPENDED: OperationKind.RESUME,
}
"""How a card comes to its goal: its holder uses it."""

FULL: Final = {OperationKind.ACTIVATE, OperationKind.CHANGE_PIN, OperationKind.UNBLOCK}
"""After these the PIN has all its tries: the holder has just chosen it."""

STOCK: Final = frozenset({OperationKind.REGISTER, OperationKind.UNREGISTER})
"""A card that was cut in one of these may not say whose it is; whoever began it goes on."""

CUTS: Final = st.builds(Cut, kind=st.sampled_from(Inside.kinds), at=st.integers(1, PLACES))

EXPECTED_DRIFT: Final = frozenset({Kind.OPERATION_CUT, Kind.PIN_BLOCKED, Kind.CERTIFICATE_REVOKED})
"""Where card and record may differ although nobody else touched the card: a cut, a holder who forgot the PIN, a
certificate that was revoked while its card was away."""

ELSEWHERE: Final = frozenset({(State.UNREGISTERED, State.REGISTERED), (State.REGISTERED, State.UNREGISTERED)})
"""What the record does beside the table: a card is begun with; a card that never was ours is forgotten."""


def reset(memory: Memory) -> Memory:
    return blank(MADE[memory.profile], serial=memory.serial, random=os.urandom, before=memory)


def overwrite_chuid(memory: Memory) -> Memory:
    raw = memory.objects.get(ObjectId.CHUID)
    if raw is None:
        return memory
    return memory.with_object(ObjectId.CHUID, bytes(replace(Chuid.from_bytes(raw), guid=uuid4())))


def delete_certificate(memory: Memory) -> Memory:
    tag = Slot.SIGNATURE.certificate_object
    return memory.with_object(tag, b"") if tag in memory.objects else memory


def block_pin(memory: Memory) -> Memory:
    return replace(memory, pin=replace(memory.pin, left=0))


FOREIGN: Final[Mapping[str, Callable[[Memory], Memory]]] = {
    "reset": reset,
    "overwrite CHUID": overwrite_chuid,
    "delete certificate": delete_certificate,
    "block PIN": block_pin,
}


class Life(RuleBasedStateMachine):
    """One card, and all that may happen to it."""

    def __init__(self) -> None:
        """Start a server and two stations."""
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = self.run(Inside.start())
        self.touched: set[str] = set()
        """What others did to the card."""
        self.excused: set[bytes] = set()
        """Certificates that somebody else deleted from the card."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        try:
            if self.touched <= {"block PIN"}:
                self.run(self._comes_to_its_goal())
        finally:
            self.run(self.world.close())
            self.run(asyncio.sleep(0))  # generators that a dead line left behind end
            self.runner.close()

    # --- what happens -----------------------------------------------------------------------------------

    @initialize(profile=st.sampled_from(sorted(PROFILES.values())), seed=st.integers(0, 999))
    def begin(self, profile: ProfileName, seed: int) -> None:
        self.run(self.world.new_card(profile, random.Random(seed)))

    @rule(
        kind=st.sampled_from(KINDS),
        desk=st.integers(0, 1),
        cut=st.none() | CUTS,
        mistakes=st.sampled_from((0, 0, 0, 1, 2)),
    )
    def operate(self, kind: OperationKind, desk: int, cut: Cut | None, mistakes: int) -> None:
        self.run(self._operate(kind, desk, cut, mistakes))

    @rule(
        kind=st.sampled_from(KINDS),
        desk=st.integers(0, 1),
        cut=st.none() | CUTS,
        other=st.sampled_from(KINDS),
    )
    def wander(self, kind: OperationKind, desk: int, cut: Cut | None, other: OperationKind) -> None:
        """Take the card to the other desk while a new PIN is asked for at this one, and come back to type it."""
        self.run(self._operate(kind, desk, cut, 0, meanwhile=other))

    @rule(desk=st.integers(0, 1), cut=st.none() | CUTS)
    def go_on(self, desk: int, cut: Cut | None) -> None:
        """Do what brings the card nearer to its goal; what its holder does then."""
        self.run(self._operate(self.run(self._next()) or OperationKind.CHANGE_PIN, desk, cut, 0))

    @rule(kind=st.sampled_from(sorted(WITHOUT_CARD)))
    def decide(self, kind: OperationKind) -> None:
        """Decide about the card from the other desk, while it is not there."""
        self.run(self._decide(kind))

    @rule(mood=st.sampled_from(Mood))
    def authority(self, mood: Mood) -> None:
        """Have the certificate authority answer, or not."""
        self.world.authority.mood = mood

    @rule()
    def work_queue(self) -> None:
        """Time passes: what waits for the certificate authority is tried again."""
        self.run(self.world.work_queue())

    @rule(what=st.sampled_from(sorted(FOREIGN)))
    def somebody_else(self, what: str) -> None:
        before = set(judge.certificates(self.world.card.memory).values())
        self.world.alter(FOREIGN[what])
        self.excused |= before - set(judge.certificates(self.world.card.memory).values())
        self.touched.add(what)

    # --- what must hold ---------------------------------------------------------------------------------

    @invariant()
    def every_certificate_is_accounted_for(self) -> None:
        if not self.world.readers.cards():
            return
        memory, books = self.world.card.memory, self._books()
        keys = judge.public_keys(memory)
        known = {
            certificate.request_id
            for record in books.records
            if record.open_operation is not None
            for certificate in record.certificates
            if certificate.state in LIVE
        }
        for entry in judge.orphans(memory, books):
            gone = entry.public_key not in keys
            assert gone or entry.request_id in known or entry.certificate in self.excused, "an orphan"

    @invariant()
    def every_secret_is_known(self) -> None:
        if self.world.readers.cards() and "overwrite CHUID" not in self.touched:
            assert self.run(judge.unknown_secrets(self.world.card.memory, self._books())) == []

    @invariant()
    def the_holder_knows_the_pin(self) -> None:
        if not self.world.readers.cards():
            return
        record = judge.record_of(self.world.card.memory, self._books())
        if record is not None and record.pin is PinState.HOLDER and record.open_operation is None:
            assert judge.wrong_pin(self.world.card.memory, self.world.holder.maybe) == []

    @invariant()
    def the_puk_is_never_blocked(self) -> None:
        assert not self.world.readers.cards() or self.world.card.memory.puk.left > 0

    @invariant()
    def a_card_that_nobody_else_touched_is_as_its_record_says(self) -> None:
        if self.world.readers.cards() and not self.touched:
            assert judge.drift_of(self.world.card.memory, self._books()) <= EXPECTED_DRIFT

    async def _operate(
        self,
        kind: OperationKind,
        desk: int,
        cut: Cut | None,
        mistakes: int,
        *,
        meanwhile: OperationKind | None = None,
    ) -> State:
        memory, before = self.world.card.memory, await self._records()
        self.world.holder.mistakes = mistakes

        async def elsewhere() -> None:
            nonlocal memory, before
            assert meanwhile is not None
            await self._operate(meanwhile, 1 - desk, None, 0)
            await self.world.readers.insert(DESKS[desk], CARD)
            memory, before = self.world.card.memory, await self._records()

        self.world.holder.meanwhile = elsewhere if meanwhile is not None else None
        outcome = (await self.world.perform(kind, desk, cut, reason=reason_for(kind))).outcome
        self.world.holder.mistakes = 0
        self.world.holder.meanwhile = None
        after = await self._records()
        changed = {
            record_id: (_state_in(before, record_id), _state_in(after, record_id))
            for record_id in after
            if _state_in(before, record_id) is not _state_in(after, record_id)
        }
        for way in changed.values():
            assert all(step in ELSEWHERE or step[1] is _ends(kind, step[0]) for step in _steps(way)), (
                kind,
                way,
            )
        assert len(changed) <= 1, changed
        assert set(before) <= set(after), "a record was forgotten"
        if isinstance(outcome.error, errors.TransitionForbidden):
            assert self.world.card.memory == memory
            assert after == before
        if outcome.error is None:
            ended = judge.record_of(self.world.card.memory, await self.world.books())
            if ended is None and "overwrite CHUID" in self.touched:
                return (
                    await self._state()
                )  # the server found the card by its number, and the card proved its key
            if kind is OperationKind.UNREGISTER:
                assert (ended, outcome.state) == (None, State.UNREGISTERED), "nothing says whose it was"
                return await self._state()
            if ended is None and kind is OperationKind.DELETE:  # cut before it was ours; found by its number
                assert [way[1] for way in changed.values()] == [outcome.state] == [State.DELETED]
                return await self._state()
            assert ended is not None
            assert ended.open_operation is None
            assert outcome.state == ended.state == _goes_to(kind, before.get(ended.record_id))
            if kind in FULL:
                assert self.world.card.memory.pin.left == self.world.card.memory.pin.tries
        return await self._state()

    async def _decide(self, kind: OperationKind) -> None:
        record = judge.record_of(self.world.card.memory, await self.world.books())
        if record is None:
            return
        before, memory = await self._records(), self.world.card.memory
        try:
            await self.world.decide(record.record_id, kind, reason_for(kind))
        except errors.KioskError:
            assert await self._records() == before
        else:
            after = (await self._records())[record.record_id]
            assert after.state is _ends(kind, record.state)
            assert after.open_operation is None
        assert self.world.card.memory == memory

    async def _comes_to_its_goal(self) -> None:
        """Go its way until nothing is left to do: what was cut, then what brings the card to its holder, if anybody."""
        self.world.authority.mood = Mood.ANSWERS
        if not self.world.readers.cards():
            return
        for insertion in range(INSERTIONS):
            kind = await self._next()
            if kind is None:
                break
            await self._operate(kind, insertion % 2, None, 0)
        assert await self._next() is None
        assert await self.world.work_queue() == 0
        assert judge.orphans(self.world.card.memory, await self.world.books()) == []

    async def _next(self) -> OperationKind | None:
        """Return what somebody would do who has this card before them; None where nothing is to be done."""
        books = await self.world.books()
        record = judge.record_of(self.world.card.memory, books)
        shown, continued = ([record], CONTINUED) if record is not None else (books.records, STOCK)
        for cut in (each.open_operation for each in shown):
            if cut is not None and cut.kind in continued:
                return OperationKind(cut.kind)
        if record is not None and due_at_sight(record):
            return OperationKind.UPDATE
        return WAY.get(record.state if record is not None else State.UNREGISTERED)

    # --- what is seen -----------------------------------------------------------------------------------

    def _books(self) -> Books:
        return self.run(self.world.books())

    async def _records(self) -> dict[RecordId, CardRecord]:
        return {record.record_id: record for record in (await self.world.books()).records}

    async def _state(self) -> State:
        record = judge.record_of(self.world.card.memory, await self.world.books())
        return record.state if record is not None else State.UNREGISTERED


def _state_in(records: Mapping[RecordId, CardRecord], record_id: RecordId) -> State:
    return records[record_id].state if record_id in records else State.UNREGISTERED


def _goes_to(kind: OperationKind, record: CardRecord | None) -> State | None:
    """Return where an operation brings a card; one that was cut when it had its record already goes on from nothing."""
    cut = record.open_operation if record is not None else None
    begun = record is None or (kind is OperationKind.REGISTER and cut is not None and cut.kind == kind)
    return _ends(kind, State.UNREGISTERED if begun or record is None else record.state)


def _ends(kind: OperationKind, state: State) -> State | None:
    try:
        return target(kind, state)
    except errors.TransitionForbidden:
        return None


def _steps(way: tuple[State, State]) -> tuple[tuple[State, State], ...]:
    """Split what one operation does to a new record into its two steps: it is begun with, then goes on."""
    begun, ended = way
    if begun is State.UNREGISTERED and ended is not State.REGISTERED:
        return (State.UNREGISTERED, State.REGISTERED), (State.REGISTERED, ended)
    return (way,)


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
