"""What the headless commands do; `kiosk.cli` prints what they return.

Each reads the settings, opens a station, does one thing, and closes it. What a person sees meanwhile goes to
standard error.
"""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kiosk.backend.first_start import GrpcFirstStart
from kiosk.backend.identity import load_identity
from kiosk.backend.joining import join as join_server
from kiosk.backend.operators import GrpcOperators
from kiosk.backend.renewal import due_at
from kiosk.devices.paper import LpPaper
from kiosk.session_file import KeptSession, lent
from kiosk.settings import Settings, read_settings
from kiosk.station import doctor as checks
from kiosk.station.first_start import FirstStart
from kiosk.station.inbox import ApprovalInbox
from kiosk.station.manned import MannedStation
from kiosk.wiring import Parts, open_readers, open_station
from shared import logs
from shared.clock import SystemClock
from shared.display import visible_lines
from shared.errors import KioskError
from shared.station_profile import Face


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a command found: for people, for programs, and as an exit code."""

    lines: Sequence[str]
    document: dict[str, Any]
    exit_code: int = 0


def say(text: str) -> None:
    """Tell the person at the terminal."""
    sys.stderr.write(f"{visible_lines(text)}\n")
    sys.stderr.flush()


@asynccontextmanager
async def opened(config: Path | None) -> AsyncIterator[Parts]:
    """Read the settings, begin to log, and open the station."""
    settings = settings_of(config)
    parts = await open_station(settings, SystemClock())
    try:
        async with lent(KeptSession(settings.station.state_folder), parts.backend) as bound:
            await parts.core.start()
            yield replace(parts, bound=bound)
    finally:
        await parts.core.close()


def settings_of(config: Path | None) -> Settings:
    """Read the settings and begin to log."""
    settings = read_settings(config)
    logs.set_up(settings.log)
    return settings


# --- kiosk join, doctor, desk ---------------------------------------------------------------------------


async def join(config: Path | None, token: str) -> Result:
    """Enrol this machine."""
    settings = settings_of(config)
    name = settings.station.name or socket.gethostname()
    identity = await join_server(token, settings.station.state_folder, name)
    until = f"{identity.not_after:%Y-%m-%d}"
    return Result(
        lines=[f"This machine is now the station {identity.name} of {identity.server}, until {until}."],
        document={
            "ok": True,
            "station": identity.name,
            "station_id": str(identity.station_id),
            "server": identity.server,
            "certificate_until": identity.not_after.isoformat(),
        },
    )


async def doctor(config: Path | None) -> Result:
    """Check everything that can be checked without a card."""
    table: list[checks.Check] = []
    try:
        settings = settings_of(config)
    except KioskError as error:
        return _table([checks.failed("settings", error)])
    table.append(checks.passed("settings", str(settings.file)))
    clock = SystemClock()
    try:
        identity = load_identity(settings.station.state_folder, clock)
    except KioskError as error:
        table.append(checks.failed("certificate", error))
        table.append(await _readers_alone(settings))
        return _table(table)
    table.append(
        checks.check_certificate(
            identity.name, not_after=identity.not_after, renewed_from=due_at(identity), clock=clock
        )
    )
    try:
        parts = await open_station(settings, clock)
    except KioskError as error:
        table.append(checks.failed("readers", error))
        return _table(table)
    try:
        table += await checks.check_server(parts.backend, clock)
        table.append(await checks.check_templates(parts.backend))
        table.append(await checks.check_readers(parts.readers))
    finally:
        await parts.core.close()
    return _table(table)


async def _readers_alone(settings: Settings) -> checks.Check:
    try:
        readers, _ = await open_readers(settings)
    except KioskError as error:
        return checks.failed("readers", error)
    try:
        return await checks.check_readers(readers)
    finally:
        await readers.close()


def _table(table: Sequence[checks.Check]) -> Result:
    code = checks.exit_code(table)
    return Result(
        lines=[f"{check.verdict:<8} {check.name:<12} {check.text}" for check in table],
        document={
            "ok": code == 0,
            "checks": [
                {"name": check.name, "verdict": check.verdict.value, "text": check.text} for check in table
            ],
        },
        exit_code=code,
    )


async def desk(config: Path | None) -> int:
    """Open the desk and return its exit code; its log goes to the file alone, because the screen is the desk's."""
    from kiosk.tui.app import DeskApp  # noqa: PLC0415  # without a screen, no screen library

    settings = read_settings(config)
    logs.set_up(settings.log, stream=None)
    clock = SystemClock()
    parts = await open_station(settings, clock, Face.DESK)
    station = MannedStation(parts.core, parts.logon)
    inbox = ApprovalInbox(parts.readers, parts.approvals, parts.logon, clock)
    try:
        await station.start()
        await inbox.start()
        app = DeskApp(
            station=station,
            logons=station,
            first_start=FirstStart(station, GrpcFirstStart(parts.backend)),
            inbox=inbox,
            colleagues=GrpcOperators(parts.backend),
            virtual=parts.virtual,
            paper=LpPaper(),
            title=parts.name,
        )
        # without a terminal nobody is there: the session ends, and what runs stops as if somebody quit
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, app.exit)
        await app.run_async()
        return app.return_code or 0
    finally:
        await inbox.close()
        await station.close()
