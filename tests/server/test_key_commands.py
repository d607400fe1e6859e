"""`kiosk-server keys` as a program, against a running server."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.peers.ports import free_ports
from tests.scenario.templates import EMPLOYEE
from tests.serving import TIMEOUT_S, command, prepare, serving

DIRECTORY = '[server.directory.people]\nkind = "file"\npath = "people.csv"\n'
PEOPLE = "id,name,user,upn,mail\n1001,Anna Berg,aberg,aberg@lab.test,aberg@lab.test\n"


def keys(folder: Path, *words: str) -> tuple[int, dict[str, Any]]:
    argv = [*command(folder), "keys", *words]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=TIMEOUT_S)
    return done.returncode, json.loads(done.stdout or "{}")


def test_a_new_generation_is_there_with_its_reason_after_a_restart(tmp_path: Path) -> None:
    first = free_ports(2)
    (tmp_path / "people.csv").write_text(PEOPLE)
    prepare(tmp_path, ports=(first, first + 1), directory=DIRECTORY, templates=[EMPLOYEE])
    with serving(tmp_path):
        code, made = keys(tmp_path, "new", "--why", "Desk 3 was stolen")
        assert (code, made["generation"], made["why"], made["cards"]) == (0, 2, "Desk 3 was stolen", 0)
        code, refused = keys(tmp_path, "new", "--why", "  ")
        assert code != 0
        assert refused["error"] == "invalid-request"
    with serving(tmp_path):
        code, listed = keys(tmp_path, "list")
        assert code == 0
        assert [(each["generation"], each["why"]) for each in listed["generations"]] == [
            (1, ""),
            (2, "Desk 3 was stolen"),
        ]
    code, unreachable = keys(tmp_path, "list")
    assert (code, unreachable["error"]) == (5, "server-unreachable")
