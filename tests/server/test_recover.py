"""`kiosk-server operators recover` as a program: a first start that is opened again."""

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from server import wiring
from server.ports.store import AuditRecord, PasscodeRecord, Store
from server.settings import read_settings
from shared.clock import SystemClock
from shared.secret import Secret
from tests.peers.ports import free_ports
from tests.server.store.examples import EVIDENCE, a_key, an_operator
from tests.serving import PASSPHRASE, TIMEOUT_S, command, prepare, serving

T = TypeVar("T")
PASSCODE = "correct horse battery"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    first = free_ports(2)
    prepare(tmp_path, ports=(first, first + 1), directory="", templates=[])
    return tmp_path


def recover(folder: Path, passcode: str = PASSCODE) -> tuple[int, dict[str, Any]]:
    path = folder / "new-passcode"
    path.write_text(passcode)
    with path.open() as file:
        argv = [*command(folder), "operators", "recover", f"--passcode-fd={file.fileno()}"]
        done = subprocess.run(
            argv, check=False, capture_output=True, text=True, timeout=TIMEOUT_S, pass_fds=[file.fileno()]
        )
    assert passcode not in done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout)


def on_record(folder: Path, work: Callable[[Store], Awaitable[T]]) -> T:
    """Look into the record of a server that does not run."""

    async def look() -> T:
        settings = read_settings(folder / "kiosk.toml").server
        parts = await wiring.open_parts(settings, Secret.from_text(PASSPHRASE), SystemClock())
        try:
            return await work(parts.store)
        finally:
            await parts.store.close()

    return asyncio.run(look())


async def hire(store: Store) -> None:
    await store.operators.add(an_operator(a_key(), name="Root"), EVIDENCE)


async def kept(store: Store) -> tuple[PasscodeRecord | None, list[AuditRecord], set[str]]:
    page = await store.audit.page(1, 1000)
    names = {each.ref.name for each in await store.templates.all_latest()}
    return await store.passcode.get(), [entry.record for entry in page], names


def test_it_opens_a_first_start_for_an_hour_and_is_on_record(folder: Path) -> None:
    on_record(folder, hire)
    code, document = recover(folder)
    assert (code, document["ok"], document["open_for_s"]) == (0, True, 3600)
    passcode, evidence, templates = on_record(folder, kept)
    assert passcode is not None
    assert passcode.expires_at is not None
    assert passcode.expires_at - passcode.made_at == timedelta(hours=1)
    assert evidence[-1].event == "first-start-opened-again"
    assert {"system-owner", "operator"} <= templates


def test_it_is_refused_while_the_server_runs(folder: Path) -> None:
    on_record(folder, hire)
    with serving(folder):
        code, document = recover(folder)
        assert (code, document["error"]) == (5, "store-unavailable")
    assert on_record(folder, kept)[0] is None


def test_it_is_refused_before_there_is_anybody_and_with_a_short_passcode(folder: Path) -> None:
    code, document = recover(folder)
    assert (code, document["error"]) == (1, "invalid-request")
    on_record(folder, hire)
    code, document = recover(folder, "short")
    assert (code, document["error"]) == (1, "invalid-request")
    assert on_record(folder, kept)[0] is None


def test_it_is_refused_without_the_passphrase(folder: Path) -> None:
    on_record(folder, hire)
    (folder / "passphrase").write_text("another one")
    code, document = recover(folder)
    assert document["error"] == "passphrase-rejected", code
