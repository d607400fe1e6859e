"""What a station that was taken over cannot do to the server: fill its memory, or its record."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import pytest

from server.operations import engine as engine_module
from shared import errors
from shared.credential.model import StationId
from shared.relay import Begin, Failed, OperationKind, ServerTurn, StationTurn
from tests.scenario.lab import Lab

BEGIN = Begin(operation=OperationKind.CHANGE_PIN, reader="1", virtual=True)


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    made = await Lab.start()
    yield made
    await made.station.close()


class Stream:
    """A station that begins, and then says nothing until it is let go."""

    def __init__(self, begin: Begin | None = BEGIN) -> None:
        self.heard: list[ServerTurn] = []
        self.began, self.end = asyncio.Event(), asyncio.Event()
        self._begin = begin

    async def send(self, turn: ServerTurn) -> None:
        self.heard.append(turn)
        self.began.set()

    async def receive(self) -> StationTurn:
        begin, self._begin = self._begin, None
        if begin is not None:
            return begin
        await self.end.wait()
        raise errors.ConnectionLost


async def test_a_station_runs_only_so_many_operations_at_once(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "AT_ONCE", 2)
    caller = lab.backend._caller
    held = [Stream(), Stream()]
    running = [asyncio.create_task(lab.engine.run(caller, stream)) for stream in held]
    for stream in held:
        await stream.began.wait()
    more = Stream()
    await lab.engine.run(caller, more)
    (failed,) = more.heard
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, errors.TooManyAttempts)
    other = Stream()
    other.end.set()
    await lab.engine.run(replace(caller, station_id=StationId(uuid4())), other)
    assert not any(
        isinstance(turn, Failed) and turn.error.code == "too-many-attempts" for turn in other.heard
    )
    for stream in held:
        stream.end.set()
    await asyncio.gather(*running)
    again = Stream()
    again.end.set()
    await lab.engine.run(caller, again)
    assert len(again.heard) > 1, "what ended counts no more"


async def test_a_stream_without_an_operation_ends(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "FIRST_WORD_S", 0.02)
    with pytest.raises(errors.ConnectionLost):
        async with asyncio.timeout(5):
            await lab.engine.run(lab.backend._caller, Stream(begin=None))


async def test_refusals_without_end_do_not_fill_the_record(lab: Lab) -> None:
    caller = replace(lab.backend._caller, lab=False)
    before = len(await lab.store.audit.page(0, 10_000))
    for _ in range(300):
        await lab.engine.run(caller, Stream())
    kept = len(await lab.store.audit.page(0, 10_000)) - before
    assert engine_module.REFUSALS.burst <= kept < 150
