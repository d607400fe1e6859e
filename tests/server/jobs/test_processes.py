"""Jobs of a real server over a real database: killed in the middle, asked about, told what to do."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from server import wiring
from server.ports.ca import Issued, Names, SignRequest
from server.ports.store import (
    CertificateChanged,
    CertificateTaskAsked,
    Change,
    CredentialChanged,
    OperationClosed,
)
from server.settings import read_settings
from shared.clock import SystemClock
from shared.credential.model import (
    CardRecord,
    CertificateState,
    CertificateTask,
    RecordId,
    RequestId,
    State,
    StationId,
)
from tests.peers.ports import free_ports
from tests.scenario.templates import EMPLOYEE
from tests.server.store.examples import a_card, a_certificate, a_credential, a_task, an_opening
from tests.serving import REPOSITORY, TIMEOUT_S, command, prepare, serving

DIRECTORY = '[server.directory.people]\nkind = "file"\npath = "people.csv"\n'
PEOPLE = "id,name,user,upn,mail\n1001,Anna Berg,aberg,aberg@lab.test,aberg@lab.test\n"

T = TypeVar("T")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    first = free_ports(2)
    (tmp_path / "people.csv").write_text(PEOPLE)
    prepare(tmp_path, ports=(first, first + 1), directory=DIRECTORY, templates=[EMPLOYEE])
    return tmp_path


def with_parts(folder: Path, work: Callable[[wiring.Parts], Awaitable[T]]) -> T:
    """Do something with the server's record while it does not run."""

    async def run() -> T:
        settings = read_settings(folder / "kiosk.toml").server
        assert settings.key_store.passphrase is not None
        parts = await wiring.open_parts(settings, settings.key_store.passphrase, SystemClock())
        try:
            return await work(parts)
        finally:
            await parts.store.close()

    return asyncio.run(run())


async def revoked_card(parts: wiring.Parts, *, connections: tuple[str, ...]) -> RecordId:
    """Make a card whose credential was revoked, and whose authorities do not know it yet."""
    template = await parts.store.templates.latest("employee")
    assert template is not None
    card = a_card()
    changes: list[Change] = []
    for connection in connections:
        key = X25519PrivateKey.generate().public_key()
        certificate = a_certificate(
            connection=connection,
            public_key=key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            state=CertificateState.CONFIRMED,
        )
        request = SignRequest(
            request_id=certificate.request_id,
            profile="key-management",
            names=Names(subject="CN=Anna Berg,O=Example"),
            public_key=certificate.public_key,
            not_after=parts.clock.now() + timedelta(days=30),
        )
        (made,) = await parts.services.authorities[wiring.BUILT_IN].issue([request])
        assert isinstance(made, Issued)
        certificate = replace(certificate, certificate=made.certificate)
        now = parts.clock.now()
        task = a_task(card, certificate, asked_at=now, next_at=now + timedelta(hours=3))
        changes += [CertificateChanged(certificate=certificate), CertificateTaskAsked(task=task)]
    credential = a_credential(template=template.ref, state=State.REVOKED, holder_name="Anna Berg")
    opening = an_opening(
        card,
        StationId(uuid4()),
        *changes,
        CredentialChanged(credential=credential),
        OperationClosed(code="done"),
    )
    await parts.store.cards.open(replace(opening, template=template.ref))
    return card.record_id


async def waiting(parts: wiring.Parts) -> tuple[CertificateTask, ...]:
    return tuple(await parts.store.tasks.all())


def ask(folder: Path, *words: str) -> tuple[int, dict[str, Any]]:
    argv = [*command(folder), *words]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=TIMEOUT_S)
    return done.returncode, json.loads(done.stdout or "{}")


