"""`kiosk-server` as a program: one object on one line, sentences, exit codes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.serving import SETTINGS, TIMEOUT_S, write_secret

PROGRAM = [sys.executable, "-m", "server.cli"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_secret(tmp_path / "passphrase", "correct horse battery staple")
    path = tmp_path / "kiosk.toml"
    path.write_text(SETTINGS.format(listen=7443, joining=7444))
    return path


def ran(config: Path, *words: str) -> tuple[int, dict[str, Any], str]:
    """Run with `--json` behind the command; return exit code, document, standard error."""
    done = subprocess.run(
        [*PROGRAM, *words, "--json", "--config", str(config)],
        check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT_S,
    )  # fmt: skip
    assert done.stdout.count("\n") == 1, (done.stdout, done.stderr)
    return done.returncode, json.loads(done.stdout), done.stderr


@pytest.mark.parametrize("words", [("stations", "list"), ("doctor",), ("keys", "list")])
def test_no_server_runs(config: Path, words: tuple[str, ...]) -> None:
    code, document, said = ran(config, *words)
    assert (code, document["ok"], document["error"]) == (5, False, "server-unreachable")
    assert document["message"] == said.strip()
    assert said.endswith("does not answer (it does not run; “kiosk-server serve” starts it).\n")


@pytest.mark.parametrize(
    "words", [("stations", "lsit"), ("init", "--passphrase-fd", "x"), ("init", "--lab"), ()]
)
def test_wrong_usage_is_an_object_too(config: Path, words: tuple[str, ...]) -> None:
    code, document, said = ran(config, *words)
    assert (code, document["ok"], document["error"]) == (2, False, "usage")
    assert "Usage: " in said


def test_init_refuses_before_anything_is_made(config: Path) -> None:
    config.write_text(config.read_text().replace("allow-lab = true", "allow-lab = false"))
    code, document, said = ran(config, "init", "--station", "Desk 1", "--lab")
    assert (code, document["error"]) == (3, "not-allowed")
    assert said == "This is not allowed: a lab station, without allow-lab = true under [server].\n"
    assert not (config.parent / "server").exists()


def test_init_works_once(config: Path) -> None:
    code, document, _ = ran(config, "init", "--station", "Desk 1", "--lab")
    assert (code, document["ok"]) == (0, True)
    assert document["token"].startswith("kiosk-join-")
    before = (config.parent / "server" / "keys").read_bytes()
    code, document, said = ran(config, "init")
    assert (code, document["error"]) == (5, "store-conflict")
    assert said.startswith("It was changed or made already: ")
    assert (config.parent / "server" / "keys").read_bytes() == before


def test_nobody_is_there_to_be_asked(config: Path) -> None:
    config.write_text(config.read_text().replace('passphrase = "file:passphrase"', ""))
    code, document, said = ran(config, "init")
    assert (code, document["error"]) == (2, "config-missing")
    assert said == (
        "The setting server.key-store.passphrase is missing: nobody can be asked here; set it, or give "
        "--passphrase-fd.\n"
    )
