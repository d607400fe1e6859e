"""A holder at a station, from the command line against a real server: as docs/how-to/self-service-holders.md says."""

from kiosk.session_file import FILE
from tests.kiosk.bench import Bench
from tests.kiosk.test_first_operator import server

FIRST, SECOND, THIRD = "918273", "564738", "847362"
BADGE = """\
name = "badge"
title = "Badge"
directory = "people"

[self-service]
activate = ["code"]
unblock = ["code"]
change-pin = ["card"]
suspend = ["card"]
retire = ["card"]

[[certificate]]
slot = "9A"
algorithm = "P-256"
ca = "built-in"
profile = "smart-card-logon"
subject = "CN=${user.name},O=Example"
upn = "${user.upn}"
"""


def code_for(bench: Bench) -> str:
    """Have a code made, as an operator does: here the lab station itself, because there is no operator yet."""
    made = bench.run("do", "unblock-code", "--credential", bench.holder, "--json")
    assert made.code == 0, made.err
    return str(made.document["code"])


def test_a_holder_activates_unblocks_and_hands_back(bench: Bench) -> None:
    """One long way: every step needs what the one before has left."""
    template = bench.folder / "badge.toml"
    template.write_text(BADGE, encoding="utf-8")
    server(bench, "templates", "apply", str(template))
    issued = bench.run("do", "issue", "--holder", bench.holder, "--template", "badge")
    assert issued.code == 0, issued.err

    code = code_for(bench)
    wrong = bench.run("log-on", "--holder", "--code-fd", "{}", "--json", pins=("0000 0000 0000",))
    assert wrong.document["error"] == "holder-logon-refused"
    logged_on = bench.run("log-on", "--holder", "--code-fd", "{}", "--json", pins=(code,))
    assert logged_on.code == 0, logged_on.err
    assert (logged_on.document["holder"], logged_on.document["proof"]) == (bench.holder, "code")
    refused = bench.run("do", "unregister", "--json")
    assert refused.document["error"] == "not-allowed"
    assert bench.run("credentials", "", "--json").document["credentials"][0]["template"] == "badge"
    active = bench.run("do", "activate", "--new-pin-fd", "{}", pins=(FIRST,))
    assert active.code == 0, active.err
    assert bench.run("log-off").code == 0

    by_card = bench.run("log-on", "--holder", "--pin-fd", "{}", "--json", pins=(FIRST,))
    assert by_card.code == 0, by_card.err
    assert by_card.document["proof"] == "card"
    other = bench.run("do", "unblock", "--new-pin-fd", "{}", "--json", pins=(SECOND,))
    assert other.document["error"] == "other-proof-needed"
    changed = bench.run("do", "change-pin", "--pin-fd", "{}", "--new-pin-fd", "{}", pins=(FIRST, SECOND))
    assert changed.code == 0, changed.err
    assert bench.run("log-off").code == 0

    again = code_for(bench)
    assert bench.run("log-on", "--holder", "--code-fd", "{}", pins=(again,)).code == 0
    unblocked = bench.run("do", "unblock", "--new-pin-fd", "{}", pins=(THIRD,))
    assert unblocked.code == 0, unblocked.err
    assert bench.run("log-on", "--holder", "--pin-fd", "{}", pins=(THIRD,)).code == 0
    handed_back = bench.run("do", "retire", "--reason", "left")
    assert handed_back.code == 0, handed_back.err
    over = bench.run("credentials", "", "--json")  # the card that was the proof is no credential any more
    assert over.document["error"] == "session-ended"
    assert not list(bench.folder.rglob(FILE))
