"""Decisions and codes from the command line, with a card in the reader and without."""

import json

from kiosk.station import wording
from shared.credential.lifecycle import OperationKind
from tests.kiosk.bench import READER, TEMPLATE, Bench

PIN, NEXT, LAST = "918273", "273645", "364518"


def issued(bench: Bench) -> None:
    """Issue to somebody who has nothing else."""
    for each in bench.run("credentials", bench.holder, "--json").document["credentials"]:
        gone = bench.run("do", "delete", "--credential", each["card"], "--reason", "left")
        assert gone.code == 0, gone.err
    issue = bench.run("do", "issue", "--holder", bench.holder, "--template", TEMPLATE)
    assert issue.code == 0, issue.err
    activated = bench.run("do", "activate", "--new-pin-fd", "{}", pins=(PIN,))
    assert activated.code == 0, activated.err


def test_a_credential_is_suspended_from_afar_and_resumed_at_the_counter(fresh_card: Bench) -> None:
    bench = fresh_card
    issued(bench)
    listed = bench.run("credentials", bench.name.split()[0], "--json")
    (found,) = listed.document["credentials"]
    assert (found["state"], found["holder_name"]) == ("active", bench.name)
    assert "suspend" in found["reachable"]
    suspended = bench.run(
        "do", "suspend", "--credential", found["credential"], "--reason", "forgotten", "--json"
    )
    assert suspended.code == 0, suspended.err
    assert suspended.document["state"] == "suspended"
    assert suspended.document["message"] == wording.done(OperationKind.SUSPEND)
    card = bench.run("card", "--json").document["readers"][0]
    assert "carry-due" in card["record"]["notices"]
    carried = bench.run("do", "update", "--json")
    assert carried.code == 0, carried.err
    again = bench.run("do", "resume", "--credential", bench.holder, "--json")
    assert again.code == 3
    assert json.loads(again.out)["error"] == "card-needed"
    resumed = bench.run("do", "resume", "--new-pin-fd", "{}", "--json", pins=(NEXT,))
    assert resumed.code == 0, resumed.err
    assert resumed.document["state"] == "active"


def test_help_for_a_holder_who_is_far_away(fresh_card: Bench) -> None:
    bench = fresh_card
    issued(bench)
    told = bench.run("do", "read-out", "--credential", bench.holder, "--json")
    assert told.code == 0, told.err
    code = told.document["code"]
    misheard = bench.run(
        *("do", "unblock", "--read-out", "--code-fd", "{}", "--new-pin-fd", "{}"),
        pins=(code[:-1] + ("1" if code[-1] == "0" else "0"), NEXT),
    )
    assert misheard.code == 1
    assert "misheard" in misheard.err
    alone = bench.run(
        *("do", "unblock", "--read-out", "--code-fd", "{}", "--new-pin-fd", "{}", "--json"),
        pins=(code, NEXT),
    )
    assert alone.code == 0, alone.err
    assert alone.document["reader"] == READER
    assert wording.UNBLOCKED_ALONE in alone.err
    assert "carry-due" in bench.run("card", "--json").document["readers"][0]["record"]["notices"]
    assert bench.run("do", "update").code == 0
    made = bench.run("do", "unblock-code", "--credential", bench.name, "--json")
    assert made.code == 0, made.err
    words = ("do", "unblock", "--code-fd", "{}", "--new-pin-fd", "{}", "--json")
    once = bench.run(*words, pins=(made.document["code"], LAST))
    assert once.code == 0, once.err
    twice = bench.run(*words, pins=(made.document["code"], PIN))
    assert (twice.code, twice.document["error"]) == (3, "code-rejected")


def test_what_is_meant_has_to_be_clear(fresh_card: Bench) -> None:
    bench = fresh_card
    nobody = bench.run("do", "revoke", "--credential", "Nobody Whatsoever", "--reason", "lost", "--json")
    assert nobody.document["error"] == "unknown-holder"
    both = bench.run(
        "do", "revoke", "--credential", bench.holder, "--reader", READER, "--reason", "lost", "--json"
    )
    assert (both.code, both.document["error"]) == (2, "usage")
