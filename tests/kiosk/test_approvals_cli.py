"""A second person, from the command line: the first start's two people make a third."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import pytest

from tests.kiosk.bench import STATION, Bench
from tests.peers.ports import free_ports
from tests.serving import TIMEOUT_S, command, prepare, serving

DIRECTORY = '[server.directory.people]\nkind = "file"\npath = "people.csv"\n'
PEOPLE = "id,name,user,upn,mail\n1001,Anna Berg,aberg,aberg@lab.test,aberg@lab.test\n1002,Bob Smith,bob,b@lab.test,b@lab.test\n"
PASSCODE = "a passcode for the first start"
OWNER, ANNA, BOB = "182736", "918273", "564738"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A server that was started for the first time, with the System Owner's card and the first operator's in two readers."""
    first = free_ports(2)
    (tmp_path / "people.csv").write_text(PEOPLE)
    ports = (first, first + 1)
    token = prepare(tmp_path, ports=ports, directory=DIRECTORY, templates=[], passcode=PASSCODE)
    config = tmp_path / "station.toml"
    config.write_text(STATION.format(folder=tmp_path, count=3))
    made = Bench(folder=tmp_path, config=config, holder="1002", name="Bob Smith")
    with serving(tmp_path):
        assert made.run("join", token).code == 0
        start(made)
        yield made


def start(bench: Bench) -> None:
    """Make the System Owner's card and the first operator's."""
    words = [
        "first-start",
        "--yes",
        "--owner-reader",
        "Virtual reader 1",
        "--operator-reader",
        "Virtual reader 2",
    ]
    given = {"--passcode-fd": PASSCODE, "--owner-pin-fd": OWNER, "--operator-pin-fd": ANNA}
    with ExitStack() as files:
        kept: list[IO[bytes]] = [files.enter_context((bench.folder / "code").open("wb"))]
        words += ["--holder", "1001", "--keep-code-fd", str(kept[0].fileno())]
        for option, secret in given.items():
            (bench.folder / "given").write_text(f"{secret}\n")
            kept.append(files.enter_context((bench.folder / "given").open("rb")))
            words += [option, str(kept[-1].fileno())]
            (bench.folder / "given").unlink()
        subprocess.run(
            [sys.executable, "-m", "kiosk.cli", "--config", str(bench.config), *words],
            check=True,
            capture_output=True,
            timeout=TIMEOUT_S,
            pass_fds=[each.fileno() for each in kept],
        )


def server(bench: Bench, *words: str) -> dict[str, Any]:
    argv = [*command(bench.folder), *words]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=TIMEOUT_S)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_a_third_person_becomes_an_operator_when_a_second_agrees(bench: Bench) -> None:
    on = bench.run("log-on", "--reader", "Virtual reader 2", "--pin-fd", "{}", "--json", pins=(ANNA,))
    assert on.code == 0, on.err
    issue = ("do", "issue", "--reader", "Virtual reader 3", "--holder", "1002", "--template", "operator")
    refused = bench.run(*issue, "--role", "normal", "--json")
    assert (refused.code, refused.document["error"]) == (3, "approval-needed")
    asked = bench.run(*issue, "--role", "normal", "--request-approval", "--json")
    assert asked.code == 3
    request = asked.document["approval"]
    assert (request["operation"], request["holder_name"], request["roles"]) == (
        "issue",
        "Bob Smith",
        ["normal"],
    )
    (waiting,) = bench.run("approvals", "list", "--json").document["approvals"]
    assert (waiting["id"], waiting["mine"], waiting["open_to_me"]) == (request["id"], True, False)

    def approve(which: str, reader: str, pin: str) -> Any:
        return bench.run(
            "approvals", "approve", which, "--reader", reader, "--pin-fd", "{}", "--json", pins=(pin,)
        )

    own = approve(request["id"], "Virtual reader 2", ANNA)
    assert (own.code, own.document["error"]) == (3, "approval-refused")
    agreed = approve(request["id"], "Virtual reader 1", OWNER)
    assert agreed.code == 0, agreed.err
    assert "Bob Smith (1002)" in agreed.err
    assert len(agreed.document["approval"]["approved_by"]) == 1
    made = bench.run(*issue, "--role", "normal", "--json")
    assert made.code == 0, made.err
    shown = bench.run("approvals", "show", request["id"], "--json").document["approval"]
    assert shown["state"] == "spent"

    activate = ("do", "activate", "--reader", "Virtual reader 3", "--new-pin-fd", "{}", "--json")
    asked = bench.run(*activate, "--request-approval", pins=(BOB,))
    assert asked.code == 3, asked.err
    assert approve(asked.document["approval"]["id"], "Virtual reader 1", OWNER).code == 0
    assert bench.run(*activate, pins=(BOB,)).code == 0

    bob = bench.run(
        "approvals", "request", "unblock", "--credential", "1002", "--note", "forgot it", "--json"
    )
    assert bob.code == 0, bob.err
    which = bob.document["approval"]["id"]
    assert which in [each["id"] for each in server(bench, "approvals", "list")["approvals"]]
    declined = server(bench, "approvals", "decline", which, "--why", "come in person")
    assert (declined["approval"]["state"], declined["approval"]["why"]) == ("declined", "come in person")
    late = approve(which, "Virtual reader 1", OWNER)
    assert (late.code, late.document["error"]) == (3, "approval-refused")
    assert server(bench, "approvals", "policy")["policy"]["same_station"] is True
