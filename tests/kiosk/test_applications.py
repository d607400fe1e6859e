"""Applications as programs: let in, the client of docs/how-to/api-client.md as it stands there, and cards made headless."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from kiosk.backend.identity import load_identity
from kiosk.settings import read_settings
from shared.clock import SystemClock
from tests.kiosk.bench import READER, STATION, Bench, Ran
from tests.peers.ports import free_ports
from tests.scenario.templates import EMPLOYEE
from tests.serving import TIMEOUT_S, command, prepare, serving

PAGE: Final = Path(__file__).parents[2] / "docs" / "how-to" / "api-client.md"
DIRECTORY: Final = '[server.directory.people]\nkind = "file"\npath = "people.csv"\n'
PEOPLE: Final = (
    "id,name,user,upn,mail\n1001,Anna Berg,aberg,aberg@lab.test,aberg@lab.test\n"
    "1002,Bob Smith,bsmith,bsmith@lab.test,bsmith@lab.test\n"
)
WHY: Final = ("--why", "a test")


def the_client() -> str:
    (only,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert isinstance(only, str)
    return only


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """A running server, and a machine for one application after the other."""

    folder: Path

    def server(self, *words: str) -> dict[str, Any]:
        done = subprocess.run(
            [*command(self.folder), *words], check=False, capture_output=True, text=True, timeout=TIMEOUT_S
        )
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def let_in(self, name: str, *options: str) -> Bench:
        """Return a machine on which the application has joined."""
        folder = self.folder / name
        folder.mkdir()
        config = folder / "kiosk.toml"
        config.write_text(STATION.format(folder=folder, count=1))
        machine = Bench(folder=folder, config=config, holder="1001", name="Anna Berg")
        token = self.server("applications", "token", name, "--lab", *options)["token"]
        joined = machine.run("join", token, "--json")
        assert joined.code == 0, joined.err
        return machine

    def client(self, machine: Bench, *holders: str) -> tuple[list[dict[str, Any]], str]:
        script = machine.folder / "client.py"
        script.write_text(the_client())
        done = subprocess.run(
            [sys.executable, str(script), str(machine.folder / "station"), "employee", *holders],
            check=False,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            env={"PATH": "/usr/bin"},  # nothing of ours is on its path
            cwd=machine.folder,
        )
        return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def issue(machine: Bench, holder: str = "1001") -> Ran:
    words = ("--json", "--reader", READER, "--holder", holder, "--template", "employee")
    return machine.run("do", "issue", *words)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    (folder / "people.csv").write_text(PEOPLE)
    first = free_ports(2)
    prepare(folder, ports=(first, first + 1), directory=DIRECTORY, templates=[EMPLOYEE])
    settings = folder / "kiosk.toml"
    settings.write_text(
        settings.read_text().replace("allow-lab = true", "allow-lab = true\nreflection = true")
    )
    with serving(folder):
        yield Office(folder=folder)


# --- the page -------------------------------------------------------------------------------------------


def test_the_client_is_short_and_needs_nothing_of_ours() -> None:
    lines = [
        line for line in the_client().splitlines() if line and not line.startswith(("import", "from", '"""'))
    ]
    assert len(lines) <= 20
    assert not re.search(
        r"\b(kiosk|shared|server)\b[.\w]* import|import (kiosk|shared|server)\b", the_client()
    )


def test_the_client_checks_a_batch_and_reports(office: Office) -> None:
    machine = office.let_in("Personnel", "--role", "normal", "--unattended", "issue")
    first, stranger = office.client(machine, "1002", "4711")[0]
    assert (first["holder"], first["has"]) == ("1002", [])
    assert first["steps"] > 5
    assert stranger == {"holder": "4711", "error": "unknown-holder"}
    made = issue(machine, "1002")
    assert (made.code, made.document["state"]) == (0, "issued"), made.err
    assert office.client(machine, "1002")[0][0]["has"] == ["employee"]
    listed = {each["name"]: each for each in office.server("applications", "list")["applications"]}
    assert (listed["Personnel"]["roles"], listed["Personnel"]["unattended"]) == (["normal"], ["issue"])
    assert listed["Personnel"]["last_seen_at"]
    office.server("applications", "block", "Personnel", *WHY)
    assert office.client(machine, "1002")[0] == [{"holder": "1002", "error": "station-blocked"}]


def test_the_client_is_told_what_its_roles_leave_out(office: Office) -> None:
    machine = office.let_in("Nosy")
    assert office.client(machine, "1001")[0] == [{"holder": "1001", "error": "not-allowed"}]


# --- cards ----------------------------------------------------------------------------------------------


def test_what_is_sensitive_takes_a_grant_by_name(office: Office) -> None:
    machine = office.let_in("Printer", "--role", "normal")
    refused = issue(machine)
    assert (refused.code, refused.document["error"]) == (3, "not-allowed")
    office.server("applications", "unattended", "Printer", "issue", *WHY)
    made = issue(machine)
    assert (made.code, made.document["state"]) == (0, "issued"), made.err
    revoked = machine.run("do", "revoke", "--json", "--reader", READER, "--reason", "lost")
    assert (revoked.code, revoked.document["error"]) == (3, "not-allowed")
    updated = machine.run("do", "update", "--json", "--reader", READER)
    assert updated.code == 0, updated.err
    office.server("applications", "profile", "Printer", "--operation", "suspend", *WHY)
    updated = machine.run("do", "update", "--json", "--reader", READER)
    assert (updated.code, updated.document["error"]) == (3, "not-allowed")


def test_nobody_works_at_a_desk_as_an_application(office: Office) -> None:
    machine = office.let_in("Desk", "--role", "normal")
    refused = machine.run("log-on", "--json", "--reader", READER)
    assert refused.code != 0
    assert refused.document["error"] in {"not-allowed", "logon-refused"}


# --- reflection -----------------------------------------------------------------------------------------


def credentials_of(machine: Bench) -> tuple[str, grpc.ChannelCredentials]:
    identity = load_identity(read_settings(machine.config).station.state_folder, SystemClock())
    return identity.server, grpc.ssl_channel_credentials(
        identity.server_root, identity.key.reveal(), identity.certificate
    )


def test_services_are_listed_for_whoever_has_a_certificate(office: Office) -> None:
    machine = office.let_in("Lister")
    server, credentials = credentials_of(machine)
    with grpc.secure_channel(server, credentials) as channel:
        names = ProtoReflectionDescriptorDatabase(channel).get_services()
    assert {"kiosk.v1.Credentials", "kiosk.v1.Operations", "kiosk.v1.Rehearsals"} <= set(names)
    assert not any(
        name.startswith(("kiosk.v1.Admin", "kiosk.v1.Operators", "kiosk.v1.Applications")) for name in names
    )
    identity = load_identity(read_settings(machine.config).station.state_folder, SystemClock())
    stranger = grpc.ssl_channel_credentials(identity.server_root)
    with grpc.secure_channel(server, stranger) as channel, pytest.raises(grpc.RpcError):
        ProtoReflectionDescriptorDatabase(channel).get_services()
