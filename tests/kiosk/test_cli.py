"""The command line as a program, against a real server, with virtual cards that stay in their image files."""

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from kiosk import card_command, commands
from kiosk import cli as program
from shared import errors, process
from tests.kiosk.bench import READER, STATION, TEMPLATE, Bench


def test_a_card_lives_through_four_commands(fresh_card: Bench) -> None:
    bench = fresh_card
    seen = bench.run("card", "--json")
    assert seen.code == 0, seen.err
    (reader,) = seen.document["readers"]
    assert (reader["reader"], reader["virtual"], reader["present"]) == (READER, True, True)
    assert reader["record"]["state"] == "unregistered"
    assert reader["record"]["reachable"] == ["issue", "register"]

    issued = bench.run("do", "issue", "--holder", bench.holder, "--template", TEMPLATE, "--json")
    assert issued.code == 0, issued.err
    document = issued.document
    assert (document["ok"], document["state"], document["error"]) == (True, "issued", None)
    assert document["round_trips"] <= 8
    assert "Key 9A P-256" in issued.err

    weak = bench.run("do", "activate", "--new-pin-fd", "{}", "--json", pins=("123456",))
    assert weak.document["error"] == "cancelled", "a script's PIN is not asked for twice"
    assert weak.code == 3

    active = bench.run("do", "activate", "--reader", READER, "--new-pin-fd", "{}", "--json", pins=("918273",))
    assert active.code == 0, active.err
    assert active.document["state"] == "active"

    changed = bench.run(
        "--json", "do", "change-pin", "--pin-fd", "{}", "--new-pin-fd", "{}", pins=("918273", "564738")
    )
    assert changed.code == 0, changed.err

    wrong = bench.run(
        "do", "change-pin", "--pin-fd", "{}", "--new-pin-fd", "{}", "--json", pins=("730195", "564739")
    )
    assert wrong.code != 0

    people = bench.run("card")
    assert people.code == 0
    assert f"{bench.name} · Employee badge v1" in people.out
    assert "The card is active." in people.out
    assert "2 tries left" in people.out

    unblocked = bench.run("do", "unblock", "--new-pin-fd", "{}", "--json", pins=("629415",))
    assert unblocked.code == 0, unblocked.err
    assert unblocked.document["state"] == "active"

    updated = bench.run("do", "update", "--json")
    assert updated.code == 0, updated.err
    assert updated.document["message"] == "The card is up to date."
    assert updated.document["round_trips"] == 1

    assert bench.run("do", "retire", "--json").code == 2, "a reason is needed"
    retired = bench.run("do", "retire", "--reason", "left", "--json")
    assert retired.code == 0, retired.err
    assert retired.document["state"] == "retired"
    assert "Delete key and certificate 9A" in retired.err

    log = (bench.folder / "station.log").read_text()
    assert "session begins" in log, "the loudest level was on"
    everything = log + seen.out + issued.err + active.err + changed.err + wrong.err + unblocked.err
    for pin in ("918273", "564738", "730195", "564739", "629415"):
        assert pin not in everything
        assert pin.encode().hex().upper() not in everything.upper()


