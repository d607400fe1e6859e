"""`kiosk-server connections` as a program, against a running server."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from server.connectors.kinds import KINDS
from tests.peers.ports import free_ports
from tests.scenario.templates import EMPLOYEE
from tests.serving import TIMEOUT_S, command, prepare, serving

DIRECTORY: Final = '[server.directory.people]\nkind = "file"\npath = "people.csv"\n'
PEOPLE: Final = "id,name,user,upn,mail\n1001,Anna Berg,aberg,aberg@lab.test,aberg@lab.test\n"
OTHERS: Final = "id,name,user\n2001,Bob Smith,bsmith\n"
CANARY: Final = "canary-of-the-bind-password"


def run(folder: Path, *words: str, expect: int = 0) -> dict[str, Any]:
    environment = {**os.environ, "BIND_PASSWORD": CANARY}
    done = subprocess.run(
        [*command(folder), "connections", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=environment,
    )
    assert done.returncode == expect, done.stderr + done.stdout
    assert CANARY not in done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout or "{}")
    return found


def names(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(each["port"], each["name"], each["source"]) for each in found["connections"]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    first = free_ports(2)
    (tmp_path / "people.csv").write_text(PEOPLE)
    (tmp_path / "others.csv").write_text(OTHERS)
    prepare(tmp_path, ports=(first, first + 1), directory=DIRECTORY, templates=[EMPLOYEE])
    return tmp_path


def test_kinds_need_no_server(tmp_path: Path) -> None:
    found = run(tmp_path, "kinds")["kinds"]
    assert [each["kind"] for each in found] == list(KINDS)
    ejbca = next(each for each in found if each["kind"] == "ejbca")
    assert ejbca["port"] == "ca"
    assert {"issue", "revoke", "hold", "find"} <= set(ejbca["abilities"])
    key = next(each for each in ejbca["fields"] if each["name"] == "client-key")
    assert (key["kind"], key["required"], key["default"]) == ("secret", False, None)


def test_the_life_of_a_connection(folder: Path) -> None:
    others = folder / "others.csv"
    ldap = (
        "--set",
        "hosts=127.0.0.1",
        "--set",
        "port=1",
        "--set",
        "bases=dc=lab",
        "--set",
        "user=cn=reader",
        "--set",
        "timeout-s=9",
    )
    fixed = [
        ("ca", "built-in", "server"),
        ("directory", "built-in", "server"),
        ("directory", "people", "settings"),
    ]
    with serving(folder):
        assert names(run(folder, "list")) == fixed
        made = run(folder, "add", "others", "file", "--set", f"path={others}")["connection"]
        assert (made["version"], made["source"], made["abilities"]) == (
            1,
            "record",
            ["search", "leavers"],
        )
        secret = run(folder, "add", "corporate", "openldap", *ldap, "--set", "password=env:BIND_PASSWORD")
        assert secret["connection"]["secrets"] == ["password"]
        assert "password" not in secret["connection"]["values"]
        edited = run(
            folder, "edit", "corporate", "--set", "bases=dc=a", "--set", "bases=dc=b", "--unset", "timeout-s"
        )
        assert edited["connection"]["values"]["bases"] == ["dc=a", "dc=b"]
        assert edited["connection"]["secrets"] == ["password"]
        assert secret["connection"]["values"]["timeout-s"] == 9
        assert "timeout-s" not in edited["connection"]["values"]
    with serving(folder):
        kept = run(folder, "list")
        assert set(names(kept)) == {
            *fixed,
            ("directory", "others", "record"),
            ("directory", "corporate", "record"),
        }
        shown = run(folder, "show", "corporate")["connection"]
        assert (shown["version"], shown["secrets"], shown["changed_by"]) == (2, ["password"], "admin")
        run(folder, "test", "others")
        failed = run(folder, "test", "corporate", expect=5)
        assert any(each["verdict"] == "fails" for each in failed["findings"])
        run(folder, "remove", "others")
        run(folder, "remove", "corporate")
        assert names(run(folder, "list")) == fixed
    assert CANARY not in (folder / "server.log").read_text()
    assert CANARY.encode() not in (folder / "server" / "store.db").read_bytes()


def test_what_a_template_names_stays(folder: Path) -> None:
    with serving(folder):
        run(folder, "add", "staff", "file", "--set", f"path={folder / 'others.csv'}")
        template = folder / "staff.toml"
        template.write_text(
            EMPLOYEE.replace('directory = "people"', 'directory = "staff"').replace("employee", "staff", 1)
        )
        done = subprocess.run(
            [*command(folder), "templates", "apply", str(template)],
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        refused = run(folder, "remove", "staff", expect=3)
        assert "templates name it" in refused["message"]


def test_documents_are_written_and_applied(folder: Path) -> None:
    document = folder / "connections.toml"
    with serving(folder):
        run(
            folder,
            "add",
            "others",
            "file",
            "--set",
            f"path={folder / 'others.csv'}",
            "--set",
            "attributes.mail=e-mail",
        )
        run(folder, "add", "ids", "simple-id", "--set", "shortest=4")
        document.write_text(run(folder, "export")["document"])
        run(folder, "remove", "ids")
        plan = run(folder, "apply", str(document), "--plan")
        assert {each["name"]: each["action"] for each in plan["connections"]} == {
            "others": "keep",
            "ids": "create",
        }
        run(folder, "apply", str(document))
        assert run(folder, "show", "ids")["connection"]["values"] == {"shortest": 4}
        assert run(folder, "show", "others")["connection"]["values"]["attributes"] == {"mail": "e-mail"}


WRONG: Final[tuple[tuple[tuple[str, ...], str], ...]] = (
    (("add", "Wrong", "file", "--set", "path=x"), "name"),
    (("add", "more", "nothing"), "kind"),
    (("add", "more", "file"), "path"),
    (("add", "more", "file", "--set", "way=x"), "way"),
    (("add", "more", "simple-id", "--set", "shortest=many"), "shortest"),
    (("add", "more", "simple-id", "--set", "shortest=0"), "shortest"),
    (("add", "people", "simple-id"), "name"),
    (("add", "more", "openldap", "--set", f"password={CANARY}"), "password"),
    (
        ("add", "more", "chain", "--set", "first=more", "--set", "second=people", "--set", "attribute=mail"),
        "first",
    ),
    (("edit", "people", "--set", "path=x"), "name"),
    (("show", "nobody"), "name"),
    (("remove", "people"), "name"),
    (("remove", "built-in"), "name"),
    (("remove", "nobody"), "name"),
)


def test_what_cannot_be_is_refused(folder: Path) -> None:
    with serving(folder):
        for words, field in WRONG:
            assert run(folder, *words, expect=1)["facts"]["field"] == field, words
        assert len(run(folder, "list")["connections"]) == 3