def until_tried(folder: Path) -> list[dict[str, Any]]:
    """Wait until the job has tried what waits; return what is left."""
    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end:
        _, jobs = ask(folder, "jobs", "list")
        job = next(each for each in jobs["jobs"] if each["name"] == "certificate-tasks")
        if job["last"] is not None and not job["running"]:
            return list(ask(folder, "tasks", "list")[1]["tasks"])
    raise AssertionError(jobs)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_server_that_is_killed_in_a_job_does_it_after_its_restart(folder: Path, moment: str) -> None:
    record_id = with_parts(folder, lambda parts: revoked_card(parts, connections=(wiring.BUILT_IN,)))
    argv = [sys.executable, "-m", "tests.server.jobs.victim", str(folder / "kiosk.toml"), moment]
    killed = subprocess.run(argv, cwd=REPOSITORY, check=False, capture_output=True, timeout=TIMEOUT_S)
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    (task,) = with_parts(folder, waiting)
    assert (task.record_id, task.attempts) == (record_id, 0)
    jobs = {job.name: job for job in with_parts(folder, lambda parts: parts.store.jobs.all())}
    assert jobs["certificate-tasks"].expires_at > SystemClock().now()  # the dead one has it still

    with serving(folder):
        assert until_tried(folder) == []
        code, said = ask(folder, "doctor")
        assert code == 0, said

    async def judge(parts: wiring.Parts) -> tuple[CardRecord | None, str, list[str]]:
        entry = await parts.store.ledger.by_request(task.request_id)
        assert entry is not None
        events = [each.record.event for each in await parts.store.audit.about(str(record_id))]
        return await parts.store.cards.card(record_id), entry.reason, events

    record, reason, events = with_parts(folder, judge)
    assert record is not None
    assert record.tasks == ()
    assert [each.state for each in record.certificates] == [CertificateState.REVOKED]
    assert (reason, events.count("certificate-revoked")) == ("superseded", 1)


def test_an_administrator_sees_what_waits_and_gives_up_what_cannot_be_done(folder: Path) -> None:
    record_id = with_parts(folder, lambda parts: revoked_card(parts, connections=("gone", wiring.BUILT_IN)))
    with serving(folder):
        (left,) = until_tried(folder)
        assert (left["card"], left["holder"], left["slot"]) == (str(record_id), "Anna Berg", "9C")
        assert (left["connection"], left["action"], left["reason"]) == ("gone", "revoke", "superseded")
        assert (left["state"], left["attempts"], left["failure"]) == (
            "waiting",
            1,
            "there is no such connection",
        )
        code, came = ask(folder, "tasks", "retry", "--connection", "gone")
        assert (code, came["ok"], came["done"], came["failed"]) == (5, False, 0, 1)
        code, refused = ask(folder, "tasks", "retry", "--connection", "nowhere")
        assert (code, refused["error"]) == (1, "invalid-request")
        code, refused = ask(folder, "tasks", "drop", str(RequestId(uuid4())), "--why", "gone")
        assert (code, refused["error"]) == (1, "invalid-request")
        code, dropped = ask(folder, "tasks", "drop", left["request"], "--why", "It was switched off in May.")
        assert (code, dropped["state"], dropped["next"]) == (0, "given-up", None)
        code, listed = ask(folder, "tasks", "list")
        assert (code, listed["total"]) == (0, 1)
        assert listed["tasks"][0]["failure"] == "It was switched off in May."
        code, came = ask(folder, "tasks", "retry")
        assert (code, came["done"], came["failed"]) == (0, 0, 0)
        text = subprocess.run(
            [*command(folder)[:-1], "tasks", "list"], check=True, capture_output=True, text=True
        ).stdout
        assert "revoke 9C of Anna Berg" in text
        code, said = ask(folder, "doctor")
        assert code == 0
        checks = {check["name"]: check for check in said["checks"]}
        assert checks["certificate-tasks"]["facts"] == {"waiting": 0, "given-up": 1}
        assert {name for name in checks if name.startswith("job:")} == {
            "job:certificate-tasks",
            "job:credentials",
            "job:leavers",
            "job:orphans",
            "job:renewal",
            "job:succession",
            "job:temporary",
            "job:write-backs",
        }


def test_jobs_and_tasks_need_a_running_server(folder: Path) -> None:
    for words in (("tasks", "list"), ("tasks", "retry"), ("jobs", "list")):
        code, refused = ask(folder, *words)
        assert (code, refused["error"]) == (5, "server-unreachable")
