"""`kiosk do issue --dry-run` as a program, against a real server."""

from pathlib import Path

import pytest

from tests.kiosk.bench import READER, TEMPLATE, Bench

NEW_CARD = ("--profile", "yubikey-5.7")


def words(bench: Bench, *more: str, template: str = TEMPLATE) -> tuple[str, ...]:
    return ("do", "issue", "--dry-run", "--holder", bench.holder, "--template", template, *more)


def images(bench: Bench) -> dict[str, bytes]:
    folder = bench.folder / "station" / "virtual-cards"
    return {path.name: path.read_bytes() for path in folder.glob("*")}


def test_it_says_what_issuing_then_does(fresh_card: Bench) -> None:
    bench = fresh_card
    bench.run("card")  # makes the virtual card
    before = images(bench)
    rehearsed, again = (bench.run(*words(bench, "--reader", READER), "--json") for _ in range(2))
    assert rehearsed.code == 0, rehearsed.err
    assert rehearsed.out == again.out
    assert images(bench) == before
    said = rehearsed.document
    assert (said["ok"], said["dry_run"], said["operation"]) == (True, True, "issue")
    assert (said["reader"], said["profile"], said["new_card"]) == (READER, "yubikey-5.7", True)
    assert (said["holder"], said["holder_name"], said["template"]) == (bench.holder, bench.name, TEMPLATE)
    assert said["steps"][0] == {
        "key": "own",
        "facts": {"generation": 1},
        "text": "Own the card",
        "expected_ms": 0,
    }
    first = said["round_trips"][0]["commands"][0]
    assert (first["header"], first["label"], first["data_max"]) == ("00A40400", "SELECT PIV", 5)
    assert said["expected_ms"] == sum(trip["expected_ms"] for trip in said["round_trips"])

    seen = bench.run("card", "--json").document["readers"][0]
    assert seen["record"]["state"] == "unregistered"
    issued = bench.run(
        "do", "issue", "--holder", bench.holder, "--template", TEMPLATE, "--reader", READER, "--json"
    ).document
    assert (issued["round_trips"], issued["commands"]) == (len(said["round_trips"]), said["commands"])

    refused = bench.run(*words(bench, "--reader", READER), "--json")
    assert refused.code == 3
    assert refused.document["error"] == "transition-forbidden"


def test_a_new_card_needs_no_reader(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the smart card service does not even answer."""
    monkeypatch.setenv("PCSCLITE_CSOCK_NAME", str(tmp_path / "nobody"))
    hardware = tmp_path / "kiosk.toml"
    hardware.write_text(bench.config.read_text().replace('"virtual"\nvirtual-count = 1', '"pcsc"'))
    assert '"pcsc"' in hardware.read_text()
    rehearsed = bench.run(*words(bench, *NEW_CARD), "--json", config=hardware)
    assert rehearsed.code == 0, rehearsed.err
    assert (rehearsed.document["reader"], rehearsed.document["product"]) == (None, "YubiKey 5.7")
    assert bench.run(*words(bench), config=hardware).code == 4


def test_people_read_it_too(bench: Bench) -> None:
    shown = bench.run(*words(bench, *NEW_CARD))
    assert shown.code == 0, shown.err
    lines = shown.out.splitlines()
    assert lines[0] == "Dry run: nothing was changed."
    assert lines[1].startswith(bench.name)
    assert "  Read everything back" in lines
    assert any(line.startswith("  00 47 00 9A  GENERATE") for line in lines)
    assert any(line.strip() == "cold reset" for line in lines)
    assert "round trips" in lines[-1]


@pytest.mark.parametrize(
    ("more", "template", "code", "error"),
    [
        (("--profile", "yubikey-5.7"), "nothing", 1, "unknown-template"),
        (("--profile", "sp800-73"), TEMPLATE, 3, "template-impossible"),
        (("--profile", "floppy"), TEMPLATE, 2, "usage"),
        (("--profile", "yubikey-5.7", "--reader", READER), TEMPLATE, 2, "usage"),
    ],
)
def test_refusals(bench: Bench, more: tuple[str, ...], template: str, code: int, error: str) -> None:
    refused = bench.run(*words(bench, *more, template=template), "--json")
    assert (refused.code, refused.document["error"]) == (code, error)


def test_a_profile_alone_is_no_dry_run(bench: Bench) -> None:
    asked = ("do", "issue", "--holder", bench.holder, "--template", TEMPLATE, *NEW_CARD, "--json")
    assert bench.run(*asked).document["error"] == "usage"
