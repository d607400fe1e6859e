"""`kiosk demo`: everything on this machine, with a screen or without."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import click

from kiosk.backend.approvals import GrpcApprovals
from kiosk.backend.operators import GrpcOperators
from kiosk.demo.cards import OPERATORS_READER, desk_readers, reader_name
from kiosk.demo.headless import run as run_headless
from kiosk.demo.late import LateBackend
from kiosk.demo.machine import Machine
from kiosk.demo.operators import draw_passcode, draw_pin, first_start, hand_out
from kiosk.station.core import StationCore
from kiosk.station.inbox import ApprovalInbox
from kiosk.station.logon import Logon
from kiosk.station.manned import MannedStation
from shared import errors
from shared.clock import SystemClock

READERS: Final = 3
PEOPLE: Final = 200
PART_FAILED: Final = 6
MAX_READERS: Final = 32

R = TypeVar("R")


@click.command()
@click.option("--headless", is_flag=True, help="No screen: issue cards and print a summary.")
@click.option("--cards", type=click.IntRange(1, 100_000), default=8, show_default=True)
@click.option(
    "--readers",
    type=click.IntRange(1, MAX_READERS),
    default=READERS,
    show_default=True,
    help="At the desk one of them is the operator's.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Fixes people and serial numbers.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on one line.")
@click.pass_context
def demo(
    context: click.Context,
    headless: bool,  # noqa: FBT001  # click passes flags
    cards: int,
    readers: int,
    seed: int,
    as_json: bool,  # noqa: FBT001  # click passes flags
) -> None:
    """Try a whole desk: server, virtual readers and cards, sample people. Nothing is kept."""
    if not headless:
        sys.exit(_run(_desk(max(readers - 1, 1), seed)))  # one more is the operator's
    summary = _run(run_headless(SystemClock(), cards=cards, count=readers, seed=seed))
    if as_json or bool(getattr(context.find_root().obj, "as_json", False)):
        click.echo(json.dumps(summary, sort_keys=True))
    else:
        click.echo("\n".join(f"{key.replace('_', ' ')}: {value}" for key, value in summary.items()))
    if summary["failed"]:
        sys.exit(PART_FAILED)


def _run(work: Coroutine[Any, Any, R]) -> R:
    """Run to the end or to a signal; either way server and folder are gone afterwards.

    A terminal window that is closed sends SIGHUP.
    """

    async def stoppable() -> R:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            # a second signal must not end the tidying up
            loop.add_signal_handler(number, lambda: task.cancelling() or task.cancel())
        return await work

    try:
        return asyncio.run(stoppable())
    except asyncio.CancelledError:
        raise click.Abort from None


async def _desk(count: int, seed: int) -> int:
    """Open the desk at once, the server and its operators come behind it; return the exit code."""
    from kiosk.tui.app import DeskApp  # noqa: PLC0415  # without a screen, no screen library

    clock = SystemClock()
    passcode, pin = draw_passcode(), draw_pin()
    machine = Machine(clock, people=PEOPLE, seed=seed, passcode=passcode)
    late = LateBackend()
    readers = desk_readers(count, seed)
    logon = Logon(readers, late, clock)
    station = MannedStation(StationCore(readers, late, clock), logon)
    inbox = ApprovalInbox(readers, GrpcApprovals(late), logon, clock)
    for number, card in zip(range(1, count), readers.cards(), strict=False):
        await readers.insert(reader_name(number), card)

    async def start() -> None:
        try:
            backend = await machine.start()
            assert machine.identity is not None
            operator = machine.people[0]
            crew = await first_start(
                machine.identity, clock, passcode=passcode, pin=pin, holder=operator["id"]
            )
            await hand_out(readers, crew, operator["name"])
            late.arrive(backend)
        except errors.KioskError as failure:
            late.fail(failure)

    starting = asyncio.create_task(start())
    try:
        await station.start()
        await inbox.start()
        app = DeskApp(
            station=station,
            logons=station,
            inbox=inbox,
            colleagues=GrpcOperators(late),
            virtual=readers,
            banner=f"nothing is kept ▒ PIN of the operator's card: {pin}",
            title="Demo desk",
            operators_reader=OPERATORS_READER,
        )
        await app.run_async()
        return app.return_code or 0
    finally:
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
        await inbox.close()
        await station.close()
        await readers.close()
        await machine.close()
