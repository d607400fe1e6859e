"""A sample of all cuts heals, for every operation; `python -m tests.cuts` does them all, `tests/run` half of them.

The judge is judged too: what it must see, it sees.
"""

import json
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from click.testing import CliRunner

from shared.piv.ids import ObjectId, Slot
from shared.secret import Secret
from shared.virtual.memory import Memory
from tests.cuts import judge
from tests.cuts.__main__ import main
from tests.cuts.authority import ODD, Mood
from tests.cuts.case import prepare
from tests.cuts.inside import Inside
from tests.cuts.operations import OPERATIONS
from tests.cuts.run import Wanted, run

SEED = 20260302
INSIDE = 80
"""Cases of each operation: cuts at commands and messages."""
ASKING = ("issue", "issue-registered", "issue-again", "issue-replacing", "renew", "reissue")
"""What asks a certificate authority for certificates."""
OUTSIDE = 16
"""Cases of all operations: kills of the server at its commits."""


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_card_that_is_pulled_and_a_line_that_dies(operation: str) -> None:
    tally = await run(Wanted(operations=[operation], seed=SEED, sample=INSIDE), outside=False)
    assert tally.problems == []
    assert (tally.healed, tally.lost, tally.orphans) == (tally.cuts, 0, 0)
    assert tally.cuts >= INSIDE / 2
    assert tally.again > 0, "no healing was cut again"


@pytest.mark.parametrize("mood", ODD)
async def test_a_certificate_authority_that_is_late_or_lost(mood: Mood) -> None:
    wanted = Wanted(operations=ASKING, seed=SEED, sample=INSIDE, mood=mood)
    tally = await run(wanted, outside=False)
    assert tally.problems == []
    assert (tally.healed, tally.lost, tally.orphans) == (tally.cuts, 0, 0)
    assert tally.cuts >= INSIDE / 2


async def test_a_server_that_is_killed() -> None:
    wanted = Wanted(profiles=["yubikey-5.7", "unknown"], seed=SEED, sample=OUTSIDE)
    tally = await run(wanted, inside=False)
    assert tally.problems == []
    assert (tally.healed, tally.lost, tally.orphans) == (tally.cuts, 0, 0)
    assert tally.cuts >= OUTSIDE / 2  # writes at the same time may share a commit, or have one each


def test_the_command_prints_one_line() -> None:
    arguments = ["--operations=unblock", "--profiles=unknown", "--sample=6", "--jobs=2", "--json"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    (line,) = done.stdout.splitlines()
    figures = json.loads(line)
    assert set(figures) == {"operations", "cuts", "healed", "lost", "orphans", "seconds"}
    assert figures["operations"] == ["unblock"]
    assert figures["cuts"] == figures["healed"] > 0


# --- the judge -----------------------------------------------------------------------------------------


@pytest.fixture
async def issued() -> AsyncIterator[Inside]:
    """An issued card."""
    world = await Inside.start()
    await prepare(world, OPERATIONS["activate"], "yubikey-5.7", random.Random(SEED))
    yield world
    await world.close()


def another_puk(memory: Memory) -> Memory:
    return replace(memory, puk=memory.puk.set_to(b"00000001"))


def another_management_key(memory: Memory) -> Memory:
    value = Secret(bytes(len(memory.management.value.reveal())))
    return replace(memory, management=replace(memory.management, value=value))


@pytest.mark.parametrize("change", [another_puk, another_management_key])
async def test_a_secret_that_nobody_knows_is_seen(issued: Inside, change: Callable[[Memory], Memory]) -> None:
    books = await issued.books()
    assert await judge.unknown_secrets(issued.card.memory, books) == []
    issued.alter(change)
    assert len(await judge.unknown_secrets(issued.card.memory, books)) == 1


async def test_a_certificate_that_is_left_behind_is_seen(issued: Inside) -> None:
    books = await issued.books()
    assert judge.orphans(issued.card.memory, books) == []
    issued.alter(lambda memory: memory.with_object(Slot.SIGNATURE.certificate_object, b""))
    assert len(judge.orphans(issued.card.memory, books)) == 1


CHANGES: dict[str, Callable[[Memory], Memory]] = {
    "objects": lambda memory: memory.with_object(ObjectId.CCC, b""),
    "keys": lambda memory: memory.without_key(Slot.SIGNATURE),
    "certified": lambda memory: memory.with_key(Slot.SIGNATURE, memory.keys[Slot.AUTHENTICATION]),
    "pin": lambda memory: replace(memory, pin=memory.pin.wrong()),
    "puk": lambda memory: replace(memory, puk=memory.puk.wrong()),
}


@pytest.mark.parametrize("what", CHANGES)
async def test_what_is_not_as_after_an_uncut_run_is_seen(issued: Inside, what: str) -> None:
    books = await issued.books()
    uncut = judge.shape(issued.card.memory, books)
    issued.alter(CHANGES[what])
    assert any(
        found.startswith(f"{what}:") for found in judge.shape(issued.card.memory, books).differs(uncut)
    )


# --- what the cuts have found --------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["revoke", "retire", "change-pin"])
async def test_a_card_that_was_taken_back_is_known(operation: str) -> None:
    """Done again, it is not in its turn: a card that was retired is no stranger."""
    world = await Inside.start()
    try:
        retire, again = OPERATIONS["retire"], OPERATIONS[operation]
        await prepare(world, retire, "unknown", random.Random(SEED))
        assert (await world.perform(retire.kind, 0, reason=retire.reason)).outcome.state == retire.state
        outcome = (await world.perform(again.kind, 1, reason=again.reason)).outcome
        assert outcome.error is not None
        assert outcome.error.code == "transition-forbidden"
    finally:
        await world.close()
