"""How results of `kiosk-server` look."""

from server.context import columns


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    rows = [("Gate", "active", "until 2028"), ("Desk 3 at the back", "blocked", "")]
    assert columns(rows).split("\n") == [
        "Gate                active   until 2028",
        "Desk 3 at the back  blocked",
    ]
    assert columns([]) == ""
    assert columns([(), ("a",)]) == "\na"


def test_a_cell_gives_no_orders_and_makes_no_columns_or_lines() -> None:
    assert columns([("a\x1b[2J\tb\nc", "d")]) == r"a\x1b[2J\tb\nc  d"
