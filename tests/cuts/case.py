"""One case: a card is brought to where an operation starts, cut, perhaps cut again, healed elsewhere, and judged."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from kiosk.station.faces import Outcome
from shared import errors
from shared.relay import OperationKind
from tests.cuts import judge
from tests.cuts.authority import Mood
from tests.cuts.cut import Counts, Cut
from tests.cuts.operations import OPERATIONS, PROFILES, Row, reason_for
from tests.cuts.world import World

INSERTIONS: Final = 4
"""A card that does not come to where it should within this many insertions is lost."""
CUT_AGAIN: Final = 0.2
"""Share of the cuts whose healing is cut again."""
CUTS_MORE: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One cut of one operation on one profile."""

    operation: str
    profile: str
    cut: Cut
    mood: Mood = Mood.ANSWERS
    """How the certificate authority is, from the operation that is cut on."""

    def __str__(self) -> str:
        """Return it as reports name it."""
        odd = "" if self.mood is Mood.ANSWERS else f", authority {self.mood}"
        return f"{self.operation} on {self.profile}, {self.cut}{odd}"


@dataclass(slots=True)
class Tally:
    """What came of all cuts. `again` are those that hit a healing; `problems` name every case that did not heal."""

    cuts: int = 0
    again: int = 0
    healed: int = 0
    lost: int = 0
    orphans: int = 0
    problems: list[str] = field(default_factory=list)

    def __add__(self, other: "Tally") -> "Tally":
        """Return both together."""
        return Tally(
            self.cuts + other.cuts,
            self.again + other.again,
            self.healed + other.healed,
            self.lost + other.lost,
            self.orphans + other.orphans,
            self.problems + other.problems,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncut:
    """What an operation consists of, and what it leaves, where nothing is cut."""

    counts: Counts
    shape: judge.Shape


async def prepare(world: World, row: Row, profile: str, chance: random.Random) -> None:
    """Bring a new card to where the operation starts."""
    name = f"{row.name} {profile}"
    if world.recall(name, chance):
        return
    await world.new_card(PROFILES[profile], chance)
    if row.replaces is not None:
        for kind in (OperationKind.ISSUE, OperationKind.ACTIVATE):
            ran = await world.perform(kind, 0)
            assert ran.outcome.error is None, (kind, ran.outcome)
        await world.replace_card(PROFILES[profile], chance, row.replaces)
    for kind in row.before:
        ran = await world.perform(kind, 0, reason=reason_for(kind))
        assert ran.outcome.error is None, (kind, ran.outcome)
    if row.arrange is not None:
        await row.arrange(world)
    world.remember(name)


async def uncut_run(world: World, row: Row, profile: str, seed: int) -> Uncut:
    """Do the operation without a cut."""
    await prepare(world, row, profile, random.Random(f"{seed} {row.name} {profile}"))
    ran = await world.perform(row.kind, 0, reason=row.reason)
    assert ran.outcome.error is None, (row.name, profile, ran.outcome)
    assert ran.outcome.state == row.state, (row.name, profile, ran.outcome)
    problems, orphans = await _judged(world, row, None)
    assert not problems, (row.name, profile, problems)
    assert not orphans, (row.name, profile, orphans)
    return Uncut(counts=ran.counts, shape=judge.shape(world.card.memory, await world.books()))


async def try_case(world: World, case: Case, uncut: Uncut, seed: int) -> Tally:
    """Cut once, now and then cut the healing too, heal, and judge. A cut that never happened counts for nothing."""
    chance = random.Random(f"{seed} {case}")
    row = OPERATIONS[case.operation]
    await prepare(world, row, case.profile, chance)
    before = judge.shape(world.card.memory, await world.books()) if row.once else None
    world.begin(case.mood)
    wanted = [case.cut, *_more_cuts(world, uncut.counts, chance)]
    cuts: list[Cut] = []
    again = 0
    problems: list[str] = []
    outcomes: list[str] = []
    for insertion in range(len(wanted) + INSERTIONS):
        kind = await _next(world, row)
        cut = wanted[insertion] if insertion < len(wanted) else None
        ran = await world.perform(kind, insertion % 2, cut, reason=reason_for(kind))
        if isinstance(
            ran.outcome.error, errors.ApprovalNeeded
        ):  # one that was cut and let go is asked for anew
            await world.agree(kind)
            ran = await world.perform(kind, insertion % 2, cut, reason=reason_for(kind))
        if cut is not None and ran.cut:
            cuts.append(cut)
            again += insertion > 0
        problems += await judge.unknown_secrets(world.card.memory, await world.books())
        if _reached(ran.outcome, row, kind) or await _is_there(world, before, uncut.shape):
            break
        outcomes.append(str(ran.outcome.error))
    else:
        problems.append(f"not healed: {outcomes}")
    if again_sent := world.sent_again():
        problems.append(f"{again_sent} keys were sent again after their answer was lost")
    world.begin(Mood.ANSWERS)
    if not cuts:
        return Tally()
    found, orphans = await _judged(world, row, uncut.shape)
    problems += found
    names = [f"{case} (cuts: {', '.join(map(str, cuts))}): {problem}" for problem in [*problems, *orphans]]
    return Tally(
        cuts=len(cuts),
        again=again,
        healed=0 if problems else len(cuts),
        lost=len(cuts) if problems else 0,
        orphans=len(orphans),
        problems=names,
    )


def _more_cuts(world: World, counts: Counts, chance: random.Random) -> list[Cut]:
    """Return cuts of the healing, in some of the cases."""
    if chance.random() >= CUT_AGAIN:
        return []
    kinds = [chance.choice(world.kinds) for _ in range(chance.randint(1, CUTS_MORE))]
    return [Cut(kind=kind, at=chance.randint(1, counts.of(kind))) for kind in kinds]


async def _next(world: World, row: Row) -> OperationKind:
    """Return what somebody does who has this card before them: the operation, or what carries it to the card."""
    if row.carried_by is None:
        return row.kind
    record = judge.record_of(world.card.memory, await world.books())
    return row.carried_by if record is not None and record.state == row.state else row.kind


def _reached(outcome: Outcome, row: Row, kind: OperationKind) -> bool:
    """Whether the operation is done, or was done already when it was asked for again.

    Also where a key in use kept its certificate, as nobody can look for the new one: that ends the operation.
    """
    if outcome.state != row.state:
        return False
    if kind is row.carried_by:
        return outcome.error is None
    ended = errors.TransitionForbidden | errors.UnknownCard | errors.KeyUnconfirmed | None
    return isinstance(outcome.error, ended)


async def _is_there(world: World, before: judge.Shape | None, uncut: judge.Shape) -> bool:
    """Whether everybody sees that nothing is left to be done, although nobody was told that it is done."""
    if before is None:
        return False
    shape = judge.shape(world.card.memory, await world.books())
    return shape == uncut and shape != before


async def _judged(world: World, row: Row, uncut: judge.Shape | None) -> tuple[list[str], Sequence[str]]:
    """Return what is wrong with the card, and the certificates that were left behind."""
    if row.replaces is not None:
        await world.follow()
    memory, books = world.card.memory, await world.books()
    problems = await judge.unknown_secrets(memory, books)
    if row.by_holder:
        problems += judge.wrong_pin(memory, world.holder.maybe)
    if uncut is not None:
        problems += judge.shape(memory, books).differs(uncut)
    orphans = [
        f"certificate {entry.serial:x} is neither on its card nor revoked"
        for entry in judge.orphans(memory, books)
    ]
    return problems, orphans
