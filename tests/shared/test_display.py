import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.display import ORDERS, json_line, visible, visible_lines

HOSTILE = [
    "\x1b[2J",
    "\x9b2J",
    "\x1b]52;c;cm0gLXJm\x07",
    "\r",
    "\x08",
    "\x7f",
    "\u202egnp.exe",
    "\u2066",
    "\u2028",
    "\udc9b",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_terminal_acts_upon_is_written_out(text: str) -> None:
    shown = visible(f"Anna {text} Berg")
    assert shown.startswith("Anna \\")
    assert not ORDERS.search(shown)
    shown.encode()


@pytest.mark.parametrize(
    "text", ["", "Bjørk Þórsdóttir", "王小明", "שרה כהן", "عائشة", "\u0915\u094d\u200d\u0937", "👩\u200d🔧"]
)
def test_names_of_people_stay_as_they_are(text: str) -> None:
    assert visible(text) == text


def test_lines_of_our_own_stay_lines() -> None:
    assert visible_lines("one\ntwo\x1b[1m") == "one\ntwo\\x1b[1m"


@given(st.text(st.characters(exclude_categories=())))
def test_json_says_the_same_without_orders(text: str) -> None:
    line = json_line({"name": text})
    assert not ORDERS.search(line)
    assert json.loads(line) == {"name": text}
