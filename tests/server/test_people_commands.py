"""`kiosk-server templates test` and `leavers` as programs, against a running server."""

import json
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from tests.peers.ports import free_ports
from tests.scenario.templates import EMPLOYEE
from tests.serving import TIMEOUT_S, command, prepare, serving

DIRECTORY: Final = '[server.directory.people]\nkind = "file"\npath = "people.csv"\n'
PEOPLE: Final = """\
id,name,user,upn,mail,employee-id,enabled
1001,Anna Berg,aberg,aberg@lab.test,aberg@lab.test,00042,
1002,Anna Falk,afalk,,,,
1003,Ida Gone,igone,igone@lab.test,igone@lab.test,7,no
"""
TEMPLATE: Final = """\
name = "badge"
title = "Badge"
directory = "people"

[[certificate]]
slot = "9A"
algorithm = "P-256"
ca = "built-in"
profile = "smart-card-logon"
subject = 'CN=${user.name|upper},2.5.4.5=${user.employee-id|regex:"[1-9][0-9]*"},OU=${user.department|default:"Lab"}'
upn = "${user.upn}"
sid = "${user.sid?}"
"""


def run(folder: Path, *words: str, expect: int = 0) -> dict[str, Any]:
    done = subprocess.run(
        [*command(folder), *words], check=False, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.returncode == expect, done.stderr + done.stdout
    found: dict[str, Any] = json.loads(done.stdout or "{}")
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    first = free_ports(2)
    (tmp_path / "people.csv").write_text(PEOPLE)
    prepare(tmp_path, ports=(first, first + 1), directory=DIRECTORY, templates=[EMPLOYEE])
    return tmp_path


def test_a_template_is_tried_with_a_person(folder: Path) -> None:
    template = folder / "badge.toml"
    template.write_text(TEMPLATE)
    with serving(folder):
        tried = run(folder, "templates", "test", str(template), "--holder", "1001")
        assert (tried["name"], tried["version"], tried["enabled"]) == ("Anna Berg", 0, True)
        values = {each["variable"]: each["value"] for each in tried["variables"]}
        assert values["${user.name|upper}"] == "ANNA BERG"
        assert values["${user.sid?}"] == ""
        fields = {each["field"]: each["value"] for each in tried["fields"]}
        assert fields["subject"] == "CN=ANNA BERG,2.5.4.5=42,OU=Lab"
        assert fields["upn"] == "aberg@lab.test"

        by_name = run(folder, "templates", "test", "employee", "--holder", "anna berg")
        assert (by_name["holder"], by_name["version"]) == ("1001", 1)

        missing = run(folder, "templates", "test", str(template), "--holder", "1002", expect=3)
        problems = {each["variable"]: each["error"] for each in missing["variables"] if each["error"]}
        assert set(problems.values()) == {"variable-missing"}
        assert "${user.upn}" in problems
        assert "${user.sid?}" not in problems
        assert {each["field"] for each in missing["fields"] if each["error"]} == {"subject", "upn"}

        disabled = run(folder, "templates", "test", str(template), "--holder", "Ida", expect=3)
        assert (disabled["enabled"], disabled["ok"]) == (False, False)

        several = run(folder, "templates", "test", "employee", "--holder", "anna", expect=1)
        assert several["error"] == "invalid-request"
        nobody = run(folder, "templates", "test", "employee", "--holder", "x' OR 1=1", expect=1)
        assert nobody["error"] == "unknown-holder"
        assert (
            run(folder, "templates", "test", "none", "--holder", "1001", expect=1)["error"]
            == "unknown-template"
        )
        template.write_text(TEMPLATE.replace("upper", "shout"))
        wrong = run(folder, "templates", "test", str(template), "--holder", "1001", expect=1)
        assert (wrong["error"], wrong["facts"]["line"]) == ("template-invalid", 10)
        words = subprocess.run(
            [*command(folder)[:-1], "templates", "test", "employee", "--holder", "1001"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        assert "Anna Berg (1001) of people" in words


def test_nobody_has_left_where_nobody_has_a_card(folder: Path) -> None:
    with serving(folder):
        assert run(folder, "leavers") == {"ok": True, "directories": []}
