"""Administration over the Unix socket, both ends."""

import stat
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import grpc
import pytest

from server.authority.presence import Presence
from server.authority.services import (
    AdminService,
    CarriedCard,
    Check,
    CompromisedStation,
    JobView,
    KeyGeneration,
    Retried,
    ServerStatus,
    StationView,
    TaskView,
    TemplateAction,
    TemplateLine,
    TemplateText,
    WaitingTasks,
)
from server.operations.lateness import Lateness
from server.ports.store import StationRecord, StationState
from server.rpc.admin import AdminClient
from server.rpc.server import Endpoint, bind_admin
from shared import errors
from shared.credential.model import (
    NEVER,
    CertificateAction,
    CertificateTask,
    RecordId,
    RequestId,
    State,
    StationId,
)
from shared.station_profile import Face, StationProfile
from tests.server.rpc.test_gate import knock
from tests.server.rpc.world import World, applications_of, operators_of

NOW = datetime(2026, 3, 1, 12, 30, 1, 250_000, tzinfo=UTC)
RECORD = StationRecord(
    station_id=StationId(uuid4()),
    name="Gate",
    fingerprint=bytes(32),
    lab=True,
    state=StationState.BLOCKED,
    joined_at=NOW,
    not_after=NOW + timedelta(days=700),
)
VIEW = StationView(
    station=RECORD,
    presence=Presence(last_seen_at=NOW, version="0.1.0", readers=2, faces=frozenset({Face.DESK, Face.CLI})),
)
COMPROMISED = CompromisedStation(
    station=replace(RECORD, state=StationState.COMPROMISED),
    cards=(
        CarriedCard(
            record_id=RecordId(uuid4()),
            at=NOW,
            serial=2**40,
            state=State.ACTIVE,
            holder="Bob",
            rotates_puk=True,
            rekeys=False,
        ),
        CarriedCard(
            record_id=RecordId(uuid4()),
            at=NOW,
            serial=None,
            state=State.DELETED,
            holder="",
            rotates_puk=False,
            rekeys=True,
        ),
    ),
)
STATUS = ServerStatus(
    server="Main",
    version="0.1.0",
    started_at=NOW,
    checks=(
        Check(subject="store", facts={"cards": 12}),
        Check(subject="directory:hr", error=errors.ConnectorUnreachable(connection="hr", reason="refused")),
    ),
)


GENERATIONS = (
    KeyGeneration(generation=1, created_at=NOW, cards=2**32 - 1),
    KeyGeneration(generation=2, created_at=NOW, why="Desk 3 was stolen", actor="admin"),
)

REVOCATION = TaskView(
    task=CertificateTask(
        request_id=RequestId(uuid4()),
        record_id=RecordId(uuid4()),
        connection="msca",
        action=CertificateAction.REVOKE,
        reason="keyCompromise",
        asked_at=NOW,
        next_at=NOW + timedelta(minutes=30),
        attempts=7,
        failure="no answer in time",
    ),
    lateness=Lateness.OVERDUE,
    slot="9A",
    holder="Bob Smith",
    serial=2**40,
)
GIVEN_UP = replace(
    REVOCATION,
    task=replace(REVOCATION.task, next_at=NEVER),
    lateness=Lateness.GIVEN_UP,
    holder="",
    serial=None,
)
WAITING = WaitingTasks(tasks=(REVOCATION, GIVEN_UP), total=2000)
JOBS = (
    JobView(name="orphans", every=timedelta(hours=1)),
    JobView(
        name="renewal",
        every=timedelta(hours=1),
        last_run_at=NOW,
        note="failed: store-unavailable",
        running=True,
        failed=True,
    ),
)


@dataclass(slots=True)
class Admin:
    """Answers the same every time and remembers what it was asked."""

    asked: list[object] = field(default_factory=list)

    async def create_token(self, name: str, *, lab: bool, valid_for: timedelta) -> str:
        self.asked.append((name, lab, valid_for))
        if not name:
            raise errors.Invalid(field="name", why="empty")
        return "kiosk-join-1.abc"

    async def stations(self) -> Sequence[StationView]:
        return (VIEW,)

    async def block_station(self, which: str, why: str) -> StationRecord:
        self.asked.append((which, why))
        return RECORD

    async def unblock_station(self, which: str, why: str) -> StationRecord:
        self.asked.append((which, why))
        return replace(RECORD, state=StationState.ACTIVE)

    async def compromise_station(self, which: str, why: str) -> CompromisedStation:
        self.asked.append((which, why))
        return COMPROMISED

    async def set_station_profile(self, which: str, profile: StationProfile, why: str) -> StationRecord:
        self.asked.append((which, why))
        return replace(RECORD, profile=profile)

    async def rename_station(self, which: str, name: str, why: str) -> StationRecord:
        self.asked.append((which, name, why))
        return replace(RECORD, name=name)

    async def plan_templates(self, texts: Sequence[TemplateText]) -> Sequence[TemplateLine]:
        self.asked.append(tuple(texts))
        return tuple(
            TemplateLine(
                source=text.source,
                name="badge",
                action=TemplateAction.REFUSE,
                from_version=2,
                problems=(errors.TemplateInvalid(line=3, why="unknown key", nearest="slots"),),
                warnings=("no place for a record id",),
            )
            for text in texts
        )

    async def apply_templates(self, texts: Sequence[TemplateText]) -> Sequence[TemplateLine]:
        return (
            TemplateLine(
                source=texts[0].source,
                name="badge",
                action=TemplateAction.UPDATE,
                from_version=2,
                to_version=3,
                changes=("- a", "+ b"),
            ),
        )

    async def status(self) -> ServerStatus:
        return STATUS

    async def key_generations(self) -> Sequence[KeyGeneration]:
        return GENERATIONS

    async def new_key_generation(self, why: str) -> KeyGeneration:
        self.asked.append(why)
        return GENERATIONS[-1]

    async def tasks(self) -> WaitingTasks:
        return WAITING

    async def retry_tasks(self, connection: str, *, given_up: bool) -> Retried:
        self.asked.append((connection, given_up))
        return Retried(done=3, failed=2, left=1)

    async def give_up_task(self, request_id: RequestId, why: str) -> TaskView:
        self.asked.append((request_id, why))
        return GIVEN_UP

    async def jobs(self) -> Sequence[JobView]:
        return JOBS


