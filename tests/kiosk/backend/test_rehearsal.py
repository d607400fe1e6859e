"""A dry run over loopback with real TLS."""

import pytest

from kiosk.backend.client import GrpcBackend
from shared import errors
from shared.console import CardHints
from shared.rehearsal import RehearsalRequest
from tests.server.rpc.world import REHEARSAL, World

REQUEST = RehearsalRequest(holder="42", template="badge", card=CardHints(profile="yubikey-5.7", serial=20114))


async def test_a_dry_run_is_asked_for_and_answered(world: World) -> None:
    backend = GrpcBackend(await world.lab_station(), world.clock)
    try:
        assert await backend.rehearse_issue(REQUEST) == REHEARSAL
        assert world.rehearsals.asked == [REQUEST]
        world.rehearsals.failure = errors.CannotRehearse(why="it was cut")
        with pytest.raises(errors.CannotRehearse, match="it was cut"):
            await backend.rehearse_issue(REQUEST)
    finally:
        await backend.close()
