"""`kiosk do renew` and `kiosk do reissue`: for a script, whose PIN comes once."""

from tests.kiosk.bench import TEMPLATE, Bench


def test_certificates_and_keys_are_replaced(fresh_card: Bench) -> None:
    bench = fresh_card
    issued = bench.run("do", "issue", "--holder", bench.holder, "--template", TEMPLATE)
    assert issued.code == 0, issued.err
    active = bench.run("do", "activate", "--new-pin-fd", "{}", pins=("918273",))
    assert active.code == 0, active.err

    renewed = bench.run("do", "renew", "--pin-fd", "{}", "--json", pins=("918273",))
    assert renewed.code == 0, renewed.err
    assert renewed.document["message"] == "The certificates are renewed; the keys are as before."
    assert renewed.document["state"] == "active"
    assert renewed.document["facts"]["waiting"] == 0
    assert "Revoke certificate 9A" in renewed.err
    assert "Key 9A" not in renewed.err

    narrow = bench.run("do", "reissue", "--slot", "9A", "--pin-fd", "{}", "--json", pins=("918273",))
    assert narrow.code == 0, narrow.err
    assert narrow.document["facts"]["slots"] == "9A"
    assert "Key 9A P-256" in narrow.err
    assert "Key 9C" not in narrow.err

    unknown = bench.run("do", "reissue", "--slot", "82", "--pin-fd", "{}", "--json", pins=("918273",))
    assert (unknown.code, unknown.document["error"]) == (1, "invalid-request")

    people = bench.run("do", "reissue", "--pin-fd", "{}", pins=("918273",))
    assert people.code == 0, people.err
    assert people.out.splitlines()[0] == "The card has new keys and certificates."
    assert "Move the retired key 9D to 82, with its certificate" in people.err

    wrong = bench.run("do", "renew", "--pin-fd", "{}", "--json", pins=("730195",))
    assert (wrong.code, wrong.document["error"]) == (3, "cancelled"), "a script is not asked twice"

    everything = "".join(ran.out + ran.err for ran in (renewed, narrow, unknown, people, wrong))
    everything += (bench.folder / "station.log").read_text()
    for pin in ("918273", "730195"):
        assert pin not in everything
        assert pin.encode().hex().upper() not in everything.upper()
