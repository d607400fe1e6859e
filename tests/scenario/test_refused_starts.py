"""A server that must not start says why, on one line, and leaves everything as it is."""

import asyncio
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from server.settings import read_settings
from server.wiring import open_parts
from shared import wording
from shared.clock import SystemClock
from shared.errors import KioskError
from shared.secret import Secret
from tests.scenario.installation import Installation
from tests.serving import PASSPHRASE, REPOSITORY, command, write_secret

Change = Callable[[Path], object]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    installation = Installation(tmp_path_factory.mktemp("server"))
    installation.make()
    return installation


@pytest.fixture
def copy(made: Installation, tmp_path: Path) -> Path:
    """Return a copy of everything, to be spoilt."""
    folder = tmp_path / "copy"
    shutil.copytree(made.folder, folder, ignore=shutil.ignore_patterns("*.sock"))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file; what SQLite keeps beside the database while it is open does not count."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in {"store.db-wal", "store.db-shm", "server.lock", "server.log"}
    }


@dataclass(frozen=True)
class Ended:
    code: int
    error: dict[str, Any]
    said: str

    @property
    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = self.error["facts"]
        return found


async def serve(folder: Path, *words: str) -> Ended:
    """Call `kiosk-server`; it must end by itself, without a traceback."""
    process = await asyncio.create_subprocess_exec(
        *command(folder),
        *(words or ("serve", "--stop-on-eof")),
        cwd=REPOSITORY,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode is not None
    assert b"Traceback" not in err
    assert b"File " not in err
    return Ended(process.returncode, json.loads(out), err.decode().strip())


# --- through the command --------------------------------------------------------------------------------


async def test_a_wrong_passphrase(copy: Path) -> None:
    write_secret(copy / "passphrase", "correct horse battery stapler")
    before = contents(copy)
    ended = await serve(copy)
    assert (ended.code, ended.error["error"]) == (5, "passphrase-rejected")
    assert ended.said == "The key store does not open with this passphrase."
    assert contents(copy) == before


async def test_a_setting_that_is_not_known(copy: Path) -> None:
    file = copy / "kiosk.toml"
    file.write_text(file.read_text().replace("join-listen", "join-lissen"))
    ended = await serve(copy)
    assert ended.code == 2
    assert ended.error["error"] == "config-invalid"
    assert (ended.facts["line"], ended.facts["nearest"]) == (6, "join-listen")
    assert ended.said == (
        f"The configuration is wrong in {file}, line 6: server.join-lissen: unknown key. "
        "Did you mean “join-listen”?"
    )


async def test_a_server_that_runs_already(made: Installation, copy: Path, tmp_path: Path) -> None:
    """The same folder, the same folder under another configuration, and the same port with another folder."""
    made.start()
    try:
        other = tmp_path / "other"
        other.mkdir()
        settings = (made.folder / "kiosk.toml").read_text()
        write_secret(other / "passphrase", PASSPHRASE)
        (other / "kiosk.toml").write_text(
            settings.replace('"server"', f'"{made.folder}/server"\nadmin-socket = "admin/socket"')
            .replace("127.0.0.1:", "127.0.0.2:")
            .replace('"people.csv"', f'"{made.folder}/people.csv"')
        )
        same, again, port = await asyncio.gather(serve(made.folder), serve(other), serve(copy))
    finally:
        made.stop()
    for ended in (same, again):
        assert (ended.code, ended.error["error"]) == (5, "store-unavailable")
        assert ended.said == f"The record cannot be opened: another server uses {made.folder}/server."
    assert (port.code, port.error["error"]) == (2, "config-invalid")
    assert "cannot listen there" in port.said


async def test_a_second_init_overwrites_nothing(made: Installation) -> None:
    before = contents(made.folder)
    ended = await serve(made.folder, "init")
    assert (ended.code, ended.error["error"]) == (5, "store-conflict")
    assert contents(made.folder) == before


async def test_administration_without_a_server(made: Installation) -> None:
    for words in (["doctor"], ["stations", "token", "desk"]):
        ended = await serve(made.folder, *words)
        assert (ended.code, ended.error["error"]) == (5, "server-unreachable")
        assert ended.said.endswith(
            "admin.sock does not answer (it does not run; “kiosk-server serve” starts it)."
        )


# --- damaged files --------------------------------------------------------------------------------------


def halved(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def altered(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("name", "change", "code", "words"),
    [
        ("server/keys", halved, "key-store-damaged", "The key store's file is damaged"),
        ("server/keys", altered, "key-store-damaged", "The key store's file is damaged"),
        ("server/keys", emptied, "key-store-damaged", "not a key store"),
        ("server/keys", gone, "config-missing", "server/keys"),
        ("server/store.db", halved, "store-unavailable", "The record cannot be opened"),
        ("server/store.db", emptied, "store-unavailable", "The record cannot be opened"),
        ("server/store.db", gone, "store-unavailable", "no such file"),
        ("server/certificates/issuing.der", halved, "config-invalid", "not a certificate, or damaged"),
        ("server/certificates/root.der", halved, "config-invalid", "not a certificate, or damaged"),
        ("server/certificates/content-signing.der", emptied, "config-invalid", "content-signing.der"),
        ("server/certificates/server.der", gone, "config-missing", "server.der"),
        (
            "server/certificates/server-key.sealed",
            altered,
            "key-store-damaged",
            "The key store's file is damaged",
        ),
        ("people.csv", emptied, "config-invalid", "people.csv"),
        ("people.csv", gone, "config-missing", "people.csv"),
    ],
)
async def test_a_damaged_file(copy: Path, name: str, change: Change, code: str, words: str) -> None:
    change(copy / name)
    before = contents(copy)
    settings = read_settings(copy / "kiosk.toml").server
    with pytest.raises(KioskError) as refused:
        await open_parts(settings, Secret.from_text(PASSPHRASE), SystemClock())
    assert refused.value.code == code
    sentence = wording.failure(refused.value)
    assert words in sentence
    assert "…" not in sentence
    assert contents(copy) == before


async def test_a_database_of_another_key_store(copy: Path, tmp_path: Path) -> None:
    """The passphrase fits, the keys are others: a restored backup that was mixed up."""
    stranger = Installation(tmp_path / "stranger")
    stranger.folder.mkdir()
    await asyncio.to_thread(stranger.make)
    shutil.copy(stranger.folder / "server" / "keys", copy / "server" / "keys")
    with pytest.raises(KioskError, match="wrong key or damaged file") as refused:
        await open_parts(
            read_settings(copy / "kiosk.toml").server, Secret.from_text(PASSPHRASE), SystemClock()
        )
    assert refused.value.code == "store-unavailable"


async def test_standard_input_that_never_ends(copy: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *command(copy),
        "serve",
        "--stop-on-eof",
        cwd=REPOSITORY,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert err.decode() == ("The configuration is wrong: --stop-on-eof: standard input is not a pipe.\n")
