"""All cases: every place of every operation on every profile, or a sample of them, shared among processes."""

import asyncio
import logging
import multiprocessing
import random
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from tests.cuts.authority import Mood
from tests.cuts.case import Case, Tally, Uncut, try_case, uncut_run
from tests.cuts.cut import COMMITS, Cut
from tests.cuts.inside import Inside
from tests.cuts.operations import OPERATIONS, PROFILES
from tests.cuts.outside import Outside
from tests.cuts.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be cut; `sample` is a number of cases, None for all. `jobs` are processes, 1 is this one alone."""

    operations: Sequence[str] = tuple(OPERATIONS)
    profiles: Sequence[str] = tuple(PROFILES)
    seed: int = 0
    sample: int | None = None
    jobs: int = 1
    mood: Mood = Mood.ANSWERS
    """How the certificate authority is; an odd one is only looked at inside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The cases of one process, and what they are judged by: whether inside, operation, profile."""

    cases: Sequence[Case]
    uncut: Mapping[tuple[bool, str, str], Uncut]
    seed: int


async def run(wanted: Wanted, *, inside: bool = True, outside: bool = True) -> Tally:
    """Cut everything that is wanted: commands and messages `inside`, the server's commits `outside`."""
    within = [side for side, asked in ((True, inside), (False, outside)) if asked]
    async with _worlds(within) as worlds:
        uncut = {
            (side, operation, profile): await uncut_run(world, OPERATIONS[operation], profile, wanted.seed)
            for side, world in worlds.items()
            for operation, profile in product(wanted.operations, wanted.profiles)
            if side or not OPERATIONS[operation].inside
        }
        plan = [
            Case(operation=operation, profile=profile, cut=Cut(kind=kind, at=at), mood=wanted.mood)
            for (side, operation, profile), each in uncut.items()
            for kind in worlds[side].kinds
            for at in range(1, each.counts.of(kind) + 1)
        ]
        if wanted.sample is not None and wanted.sample < len(plan):
            chosen = random.Random(wanted.seed).sample(range(len(plan)), wanted.sample)
            plan = [plan[place] for place in sorted(chosen)]
        if wanted.jobs == 1:
            return await _do(Share(cases=plan, uncut=uncut, seed=wanted.seed), worlds)
    shares = [
        Share(cases=plan[job :: wanted.jobs], uncut=uncut, seed=wanted.seed) for job in range(wanted.jobs)
    ]
    return await _in_processes(shares)


@asynccontextmanager
async def _worlds(within: Sequence[bool]) -> AsyncIterator[dict[bool, World]]:
    async with AsyncExitStack() as stack:
        worlds: dict[bool, World] = {}
        for side in within:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cuts-")))
            worlds[side] = world = await (Inside.start() if side else Outside.start(folder))
            stack.push_async_callback(world.close)
        yield worlds


async def _do(share: Share, worlds: Mapping[bool, World]) -> Tally:
    tally = Tally()
    for case in share.cases:
        side = _is_inside(case)
        uncut = share.uncut[side, case.operation, case.profile]
        tally += await try_case(worlds[side], case, uncut, share.seed)
    return tally


def _is_inside(case: Case) -> bool:
    return case.cut.kind not in COMMITS


async def _in_processes(shares: Sequence[Share]) -> Tally:
    loop, tally = asyncio.get_running_loop(), Tally()
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(shares), mp_context=fresh, initializer=quiet) as pool:
        for each in await asyncio.gather(*(loop.run_in_executor(pool, work, share) for share in shares)):
            tally += each
    return tally


def quiet() -> None:
    """Log nothing but faults: that operations are refused and cut is what is wanted here."""
    logging.basicConfig(level=logging.ERROR)


def work(share: Share) -> Tally:
    """Do a share in a process of its own, with worlds of its own."""
    return asyncio.run(_work(share))


async def _work(share: Share) -> Tally:
    async with _worlds(sorted({_is_inside(case) for case in share.cases})) as worlds:
        return await _do(share, worlds)


async def report(wanted: Wanted) -> tuple[dict[str, Any], list[str]]:
    """Run, and return what is printed, and the problems."""
    begun = time.monotonic()
    tally = await run(wanted, outside=wanted.mood is Mood.ANSWERS)
    figures = {
        "operations": list(wanted.operations),
        "cuts": tally.cuts,
        "healed": tally.healed,
        "lost": tally.lost,
        "orphans": tally.orphans,
        "seconds": round(time.monotonic() - begun, 1),
    }
    return figures, tally.problems
