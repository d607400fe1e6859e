"""What a station is for, enforced on the server, and what the server knows of who is there."""

from datetime import timedelta

import pytest

from kiosk.backend.client import GrpcBackend
from server.ports.store import AuditKind, StoredTemplate
from shared import errors
from shared.console import CardHints
from shared.credential.lifecycle import OperationKind
from shared.credential.model import TemplateRef
from shared.logon import LogonPurpose
from shared.relay import Begin, Done, ServerTurn
from shared.station_profile import EVERYTHING, Face, StationProfile
from tests.kiosk.backend.test_client import say
from tests.server.rpc.world import AUDIT, World

HINTS = CardHints(profile="yubikey-5.7", serial=20114)
BEGIN = Begin(operation=OperationKind.ISSUE, reader="Virtual 1", virtual=True)


async def line(world: World, face: Face) -> GrpcBackend:
    return GrpcBackend(await world.lab_station(), world.clock, face=face)


async def run(backend: GrpcBackend) -> list[ServerTurn]:
    return [turn async for turn in backend.operation(say(BEGIN))]


async def test_a_kiosk_of_holders_does_nothing_of_operators(world: World) -> None:
    backend = await line(world, Face.SELF_SERVICE)
    profile = StationProfile(faces=frozenset({Face.SELF_SERVICE}))
    await world.fleet.set_profile("Desk", profile, "in the hall", "admin")
    assert (await backend.who_am_i()).profile == profile
    with pytest.raises(errors.NotAllowed):
        await backend.find_people("b", 1)
    with pytest.raises(errors.NotAllowed):
        await backend.find_credentials("b", 1)
    await run(backend)
    (caller,) = (
        world.engine.callers
    )  # whom the engine refuses whatever it is asked (tests/scenario/test_station_profile.py)
    assert caller.principal is not None
    assert not any(caller.principal.permissions.anywhere(operation) for operation in OperationKind)
    await world.fleet.set_profile("Desk", EVERYTHING, "back at the counter", "admin")
    assert [type(turn) for turn in await run(backend)] == [Done]
    await backend.close()


async def test_what_is_refused_while_it_is_answered_is_evidence_too(world: World) -> None:
    backend = await line(world, Face.SELF_SERVICE)
    profile = StationProfile(faces=frozenset({Face.SELF_SERVICE}))
    await world.fleet.set_profile("Desk", profile, "in the hall", "admin")
    with pytest.raises(errors.NotAllowed):
        await backend.challenge(LogonPurpose.LOG_ON)
    entries = [each.record for each in await world.store.audit.page(0, 100)]
    (refused,) = [each for each in entries if each.kind is AuditKind.REFUSED]
    assert (refused.event, refused.subject) == ("not-allowed", "/kiosk.v1.Sessions/Challenge")
    await backend.close()


async def test_a_face_that_is_not_the_stations_gets_nothing(world: World) -> None:
    backend = await line(world, Face.CLI)
    await world.fleet.set_profile("Desk", StationProfile(faces=frozenset({Face.DESK})), "desk only", "admin")
    with pytest.raises(errors.NotAllowed) as refused:
        await backend.look_up(HINTS)
    assert refused.value.facts == {"what": "this face at this station"}
    with pytest.raises(errors.NotAllowed):
        await run(backend)
    assert (await backend.who_am_i()).station == "Desk"
    await backend.close()


async def test_the_face_that_is_named_works(world: World) -> None:
    backend = await line(world, Face.DESK)
    await world.fleet.set_profile("Desk", StationProfile(faces=frozenset({Face.DESK})), "desk only", "admin")
    assert (await backend.find_people("b", 1)).people
    await backend.close()


async def test_a_profile_takes_a_reason_and_templates_that_there_are(world: World) -> None:
    await world.register(world.pair())
    profile = StationProfile(templates=frozenset({"badge"}), default_template="badge")
    with pytest.raises(errors.Invalid, match="no template badge"):
        await world.fleet.set_profile("Desk", profile, "why", "admin")
    ref = TemplateRef(name="badge", version=1, digest=b"1" * 32)
    await world.store.templates.add(StoredTemplate(ref=ref, text="", applied_at=world.clock.now()), AUDIT)
    with pytest.raises(errors.Invalid):
        await world.fleet.set_profile("Desk", profile, " ", "admin")
    assert (await world.fleet.set_profile("Desk", profile, "badges only", "admin")).profile == profile


async def test_who_is_there_is_known_without_a_commit(world: World) -> None:
    backend = await line(world, Face.DESK)
    (view,) = await world.fleet.all()
    assert (view.presence.last_seen_at, view.presence.version) == (None, "")
    before = world.store.commits
    backend.readers = lambda: 3
    await backend.who_am_i()
    (view,) = await world.fleet.all()
    assert (view.presence.readers, view.presence.faces) == (3, frozenset({Face.DESK}))
    assert view.presence.version
    first = view.presence.last_seen_at
    assert first is not None
    world.clock.later = timedelta(minutes=1)
    await backend.find_people("b", 1)
    (view,) = await world.fleet.all()
    assert view.presence.last_seen_at is not None
    assert view.presence.last_seen_at - first >= timedelta(minutes=1)
    assert world.store.commits == before
    await backend.close()
