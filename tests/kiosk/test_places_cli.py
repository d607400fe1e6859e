"""Replacements and temporary credentials from the command line."""

import pytest

from kiosk.station import wording
from tests.kiosk.bench import TEMPLATE, Bench

PIN, NEXT = "918273", "273645"


def new_card(bench: Bench) -> None:
    """Take the card out of the reader and put a new one in."""
    for image in (bench.folder / "station" / "virtual-cards").glob("*"):
        image.unlink()


def alone(bench: Bench) -> str:
    """Have the person with one active card and nothing else; return its credential."""
    for each in bench.run("credentials", bench.holder, "--json").document["credentials"]:
        gone = bench.run("do", "delete", "--credential", each["card"], "--reason", "left")
        assert gone.code == 0, gone.err
    new_card(bench)
    issue = bench.run("do", "issue", "--holder", bench.holder, "--template", TEMPLATE)
    assert issue.code == 0, issue.err
    activate(bench)
    (found,) = bench.run("credentials", bench.holder, "--json").document["credentials"]
    return str(found["credential"])


def activate(bench: Bench) -> str:
    done = bench.run("do", "activate", "--new-pin-fd", "{}", pins=(PIN,))
    assert done.code == 0, done.err
    return done.out


def states(bench: Bench) -> dict[str, str]:
    found = bench.run("credentials", bench.holder, "--json").document["credentials"]
    return {each["template"]: each["state"] for each in found if each["state"] != "revoked"}


def test_a_lost_card_is_replaced_in_one_command(bench: Bench) -> None:
    old = alone(bench)
    new_card(bench)
    issued = bench.run("do", "issue", "--replaces", bench.name, "--reason", "lost", "--json")
    assert issued.code == 0, issued.err
    assert issued.document["facts"]["followed"] == "revoke"
    found = bench.run("credentials", bench.holder, "--json").document["credentials"]
    by_id = {each["credential"]: each for each in found}
    assert by_id.pop(old)["state"] == "revoked"
    (new,) = by_id.values()
    assert new["reason"] is None, "it is not the new one that was lost"
    assert (new["state"], new["template"], new["replaces"]) == ("issued", TEMPLATE, old)


def test_a_damaged_card_works_until_the_new_one_does(bench: Bench) -> None:
    old = alone(bench)
    new_card(bench)
    issued = bench.run("do", "issue", "--replaces", old, "--reason", "damaged")
    assert issued.code == 0, issued.err
    found = bench.run("credentials", old, "--json").document["credentials"]
    assert found[0]["state"] == "active"
    assert wording.followed({"followed": "revoke"})[0] in activate(bench)
    found = bench.run("credentials", old, "--json").document["credentials"]
    assert found[0]["state"] == "revoked"


def test_a_card_left_at_home_comes_back(bench: Bench) -> None:
    old = alone(bench)
    new_card(bench)
    issued = bench.run("do", "issue", "--temporary-for", bench.holder)
    assert issued.code == 0, issued.err
    assert wording.followed({"followed": "suspend"})[0] in activate(bench)
    assert states(bench) == {TEMPLATE: "suspended", "day-badge": "active"}
    notices = bench.run("card", "--json").document["readers"][0]["record"]["notices"]
    assert "temporary" in notices
    listed = bench.run("credentials", bench.holder).out
    (day,) = [
        each
        for each in bench.run("credentials", bench.holder, "--json").document["credentials"]
        if each["ends_at"]
    ]
    assert (day["template"], day["primary"]) == ("day-badge", old)
    assert wording.ends(day["ends_at"]) in listed
    second = bench.run("do", "issue", "--temporary-for", old, "--json")
    assert second.code != 0
    resumed = bench.run("do", "resume", "--credential", old, "--json")
    assert resumed.code == 0, resumed.err
    assert states(bench) == {TEMPLATE: "active"}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--reason", "lost", "--holder", "x", "--template", TEMPLATE), "--reason goes with"),
        (("--replaces", "x", "--temporary-for", "x"), "do not go together"),
        (("--replaces", "x", "--reason", "lost", "--dry-run"), "--dry-run"),
        (("--holder", "x"), "Missing option '--template'"),
        (("--replaces", "x", "--reason", "ended"), "'ended' is not one of"),
    ],
)
def test_what_does_not_go_together(bench: Bench, words: tuple[str, ...], why: str) -> None:
    ran = bench.run("do", "issue", *words)
    assert ran.code == 2
    assert why in ran.err


def test_a_replacement_needs_a_reason(bench: Bench) -> None:
    old = alone(bench)
    new_card(bench)
    ran = bench.run("do", "issue", "--replaces", old, "--json")
    assert (ran.code, ran.document["error"]) == (1, "invalid-request")
    forgotten = bench.run("do", "issue", "--replaces", old, "--reason", "forgotten", "--json")
    assert (forgotten.code, forgotten.document["error"]) == (3, "place-refused")
    assert "temporary" in forgotten.document["message"]
    assert states(bench) == {TEMPLATE: "active"}
