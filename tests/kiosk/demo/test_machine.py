"""The demo's server: what it does when its ports are taken, or when it cannot start at all."""

import socket
from contextlib import closing

import pytest

from kiosk.demo import machine as module
from kiosk.demo.machine import Machine
from shared import errors
from shared.clock import SystemClock


async def test_a_port_that_was_taken_meanwhile_is_chosen_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    choose = module._free_ports
    chosen: list[tuple[int, int]] = []
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        def ports() -> tuple[int, int]:
            chosen.append(choose() if chosen else (taken.getsockname()[1], choose()[1]))
            return chosen[-1]

        monkeypatch.setattr(module, "_free_ports", ports)
        machine = Machine(SystemClock(), people=1, seed=1)
        try:
            backend = await machine.start()
            assert (await backend.who_am_i()).lab
        finally:
            await machine.close()
    assert len(chosen) == 2
    assert machine.folder is not None
    assert not machine.folder.exists()


async def test_a_server_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONFIG", module.CONFIG.replace("allow-lab", "allow-labs"))
    machine = Machine(SystemClock(), people=1, seed=1)
    try:
        with pytest.raises(errors.ServerUnreachable) as refused:
            await machine.start()
    finally:
        await machine.close()
    assert "unknown key" in str(refused.value.facts["reason"])