@dataclass(slots=True)
class Room:
    """A server with its socket."""

    path: Path
    admin: Admin
    endpoint: Endpoint
    client: AdminClient


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    path = tmp_path / "run" / "admin.sock"
    world = World()
    endpoint = bind_admin(path, access=world.access)
    admin = Admin()
    await endpoint.serve_admin(admin, operators_of(world), applications_of(world))
    async with AdminClient(path) as client:
        yield Room(path=path, admin=admin, endpoint=endpoint, client=client)
    await endpoint.stop(0)


async def test_both_ends_agree(room: Room) -> None:
    service: AdminService = room.client
    assert await service.create_token("Gate", lab=True, valid_for=timedelta(hours=2)) == "kiosk-join-1.abc"
    assert room.admin.asked == [("Gate", True, timedelta(hours=2))]
    assert await service.stations() == (VIEW,)
    assert await service.block_station("Gate", "stolen") == RECORD
    assert (await service.unblock_station("Gate", "found")).state is StationState.ACTIVE
    assert (await service.rename_station("Gate", "Door", "moved")).name == "Door"
    assert room.admin.asked[1:] == [("Gate", "stolen"), ("Gate", "found"), ("Gate", "Door", "moved")]
    room.admin.asked.clear()
    kiosk = StationProfile(faces=frozenset({Face.SELF_SERVICE}), templates=frozenset({"badge"}))
    assert await service.set_station_profile("Gate", kiosk, "for holders") == replace(RECORD, profile=kiosk)
    room.admin.asked.clear()
    assert await service.compromise_station("Gate", "stolen") == COMPROMISED
    assert room.admin.asked == [("Gate", "stolen")]
    room.admin.asked.clear()
    assert repr(await service.status()) == repr(STATUS)
    texts = (TemplateText(source="badge.toml", text='name = "bädge"'),)
    assert await service.apply_templates(texts) == await room.admin.apply_templates(texts)
    assert repr(await service.plan_templates(texts)) == repr(await room.admin.plan_templates(texts))
    assert room.admin.asked[0] == texts
    assert await service.key_generations() == GENERATIONS
    assert await service.new_key_generation("Desk 3 was stolen") == GENERATIONS[-1]
    assert room.admin.asked[-1:] == ["Desk 3 was stolen"]
    assert await service.tasks() == WAITING
    assert await service.retry_tasks("msca", given_up=True) == Retried(done=3, failed=2, left=1)
    request_id = REVOCATION.task.request_id
    assert await service.give_up_task(request_id, "the authority is gone") == GIVEN_UP
    assert room.admin.asked[-2:] == [("msca", True), (request_id, "the authority is gone")]
    assert await service.jobs() == JOBS


async def test_errors_arrive(room: Room) -> None:
    with pytest.raises(errors.Invalid) as caught:
        await room.client.create_token("", lab=False, valid_for=timedelta(hours=1))
    assert caught.value.facts == {"field": "name", "why": "empty"}
    with pytest.raises(errors.Invalid):
        await room.client.create_token("x", lab=False, valid_for=timedelta())
    with pytest.raises(errors.Invalid):
        await room.client.plan_templates(())
    with pytest.raises(errors.Invalid):
        await room.client.new_key_generation("x" * 5000)
    with pytest.raises(errors.Invalid):
        await room.client.give_up_task(REVOCATION.task.request_id, "x" * 5000)


async def test_only_the_owner_may_open_it(room: Room) -> None:
    assert stat.S_IMODE(room.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(room.path.parent.stat().st_mode) == 0o700


async def test_it_serves_administration_alone(room: Room) -> None:
    async with grpc.aio.insecure_channel(f"unix:{room.path}") as channel:
        for name in ("/kiosk.v1.Operations/Run", "/kiosk.v1.Stations/Join", "/grpc.health.v1.Health/Check"):
            assert await knock(channel, name) is grpc.StatusCode.UNIMPLEMENTED


async def test_a_socket_in_use_is_not_taken_over(room: Room) -> None:
    with pytest.raises(errors.ConfigInvalid, match="another server"):
        bind_admin(room.path, access=World().access)
    assert await room.client.stations() == (VIEW,)


async def test_a_socket_left_behind_is_replaced(room: Room) -> None:
    await room.endpoint.stop(0)
    room.path.touch()
    room.path.unlink()
    endpoint = bind_admin(room.path, access=World().access)
    await endpoint.serve_admin(room.admin, operators_of(World()), applications_of(World()))
    async with AdminClient(room.path) as client:
        assert await client.stations() == (VIEW,)
    await endpoint.stop(0)


async def test_no_server(tmp_path: Path) -> None:
    async with AdminClient(tmp_path / "admin.sock") as client:
        with pytest.raises(errors.ServerUnreachable) as caught:
            await client.stations()
    assert caught.value.facts["reason"] == "it does not run; “kiosk-server serve” starts it"
