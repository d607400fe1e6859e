"""Cut, heal at the other station, judge: for every place of every operation on every profile."""

import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kiosk.station.faces import Outcome
from shared import errors
from tests.cuts import judge
from tests.cuts.cut import Counts, Cut
from tests.cuts.inside import Inside
from tests.cuts.operations import OPERATIONS, PROFILES, Row
from tests.cuts.outside import Outside
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

    def __str__(self) -> str:
        """Return it as reports name it."""
        return f"{self.operation} on {self.profile}, {self.cut}"


@dataclass(slots=True)
class Tally:
    """What came of all cuts. `problems` name every case that did not heal, and why."""

    cuts: int = 0
    healed: int = 0
    lost: int = 0
    orphans: int = 0
    problems: list[str] = field(default_factory=list)

    def __add__(self, other: "Tally") -> "Tally":
        """Return both together."""
        return Tally(
            self.cuts + other.cuts,
            self.healed + other.healed,
            self.lost + other.lost,
            self.orphans + other.orphans,
            self.problems + other.problems,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be cut; `sample` is a number of cases, None for all."""

    operations: Sequence[str] = tuple(OPERATIONS)
    profiles: Sequence[str] = tuple(PROFILES)
    seed: int = 0
    sample: int | None = None


async def run(wanted: Wanted, *, inside: bool = True, outside: bool = True) -> Tally:
    """Cut everything that is wanted: commands and messages `inside`, the server's commits `outside`."""
    plan: list[tuple[bool, Case]] = []
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="cuts-") as folder:
        worlds: dict[bool, World] = {}
        try:
            if inside:
                worlds[True] = await Inside.start()
            if outside:
                worlds[False] = await Outside.start(Path(folder))
            uncut: dict[tuple[bool, str, str], tuple[Counts, judge.Shape]] = {}
            for within, world in worlds.items():
                for operation, profile in _pairs(wanted):
                    uncut[within, operation, profile] = counts, _ = await uncut_run(
                        world, OPERATIONS[operation], profile, wanted.seed
                    )
                    plan += [(within, case) for case in _cases(world, operation, profile, counts)]
            if wanted.sample is not None and wanted.sample < len(plan):
                chosen = random.Random(wanted.seed).sample(range(len(plan)), wanted.sample)
                plan = [plan[place] for place in sorted(chosen)]
            for within, case in plan:
                world = worlds[within]
                counts, shape = uncut[within, case.operation, case.profile]
                tally += await try_case(world, case, counts, shape, wanted.seed)
        finally:
            for world in worlds.values():
                await world.close()
    return tally


def _pairs(wanted: Wanted) -> Iterator[tuple[str, str]]:
    for operation in wanted.operations:
        for profile in wanted.profiles:
            yield operation, profile


def _cases(world: World, operation: str, profile: str, counts: Counts) -> list[Case]:
    return [
        Case(operation=operation, profile=profile, cut=Cut(kind=kind, at=at))
        for kind in world.kinds
        for at in range(1, counts.of(kind) + 1)
    ]


async def uncut_run(world: World, row: Row, profile: str, seed: int) -> tuple[Counts, judge.Shape]:
    """Do the operation without a cut; return what it consisted of, and what it leaves."""
    await prepare(world, row, profile, random.Random(f"{seed} {row.kind.value} {profile}"))
    ran = await world.perform(row.kind, 0, reason=row.reason)
    assert ran.outcome.error is None, (row.kind, profile, ran.outcome)
    assert ran.outcome.state == row.state, (row.kind, profile, ran.outcome)
    problems, orphans = await _judged(world, row, None)
    assert not problems, (row.kind, profile, problems)
    assert not orphans, (row.kind, profile, orphans)
    return ran.counts, judge.shape(world.card.memory, await world.books())


async def prepare(world: World, row: Row, profile: str, chance: random.Random) -> None:
    """Bring a new card to where the operation starts."""
    name = f"{row.kind.value} {profile}"
    if world.recall(name, chance):
        return
    await world.new_card(PROFILES[profile], chance)
    for kind in row.before:
        ran = await world.perform(kind, 0)
        assert ran.outcome.error is None, (kind, ran.outcome)
    if row.arrange is not None:
        await row.arrange(world)
    world.remember(name)


async def try_case(world: World, case: Case, counts: Counts, uncut: judge.Shape, seed: int) -> Tally:
    """Cut once, now and then cut the healing too, heal, and judge. A cut that never happened counts for nothing."""
    chance = random.Random(f"{seed} {case}")
    row = OPERATIONS[case.operation]
    await prepare(world, row, case.profile, chance)
    cuts = 0
    problems: list[str] = []
    wanted = [case.cut, *_more_cuts(world, counts, chance)]
    for desk, cut in enumerate(wanted):
        ran = await world.perform(row.kind, desk % 2, cut, reason=row.reason)
        cuts += ran.cut
        problems += await judge.unknown_secrets(world.card.memory, await world.books())
        if _reached(ran.outcome, row):
            break
    if not cuts:
        return Tally()
    problems += await _heal(world, row, len(wanted))
    found, orphans = await _judged(world, row, uncut)
    problems += found
    names = [f"{case} (cuts: {', '.join(map(str, wanted))}): {problem}" for problem in [*problems, *orphans]]
    return Tally(
        cuts=cuts,
        healed=0 if problems else cuts,
        lost=cuts if problems else 0,
        orphans=len(orphans),
        problems=names,
    )


def _more_cuts(world: World, counts: Counts, chance: random.Random) -> list[Cut]:
    """Return cuts of the healing, in some of the cases."""
    if chance.random() >= CUT_AGAIN:
        return []
    kinds = [chance.choice(world.kinds) for _ in range(chance.randint(1, CUTS_MORE))]
    return [Cut(kind=kind, at=chance.randint(1, counts.of(kind))) for kind in kinds]


async def _heal(world: World, row: Row, desk: int) -> list[str]:
    """Do the operation again, first at the station that did not see the last cut, until it is done."""
    outcomes = []
    for insertion in range(INSERTIONS):
        ran = await world.perform(row.kind, (desk + insertion) % 2, reason=row.reason)
        if _reached(ran.outcome, row):
            return []
        assert ran.outcome.error is not None
        outcomes.append(str(ran.outcome.error))
    return [f"not healed: {outcomes}"]


def _reached(outcome: Outcome, row: Row) -> bool:
    """Whether the operation is done, or was done already when it was asked for again."""
    return outcome.state == row.state and isinstance(outcome.error, errors.TransitionForbidden | None)


async def _judged(world: World, row: Row, uncut: judge.Shape | None) -> tuple[list[str], list[str]]:
    """Return what is wrong with the card, and the certificates that were left behind."""
    memory, books = world.card.memory, await world.books()
    problems = await judge.unknown_secrets(memory, books)
    if row.by_holder:
        problems += judge.wrong_pin(memory, world.holder.maybe)
    if uncut is not None:
        problems += judge.shape(memory, books).differs(uncut)
    orphans = [
        f"certificate {entry.serial:x} is neither on its card nor revoked"
        for entry in judge.orphans(memory, books.ledger)
    ]
    return problems, orphans


async def report(wanted: Wanted) -> tuple[dict[str, Any], list[str]]:
    """Run, and return what is printed, and the problems."""
    begun = time.monotonic()
    tally = await run(wanted)
    figures = {
        "operations": list(wanted.operations),
        "cuts": tally.cuts,
        "healed": tally.healed,
        "lost": tally.lost,
        "orphans": tally.orphans,
        "seconds": round(time.monotonic() - begun, 1),
    }
    return figures, tally.problems
