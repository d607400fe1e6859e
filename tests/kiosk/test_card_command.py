"""`kiosk card`: what is in a reader, where it differs from its record, and from a template."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from kiosk import card_command
from kiosk import cli as program
from kiosk.commands import Result
from shared.console import Comparison
from shared.credential.difference import Difference
from shared.credential.drift_kinds import Drift, Kind
from shared.credential.model import State
from shared.display import ORDERS
from shared.piv.ids import ObjectId, Slot
from shared.virtual.memory import Memory
from tests.kiosk.bench import READER, TEMPLATE, Bench
from tests.tui.scripted import PEOPLE, ScriptedStation, reader, record
from tests.tui.test_hostile_text import ORDER


def alter(bench: Bench, slot: Slot) -> None:
    """Take a key and the CCC off the card behind everybody's back."""
    (image,) = (bench.folder / "station" / "virtual-cards").glob("*")
    memory = Memory.from_bytes(image.read_bytes())
    image.write_bytes(memory.without_key(slot).with_object(ObjectId.CCC, b"").to_bytes())


def test_drift_and_difference_of_a_card(fresh_card: Bench) -> None:
    bench = fresh_card
    issued = bench.run("do", "issue", "--holder", bench.holder, "--template", TEMPLATE, "--json")
    assert issued.code == 0, issued.err
    ran = bench.run("card", "--diff", "--json")
    assert ran.code == 0, ran.err
    (view,) = ran.document["readers"]
    assert view["record"]["drift"] == []
    assert view["comparison"] == {"template": TEMPLATE, "template_version": 1, "differences": []}
    assert "As Employee badge v1 asks for." in bench.run("card", "--diff").out

    alter(bench, Slot.SIGNATURE)
    ran = bench.run("card", "--diff", "--json")
    assert ran.code == 0, "that a card differs is no failure"
    (view,) = ran.document["readers"]
    drift = {(each["key"], each["subject"]): each for each in view["record"]["drift"]}
    assert drift.keys() == {("object-missing", "CCC"), ("key-missing", "9C")}
    missing = drift["key-missing", "9C"]
    assert (missing["sign"], missing["found"], missing["mend"]) == ("-", "", "retire")
    assert missing["message"] == f"Key 9C: missing ({missing['expected']})."
    assert view["comparison"]["differences"] == [
        {"sign": "-", "aspect": "key", "subject": "9C", "expected": "P-256", "found": ""},
        {"sign": "-", "aspect": "object", "subject": "CCC", "expected": "present", "found": ""},
    ]
    people = bench.run("card", "--diff").out
    assert "  - No CCC.\n  - Key 9C: missing (" in people
    assert "  → Retire the card; it may be issued again then.\n" in people
    assert "  Compared with Employee badge v1:\n    - Key 9C: P-256\n    - Object CCC: present\n" in people
    assert "comparison" not in bench.run("card", "--json").document["readers"][0]


def test_a_new_card_beside_a_template(fresh_card: Bench) -> None:
    bench = fresh_card
    ran = bench.run("card", "--diff")
    assert ran.code == 0
    assert "Name a template with --template." in ran.out
    (view,) = bench.run("card", "--diff", "--json").document["readers"]
    assert view["comparison"] == {"template": None, "template_version": None, "differences": []}

    ran = bench.run("card", "--diff", "--template", TEMPLATE, "--reader", READER, "--json")
    assert ran.code == 0
    (view,) = ran.document["readers"]
    assert view["comparison"]["template"] == TEMPLATE
    assert {"sign": "-", "aspect": "object", "subject": "CHUID", "expected": "present", "found": ""} in (
        view["comparison"]["differences"]
    )


def test_a_template_that_does_not_exist(fresh_card: Bench) -> None:
    ran = fresh_card.run("card", "--diff", "--template", "nonsense", "--json")
    assert ran.code == 1
    (view,) = ran.document["readers"]
    assert (ran.document["ok"], view["error"]) == (False, "unknown-template")
    assert view["record"]["state"] == "unregistered", "what was found out is still said"
    assert "comparison" not in view


def test_a_template_belongs_to_a_comparison() -> None:
    ran = CliRunner().invoke(program.cli, ["card", "--template", "x"])
    assert ran.exit_code == 2
    assert "--diff" in ran.output


def test_no_order_of_a_server_reaches_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = (f"x{ORDER}", *Kind)
    drift = tuple(Drift(key=key, subject=ORDER, expected=ORDER, found=ORDER, mend=ORDER) for key in keys)
    view = reader(1, State.ACTIVE, PEOPLE[1], record=record(State.ACTIVE, PEOPLE[1], drift=drift))
    difference = Difference(aspect=ORDER, subject=ORDER, expected=ORDER, found=ORDER)
    comparison = Comparison(template=ORDER, title=ORDER, version=1, differences=(difference,))

    class Hostile(ScriptedStation):
        async def compare(self, reader: str, template: str) -> Comparison:
            return comparison

    seen = asyncio.run(card_command._look(Hostile(view), view.name, ""))
    result = Result(lines=card_command._lines(seen), document=dict(card_command._document(seen)))

    async def card(_config: Path | None, _reader: str, **_options: object) -> Result:
        return result

    monkeypatch.setattr(card_command, "card", card)
    lines = CliRunner().invoke(program.cli, ["card", "--diff"]).output
    assert "owned" in lines
    assert not any(ORDERS.search(line) for line in lines.split("\n"))
    document = CliRunner().invoke(program.cli, ["card", "--diff", "--json"]).output.rstrip("\n")
    assert not ORDERS.search(document)
    assert json.loads(document)["comparison"]["template"] == ORDER
