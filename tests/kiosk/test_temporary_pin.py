"""`--temporary-pin`: what a help desk chose, its holder changes."""

import pytest

from tests.kiosk.bench import TEMPLATE, Bench


@pytest.mark.parametrize("operation", ["activate", "unblock"])
def test_a_temporary_pin_is_due_to_be_changed(fresh_card: Bench, operation: str) -> None:
    bench = fresh_card
    issued = bench.run("do", "issue", "--holder", bench.holder, "--template", TEMPLATE)
    assert issued.code == 0, issued.err
    if operation == "unblock":
        active = bench.run("do", "activate", "--new-pin-fd", "{}", pins=("918273",))
        assert active.code == 0, active.err
        assert "due to be changed" not in active.out
    ran = bench.run("do", operation, "--temporary-pin", "--new-pin-fd", "{}", pins=("730195",))
    assert ran.code == 0, ran.err
    assert "The PIN is due to be changed by its holder." in ran.out

    seen = bench.run("card", "--json").document["readers"][0]["record"]
    assert "pin-change-due" in seen["notices"]
    assert seen["reachable"][0] == "change-pin"

    words = ("do", "change-pin", "--pin-fd", "{}", "--new-pin-fd", "{}", "--json")
    same = bench.run(*words, pins=("730195", "730195"))
    assert (same.code, same.document["error"]) == (3, "cancelled"), "a script has no other PIN"
    assert "The new PIN must not be the present one." in same.err
    changed = bench.run(*words, pins=("730195", "564738"))
    assert changed.code == 0, changed.err
    seen = bench.run("card", "--json").document["readers"][0]["record"]
    assert "pin-change-due" not in seen["notices"]
