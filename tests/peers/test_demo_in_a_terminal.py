"""`kiosk demo` as a person meets it: in a real terminal, from the command to an issued card."""

import re
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.peers.tmux import terminal

pytestmark = pytest.mark.needs_tmux

PIN: Final = "739154"
DEMO: Final = [sys.executable, "-m", "kiosk.cli", "demo"]


def test_the_readers_are_drawn_and_q_leaves(short_folder: Path) -> None:
    with terminal(DEMO, short_folder) as window:
        window.wait_for("YubiKey 5.7")
        window.wait_for("PIN of the operator's card")
        assert window.press_until_end("q") == 0


def test_a_card_is_issued_and_activated_with_the_keyboard(short_folder: Path) -> None:
    with terminal(DEMO, short_folder, columns=80, rows=24) as window:
        shown = window.wait_for("Log on with this card")
        found = re.search(r"operator's card: (\d+)", shown)
        assert found is not None, shown
        window.press("Enter")
        window.wait_for("Present PIN")
        window.type(found[1])
        window.press("Enter")
        window.wait_for("Issue this card")
        window.press("i")
        window.wait_for("Who gets this card?")
        window.wait_for("The first 50 people")
        window.type("afischer141")
        window.wait_for("1 person")
        window.press("Enter")
        window.wait_for("Which kind of card?")
        window.press("Enter")
        window.wait_for("Write this card now?")
        window.press("Enter")
        window.wait_for("✓ The card is issued.")
        window.resize(120, 36)
        window.wait_for("19 of 19")
        window.press_until("a", "Choose a new PIN")
        for _ in range(2):
            window.type(PIN)
            window.press("Enter")
        shown = window.wait_for("✓ The PIN is set")
        assert "Anna Fischer" in shown
        assert PIN not in shown
        window.press("Escape")
        window.wait_until_gone("✓ The PIN is set")
        window.wait_for("● ACTIVE")
        assert window.press_until_end("q") == 0