def test_the_desk_opens_on_a_terminal_and_q_leaves_it(bench: Bench) -> None:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    desk = subprocess.Popen(
        [sys.executable, "-m", "kiosk.cli", "--config", str(bench.config), "desk"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    os.close(slave)
    shown = bytearray()
    try:
        collect(master, shown, lambda: READER.encode() in shown)
        os.write(master, b"q")
        collect(master, shown, lambda: desk.poll() is not None)
        assert desk.wait(10) == 0
    finally:
        desk.kill()
        desk.wait()
        os.close(master)
    assert READER.encode() in shown


def collect(master: int, shown: bytearray, enough: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not enough() and time.monotonic() < end:
        if select.select([master], [], [], 0.05)[0]:
            try:
                shown += os.read(master, 65536)
            except OSError:  # the other side has closed its terminal
                return


def test_doctor_checks_everything(bench: Bench) -> None:
    ran = bench.run("doctor", "--json")
    assert ran.code == 0, ran.err
    verdicts = {check["name"]: check["verdict"] for check in ran.document["checks"]}
    assert verdicts.items() >= {
        ("settings", "ok"),
        ("certificate", "ok"),
        ("server", "ok"),
        ("templates", "ok"),
        ("readers", "ok"),
    }
    assert TEMPLATE in bench.run("doctor").out


def test_a_machine_that_never_joined_is_told_so(bench: Bench, tmp_path: Path) -> None:
    config = tmp_path / "kiosk.toml"
    config.write_text(STATION.format(folder=tmp_path, count=1))
    ran = bench.run("card", "--json", config=config)
    assert (ran.code, ran.document["error"]) == (2, "config-missing")
    ran = bench.run("doctor", "--json", config=config)
    assert ran.code == 2
    assert [check["verdict"] for check in ran.document["checks"]] == ["ok", "failed", "ok"]


def test_damaged_settings_name_their_place(bench: Bench, tmp_path: Path) -> None:
    config = tmp_path / "kiosk.toml"
    config.write_text(STATION.format(folder=tmp_path, count=1).replace("state-folder", "state-foldr"))
    ran = bench.run("doctor", config=config)
    assert ran.code == 2
    assert "line 2" in ran.out
    assert "state-folder" in ran.out
    ran = bench.run("card", "--json", config=config)
    assert (ran.code, ran.document["facts"]["line"]) == (2, 2)


def test_what_does_not_exist_is_named(fresh_card: Bench) -> None:
    bench = fresh_card
    ran = bench.run("card", "--reader", "Nothing", "--json")
    assert (ran.code, ran.document["error"], ran.document["facts"]) == (4, "no-reader", {"reader": "Nothing"})
    ran = bench.run("do", "issue", "--holder", bench.holder, "--template", "nonsense", "--json")
    assert (ran.code, ran.document["error"]) == (1, "unknown-template")
    ran = bench.run("do", "issue", "--holder", "nobody-at-all", "--template", TEMPLATE, "--json")
    assert (ran.code, ran.document["error"]) == (1, "unknown-holder")
    ran = bench.run("do", "activate", "--new-pin-fd", "{}", "--json", pins=("918273",))
    assert ran.code in {1, 3}
    assert ran.document["ok"] is False


def test_a_server_that_is_down(bench: Bench, tmp_path: Path) -> None:
    config = tmp_path / "kiosk.toml"
    text = STATION.format(folder=bench.folder, count=1)
    config.write_text(text + '\n[station.server]\naddress = "127.0.0.1:1"\n')
    ran = bench.run("card", "--json", config=config)
    assert ran.code == 5, ran.err
    (reader,) = ran.document["readers"]
    assert reader["error"] == "server-unreachable"
    assert reader["card"]["product"], "what the station reads itself is still shown"
    ran = bench.run("do", "activate", "--new-pin-fd", "{}", "--json", pins=("918273",), config=config)
    assert (ran.code, ran.document["error"]) == (5, "server-unreachable")


def test_pcsc_without_a_service_is_a_clear_error(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PCSCLITE_CSOCK_NAME", str(tmp_path / "nobody-listens-here"))
    config = tmp_path / "kiosk.toml"
    config.write_text(STATION.format(folder=bench.folder, count=1).replace('"virtual"', '"pcsc"'))
    ran = bench.run("card", "--json", config=config)
    assert (ran.code, ran.document["error"]) == (4, "pcsc-unavailable")


def test_a_bad_token_changes_nothing(bench: Bench, tmp_path: Path) -> None:
    config = tmp_path / "kiosk.toml"
    config.write_text(STATION.format(folder=tmp_path, count=1))
    ran = bench.run("join", "not-a-token", "--json", config=config)
    assert ran.code == 1
    assert ran.document["error"] == "invalid-request"
    assert not (tmp_path / "station").exists()


def test_usage_errors_end_with_2(bench: Bench) -> None:
    assert bench.run("do", "issue").code == 2
    assert bench.run("dance").code == 2
    assert bench.run("--version").code == 0


def test_help_lists_every_command() -> None:
    shown = CliRunner().invoke(program.cli, ["--help"])
    assert shown.exit_code == 0
    for name in ("card", "demo", "desk", "do", "doctor", "join", "virtual-card"):
        assert f"  {name} " in shown.output
    for words in (
        ["do", "--help"],
        ["do", "issue", "--help"],
        ["virtual-card", "--help"],
        ["demo", "--help"],
    ):
        assert CliRunner().invoke(program.cli, words).exit_code == 0


def test_options_count_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Path | None] = []

    async def card(config: Path | None, _reader: str, **_options: object) -> commands.Result:
        told.append(config)
        return commands.Result(lines=["line"], document={"ok": True})

    monkeypatch.setattr(card_command, "card", card)
    before = CliRunner().invoke(program.cli, ["--config", "a.toml", "--json", "card"])
    behind = CliRunner().invoke(program.cli, ["card", "--json", "--config", "b.toml"])
    plain = CliRunner().invoke(program.cli, ["card"])
    assert [json.loads(ran.output) for ran in (before, behind)] == [{"ok": True}] * 2
    assert plain.output == "line\n"
    assert told == [Path("a.toml"), Path("b.toml"), None]


def test_an_unforeseen_fault_shows_no_variables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def card(_config: Path | None, _reader: str, **_options: object) -> commands.Result:
        pin = "739184"
        raise RuntimeError(pin)

    monkeypatch.setattr(card_command, "card", card)
    monkeypatch.setattr(process, "harden", lambda: None)
    monkeypatch.setattr(sys, "argv", ["kiosk", "card", "--json"])
    with pytest.raises(SystemExit) as ended:
        program.main()
    shown = capsys.readouterr()
    assert ended.value.code == errors.StationFault.exit_code
    assert json.loads(shown.out)["error"] == "station-fault"
    assert "739184" not in shown.out + shown.err
