"""`kiosk do` alone: what may be done now, each with a command line that does it."""

import shlex
from pathlib import Path

import pytest

from kiosk.do import do
from kiosk.reachable import said_of
from kiosk.station import wording
from kiosk.station.faces import CardSeen, ReaderView
from shared import errors
from shared.console import CardView
from shared.credential.model import HolderId, Person, State
from shared.relay import OperationKind
from tests.kiosk.bench import READER, STATION, TEMPLATE, Bench

ANNA = Person(holder=HolderId("1001"), name="Anna Berg", attributes={})


def reader(
    record: CardView | None = None, *, tries: int = 3, error: errors.KioskError | None = None
) -> ReaderView:
    card = CardSeen(product="YubiKey 5.7", profile="yubikey-5.7", pin_tries_left=tries)
    return ReaderView(name="ACR 1", virtual=False, present=True, card=card, record=record, error=error)


def of(state: State, *reachable: OperationKind, interrupted: OperationKind | None = None) -> CardView:
    return CardView(
        state=state,
        reachable=reachable,
        interrupted=interrupted,
        holder=ANNA,
        template="employee",
        template_title="Employee badge",
        template_version=2,
    )


def test_what_is_listed_can_be_typed_and_leads_on(fresh_card: Bench) -> None:
    """Every card of this walk gets there by the first command line of the list, and the holder's own words."""
    bench = fresh_card
    walked = []
    for state, words in (
        ("unregistered", {"HOLDER": bench.holder, "TEMPLATE": TEMPLATE}),
        ("issued", {}),
    ):
        listed = bench.run("do", "--json")
        assert listed.code == 0, listed.err
        (only,) = listed.document["readers"]
        assert (only["reader"], only["state"], only["error"]) == (READER, state, None)
        first = only["operations"][0]
        program, *typed = (words.get(word, word) for word in shlex.split(first["command"]))
        assert program == "kiosk"
        assert typed[:2] == ["--config", str(bench.config)]
        walked.append(first["operation"])
        pins = ("918273",) if first["operation"] == "activate" else ()
        done = bench.run(*typed, *(("--new-pin-fd", "{}") if pins else ()), pins=pins)
        assert done.code == 0, done.err
    assert walked == ["issue", "activate"]
    people = bench.run("do")
    assert people.code == 0, people.err
    lines = people.out.splitlines()
    assert lines[0] == f"{READER} (virtual)"
    assert f"  {wording.state(State.ACTIVE)}" in lines
    assert f"  {bench.name} · Employee badge v1" in lines
    assert f"  kiosk --config {bench.config} do change-pin --reader '{READER}'" in lines
    assert f"  kiosk --config {bench.config} do retire --reader '{READER}' --reason REASON" in lines


def test_a_server_that_is_down_has_the_exit_code_of_kiosk_card(bench: Bench, tmp_path: Path) -> None:
    config = tmp_path / "kiosk.toml"
    text = STATION.format(folder=bench.folder, count=1)
    config.write_text(text + '\n[station.server]\naddress = "127.0.0.1:1"\n')
    ran = bench.run("do", "--json", config=config)
    assert ran.code == bench.run("card", config=config).code == 5
    (only,) = ran.document["readers"]
    assert (only["error"], only["operations"]) == ("server-unreachable", [])


def test_without_a_reader_service_it_ends_like_kiosk_card(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PCSCLITE_CSOCK_NAME", str(tmp_path / "nobody-listens-here"))
    config = tmp_path / "kiosk.toml"
    config.write_text(STATION.format(folder=bench.folder, count=1).replace('"virtual"', '"pcsc"'))
    alone, card = (bench.run(words, "--json", config=config) for words in ("do", "card"))
    assert (alone.code, alone.document) == (card.code, card.document)
    assert (alone.code, alone.document["error"]) == (4, "pcsc-unavailable")


@pytest.mark.parametrize("kind", OperationKind)
def test_every_operation_has_a_command_line_and_a_sentence(kind: OperationKind) -> None:
    said = said_of([reader(of(State.ACTIVE, kind))], None, do.commands)
    ((operation,),) = (each["operations"] for each in said.document["readers"])
    words = shlex.split(operation["command"])
    assert words[:3] == ["kiosk", "do", kind.value]
    assert words[words.index("--reader") + 1] == "ACR 1"
    filled = {"HOLDER": "1001", "TEMPLATE": "employee", "REASON": "lost"}
    command = do.commands[kind.value]
    command.make_context(kind.value, [filled.get(word, word) for word in words[3:]])
    assert operation["sentence"].endswith(".")
    assert f"  {operation['command']}" in said.lines
    assert f"      {operation['sentence']}" in said.lines


def test_the_list_is_the_desks() -> None:
    """In the server's order, without what a blocked PIN makes useless."""
    record = of(State.ACTIVE, OperationKind.CHANGE_PIN, OperationKind.UNBLOCK, OperationKind.RETIRE)
    for tries, expected in ((3, ["change-pin", "unblock", "retire"]), (0, ["unblock", "retire"])):
        (only,) = said_of([reader(record, tries=tries)], None, do.commands).document["readers"]
        assert [each["operation"] for each in only["operations"]] == expected


def test_what_was_cut_goes_on_before_anything_else_for_the_same_person() -> None:
    record = of(State.REGISTERED, OperationKind.RETIRE, interrupted=OperationKind.ISSUE)
    said = said_of([reader(record)], None, do.commands)
    (only,) = said.document["readers"]
    (operation,) = only["operations"]
    assert only["interrupted"] == "issue"
    assert operation["command"] == "kiosk do issue --reader 'ACR 1' --holder 1001 --template employee"
    assert f"  {wording.notice('interrupted')}" in said.lines


def test_a_card_that_cannot_be_used_says_why() -> None:
    foreign = errors.NotPivCard()
    said = said_of(
        [reader(of(State.ACTIVE, OperationKind.UNBLOCK)), reader(error=foreign)], None, do.commands
    )
    assert said.exit_code == foreign.exit_code
    assert said.document["ok"] is False
    assert [each["error"] for each in said.document["readers"]] == [None, "not-piv-card"]
    assert said.lines[-3:-1] == ["ACR 1", f"  {wording.failure(foreign)}"]


def test_empty_readers_are_left_out() -> None:
    empty = ReaderView(name="ACR 2", virtual=False)
    said = said_of([empty], None, do.commands)
    assert (said.exit_code, said.document) == (0, {"ok": True, "readers": []})
    assert said.lines == ["There is no card in the reader."]
    both = said_of([empty, reader(of(State.RETIRED))], None, do.commands)
    assert [each["reader"] for each in both.document["readers"]] == ["ACR 1"]
    assert both.lines[-1] == "  There is nothing more to do."


def test_help_still_lists_every_command(bench: Bench) -> None:
    shown = bench.run("do", "--help")
    assert shown.code == 0
    assert all(f"  {kind.value} " in shown.out for kind in OperationKind)
