"""Where a card differs from its record: short, once, with the way to mend it, and never instead of the buttons."""

from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.station.drift_words import MEND, Line
from kiosk.tui.widgets.drift import MORE, fitted
from shared.credential.drift_kinds import CALL, Drift, Kind
from shared.credential.lifecycle import OperationKind
from shared.credential.model import State
from shared.display import ORDERS
from tests.tui.conftest import Desk
from tests.tui.look import lines, shows, text
from tests.tui.scripted import PEOPLE, ScriptedStation, reader, record, seen
from tests.tui.test_hostile_text import ORDER

SIZES: Final = [(80, 24), (120, 40), (200, 60), (80, 50), (120, 24)]
OURS, THEIRS = "3f2a91c4d0b1e2f3", "77b0e2d1aabbccdd"

FOREIGN: Final = (
    Drift(key=Kind.CERTIFICATE_MISSING, subject="9C", expected=OURS, mend=OperationKind.REISSUE),
)
OLDER: Final = (
    Drift(key=Kind.MANAGEMENT_KEY_OLDER, expected="2", found="1", mend=OperationKind.UPDATE),
    Drift(key=Kind.TEMPLATE_OLDER, expected="9", found="7", mend=OperationKind.UPDATE),
)
MANY: Final = (
    Drift(key=Kind.PIN_DEFAULT, mend=OperationKind.UNBLOCK),
    Drift(key=Kind.CHUID_FOREIGN, expected="6d55ae17", found="b00cf8bd", mend=OperationKind.REISSUE),
    *(
        Drift(key=Kind.KEY_FOREIGN, subject=slot, expected=OURS, found=THEIRS, mend=OperationKind.REISSUE)
        for slot in ("9A", "9C", "9D", "9E")
    ),
    *OLDER,
    *(
        Drift(key=Kind.CERTIFICATE_UNKNOWN, subject=f"{slot:X}", found=THEIRS, mend=CALL)
        for slot in range(20)
    ),
)


def station_with(drift: Sequence[Drift], *notices: str, **fields: object) -> ScriptedStation:
    known = record(State.ACTIVE, PEOPLE[1], drift=tuple(drift), notices=notices)
    return ScriptedStation(reader(1, State.ACTIVE, PEOPLE[1], record=known, **fields))


@pytest.mark.parametrize("size", SIZES)
async def test_a_difference_is_shown_with_its_mend(desk: Desk, size: tuple[int, int]) -> None:
    app = desk(station_with(FOREIGN))
    async with app.run_test(size=size) as pilot:
        await shows(pilot, f"- Certificate 9C: missing ({OURS}).", "→ Reissue it: new keys and certificates.")
        await shows(pilot, "● ACTIVE", " p   Change the PIN", "Quit")


@pytest.mark.parametrize("size", SIZES)
async def test_however_much_differs_the_buttons_stay(desk: Desk, size: tuple[int, int]) -> None:
    app = desk(station_with(MANY))
    async with app.run_test(size=size) as pilot:
        await shows(pilot, "~ PIN: the factory's.", "→ Unblock it: the holder chooses a new PIN.", " more; ")
        await shows(pilot, "● ACTIVE", " p   Change the PIN", "Quit")


async def test_nothing_is_said_twice(desk: Desk) -> None:
    app = desk(station_with(OLDER, "update-needed", "holder-disabled"))
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "~ Management key: generation 1, the newest is 2.", "! The directory says")
        assert "newer master key" not in text(app)
        assert text(app).count("→ Update the card") == 1, "one way for what is mended in the same way"


async def test_a_blocked_pin_is_said_once(desk: Desk) -> None:
    blocked = (Drift(key=Kind.PIN_BLOCKED, mend=OperationKind.UNBLOCK),)
    app = desk(station_with(blocked, "pin-blocked", card=seen(20114001, pin_tries_left=0)))
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "! The PIN of this card is blocked. Unblock it")
        assert "PIN: blocked" not in text(app)


async def test_what_was_cut_has_its_own_place(desk: Desk) -> None:
    cut = (Drift(key=Kind.OPERATION_CUT, subject="unblock", found="2026-11-17", mend="continue"),)
    known = record(State.ACTIVE, PEOPLE[1], drift=cut, interrupted=OperationKind.UNBLOCK)
    app = desk(ScriptedStation(reader(1, State.ACTIVE, PEOPLE[1], record=known)))
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "! Unblocking was interrupted.", "Continue unblocking")
        assert "2026-11-17" not in text(app)
        assert "→" not in text(app)


async def test_no_order_of_others_reaches_the_terminal(desk: Desk) -> None:
    tainted = tuple(
        Drift(
            key=key,
            subject=f"9C{ORDER}",
            expected=f"1{ORDER}",
            found=f"{{subject}}2{ORDER}",
            mend=f"x{ORDER}",
        )
        for key in (*Kind, f"from-the-future{ORDER}")
        if key is not Kind.OPERATION_CUT
    )
    for one in tainted:
        app = desk(station_with((one,)))
        async with app.run_test(size=(200, 60)) as pilot:
            await shows(pilot, "→ Call an administrator.")
            assert not any(ORDERS.search(line) for line in lines(app)), one.key


LINES: Final = st.lists(st.integers(1, 6), max_size=6).map(
    lambda groups: [
        line
        for count in groups
        for line in (*(Line(sign="~", text="words") for _ in range(count)), Line(sign=MEND, text="mend"))
    ]
)


@given(LINES, st.integers(3, 20))
def test_what_fits_is_shown_and_the_rest_counted(wanted: list[Line], room: int) -> None:
    shown = list(fitted(wanted, room))
    assert len(shown) <= room
    if shown and shown[-1].sign == MORE:
        missing = int(shown.pop().text.split()[0])
        assert missing > 0
        assert shown
        assert shown[-1].sign == MEND
        assert missing + sum(line.sign == "~" for line in shown) == sum(line.sign == "~" for line in wanted)
    else:
        assert shown == wanted
