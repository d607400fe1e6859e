"""`kiosk-server operators` and `kiosk-server roles` as programs, against a running server."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from server import wiring
from server.settings import read_settings
from shared.clock import SystemClock
from shared.roles import PRESETS, SUBJECTS
from shared.secret import Secret
from tests.logged_on import keep, log_on
from tests.peers.ports import free_ports
from tests.scenario.templates import EMPLOYEE
from tests.server.store.examples import EVIDENCE, a_key, an_operator
from tests.serving import PASSPHRASE, TIMEOUT_S, command, prepare, serving

DIRECTORY: Final = '[server.directory.people]\nkind = "file"\npath = "people.csv"\n'
PEOPLE: Final = "id,name,user,upn,mail\n1001,Anna Berg,aberg,aberg@lab.test,aberg@lab.test\n"
WHY: Final = ("--why", "a new desk")
INVALID: Final[tuple[tuple[str, ...], ...]] = (
    ("roles", "delete", "normal", *WHY),
    ("roles", "edit", "normal", "--set", "fly=execute", *WHY),
    ("roles", "edit", "normal", "--set", "issue", *WHY),
    ("roles", "edit", "normal", "--set", "tasks=view:badge", *WHY),
    ("roles", "edit", "normal", "--set", "issue=view:", *WHY),
    ("roles", "edit", "system-administrator", "--set", "issue=view", *WHY),
    ("roles", "clone", "normal", "normal", *WHY),
    ("operators", "deactivate", "Nobody", *WHY),
)
WRONG_USAGE: Final[tuple[tuple[str, ...], ...]] = (
    ("roles", "edit", "normal", *WHY),
    ("roles", "reset", "normal"),
    ("operators", "roles", "Nobody", *WHY),
    ("operators", "roles", "Nobody", "normal", "--none", *WHY),
)


def run(folder: Path, *words: str) -> tuple[int, dict[str, Any]]:
    session = folder / "session"
    argv = [*command(folder), *words, *([f"--session={session}"] if session.exists() else [])]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert ("--session FILE" in done.stderr) == ('"logon-needed"' in done.stdout), done.stderr
    return done.returncode, json.loads(done.stdout or "{}")


def say(folder: Path, *words: str) -> list[str]:
    argv = [each for each in (*command(folder), *words) if each != "--json"]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=TIMEOUT_S)
    return done.stdout.splitlines()


def hire(folder: Path) -> None:
    """Put operators on the record of a server that does not run."""
    settings = read_settings(folder / "kiosk.toml")

    async def work() -> None:
        parts = await wiring.open_parts(settings.server, Secret.from_text(PASSPHRASE), SystemClock())
        root = an_operator(a_key(), name="Root", roles=frozenset({"system-administrator"}))
        for operator in (root, an_operator(name="Berg", failed_logons=2)):
            await parts.store.operators.add(operator, EVIDENCE)
        keep(await log_on(parts.store, SystemClock(), root), folder / "session")
        await parts.store.close()

    asyncio.run(work())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    first = free_ports(2)
    (tmp_path / "people.csv").write_text(PEOPLE)
    prepare(tmp_path, ports=(first, first + 1), directory=DIRECTORY, templates=[EMPLOYEE])
    return tmp_path


def test_roles_are_kept_over_a_restart(folder: Path) -> None:
    with serving(folder):
        code, listed = run(folder, "roles", "list")
        assert (code, [role["name"] for role in listed["roles"]]) == (0, list(PRESETS))
        administrator, *others = listed["roles"]
        assert administrator["permissions"] == dict.fromkeys(SUBJECTS, "execute")
        assert {role["permissions"]["operators"] for role in others} == {"view", "hidden"}
        assert {role["preset"] for role in listed["roles"]} == {True}
        assert "  execute: everything" in say(folder, "roles", "list")

        code, made = run(folder, "roles", "clone", "restricted", "helpdesk", "--title", "Help desk", *WHY)
        assert (code, made["title"], made["preset"]) == (0, "Help desk", False)
        edits = ("--set", "suspend=execute", "--set", "issue=execute:badge,token", "--set", "unblock=hidden")
        code, edited = run(folder, "roles", "edit", "helpdesk", *edits, *WHY)
        assert (code, edited["permissions"]["suspend"]) == (0, "execute")
        assert edited["permissions"]["unblock"] == edited["permissions"]["issue"] == "hidden"
        assert edited["for_templates"] == {"issue": {"badge": "execute", "token": "execute"}}
        assert "  issue: execute for badge, execute for token" in say(folder, "roles", "list")
        code, preset = run(folder, "roles", "edit", "normal", "--set", "delete=execute", *WHY)
        assert (code, preset["edited"]) == (0, True)

    with serving(folder):
        _, listed = run(folder, "roles", "list")
        assert listed["roles"][-1] == {key: value for key, value in edited.items() if key != "ok"}
        code, reset = run(folder, "roles", "reset", "normal", *WHY)
        assert (code, reset["edited"], reset["permissions"]["delete"]) == (0, False, "view")
        assert run(folder, "roles", "delete", "helpdesk", *WHY)[0] == 0
        assert len(run(folder, "roles", "list")[1]["roles"]) == len(PRESETS)


def test_what_cannot_be_is_refused(folder: Path) -> None:
    with serving(folder):
        for words in INVALID:
            code, refused = run(folder, *words)
            assert (code, refused["error"]) == (1, "invalid-request"), words
        for words in WRONG_USAGE:
            code, refused = run(folder, *words)
            assert (code, refused["error"]) == (2, "usage"), words
        code, nobody = run(folder, "operators", "list")
        assert (code, nobody["operators"]) == (0, [])


def test_operators_get_roles_and_are_let_in_or_not(folder: Path) -> None:
    hire(folder)
    with serving(folder):
        code, listed = run(folder, "operators", "list")
        assert (code, [each["name"] for each in listed["operators"]]) == (0, ["Berg", "Root"])
        berg = listed["operators"][0]
        assert (berg["state"], berg["roles"], berg["keys"], berg["usable_keys"]) == ("active", [], 0, 0)
        assert (berg["failed_logons"], berg["last_logon_at"]) == (2, None)
        code, given = run(folder, "operators", "roles", "Berg", "restricted", "normal", *WHY)
        assert (code, given["roles"]) == (0, ["normal", "restricted"])
        code, off = run(folder, "operators", "deactivate", berg["id"], *WHY)
        assert (code, off["state"]) == (0, "inactive")
        code, on = run(folder, "operators", "activate", "Berg", *WHY)
        assert (code, on["state"], on["failed_logons"]) == (0, "active", 0)
        code, none = run(folder, "operators", "roles", "Berg", "--none", *WHY)
        assert (code, none["roles"]) == (0, [])
        for words in (["deactivate", "Root"], ["roles", "Root", "normal"]):
            code, refused = run(folder, "operators", *words, *WHY)
            assert (code, refused["error"]) == (3, "not-allowed")
        berg_line, root_line = say(folder, "operators", "list")
        assert berg_line == "Berg  active  no role               0 of 0 keys  never logged on"
        assert root_line.startswith("Root  active  system-administrator  1 of 1 keys  last ")
        assert root_line.endswith("now at office")
        (folder / "session").unlink()
        code, refused = run(folder, "operators", "activate", "Berg", *WHY)
        assert (code, refused["error"]) == (3, "logon-needed")
        code, refused = run(folder, "operators", "list", f"--session={folder / 'nobody'}")
        assert (code, refused["error"]) == (2, "config-missing")
