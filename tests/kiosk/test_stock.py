"""Take a card into stock and give it back, from the command line, against a real server."""

from tests.kiosk.bench import TEMPLATE, Bench


def test_a_card_comes_into_stock_is_issued_emptied_and_given_back(fresh_card: Bench) -> None:
    bench = fresh_card
    registered = bench.run("do", "register", "--json")
    assert registered.code == 0, registered.err
    assert (registered.document["state"], registered.document["facts"]["generation"]) == ("registered", 1)
    assert "Own the card" in registered.err
    again = bench.run("do", "register", "--json")
    assert (again.code, again.document["error"]) == (3, "transition-forbidden")

    issued = bench.run("do", "issue", "--holder", bench.holder, "--template", TEMPLATE, "--json")
    assert issued.code == 0, issued.err
    early = bench.run("do", "unregister", "--json")
    assert (early.code, early.document["state"]) == (3, "issued"), "not while it is somebody's"
    retired = bench.run("do", "retire", "--reason", "left", "--json")
    assert retired.code == 0, retired.err

    given_back = bench.run("do", "unregister")
    assert given_back.code == 0, given_back.err
    assert given_back.out.splitlines()[0] == "The card is as from the factory and no longer ours."
    for step in (
        "Delete all keys, certificates and data",
        "Factory PIN, unblocking code and management key",
        "Read everything back",
        "Delete what identifies the card",
    ):
        assert f"  done: {step}" in given_back.err.splitlines()
    seen = bench.run("card", "--json")
    (reader,) = seen.document["readers"]
    assert (reader["record"]["state"], reader["record"]["notices"]) == ("unregistered", [])
    assert reader["card"]["certificates"] == []
    twice = bench.run("do", "unregister", "--json")
    assert (twice.code, twice.document["error"]) == (3, "transition-forbidden")


def test_a_template_says_how_a_card_is_taken_into_stock(fresh_card: Bench) -> None:
    unknown = fresh_card.run("do", "register", "--template", "nothing", "--json")
    assert (unknown.code, unknown.document["error"]) == (1, "unknown-template")
    by = fresh_card.run("do", "register", "--template", TEMPLATE, "--json")
    assert by.code == 0, by.err
    assert by.document["state"] == "registered"
    # the next card has the same number: nobody must take it for this one
    assert fresh_card.run("do", "unregister").code == 0
