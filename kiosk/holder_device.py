"""`kiosk log-on --holder --device`: the directory asks who it is on another device; here only a code is shown.

What is typed there, and what the directory answers, never comes to this machine.
"""

import asyncio
import io
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import qrcode
from qrcode.constants import ERROR_CORRECT_L

from kiosk.backend.self_service import GrpcSelfService
from kiosk.commands import Result, say, settings_of
from kiosk.holder import holder_result
from kiosk.log_on import log_off
from kiosk.session_file import KeptSession
from kiosk.station import wording
from kiosk.wiring import open_line
from shared import errors
from shared.clock import SystemClock
from shared.self_service import DeviceCode, HolderView

Sleep = Callable[[float], Awaitable[None]]
SLOWEST_S: Final = 60
"""How long the server is let alone at most after it could not say ([RFC 8628] 3.5)."""
BORDER: Final = 2
"""Modules of white around a picture; a camera wants four, and the terminal around it is the rest."""


async def log_on_by_device(config: Path | None, name: str, sleep: Sleep = asyncio.sleep) -> Result:
    """Log a holder on, who says so on another device; whoever stops waiting takes the code back. `sleep` waits so many seconds.

    Raises:
        HolderLogonRefused: the name means nobody, nobody finished it in time, or it was somebody else.
        TooManyAttempts, NotAllowed, ConnectorError: nobody is logged on; a session that there was is over.
    """
    await log_off(config)
    settings = settings_of(config)
    line = open_line(settings, SystemClock())
    try:
        session = await _logged_on(GrpcSelfService(line), name, sleep)
        assert line.token.value is not None  # a log-on that succeeded has one
        KeptSession(settings.station.state_folder).keep(line.token.value, holder=True)
    finally:
        await line.close()
    return holder_result(session)


async def _logged_on(line: GrpcSelfService, name: str, sleep: Sleep) -> HolderView:
    code = await line.begin_device(name)
    _show(code)
    try:
        return await _outcome(line, code, sleep)
    except BaseException:  # also when it is interrupted: nobody waits any more
        with suppress(errors.KioskError):
            await line.cancel_device(code.logon_id)
        raise


async def _outcome(line: GrpcSelfService, code: DeviceCode, sleep: Sleep) -> HolderView:
    """Ask until somebody has finished it, or it is over."""
    wait = code.interval_s
    while True:
        await sleep(wait)
        try:
            outcome = await line.ask_device(code.logon_id)
        except (errors.ConnectorUnreachable, errors.ConnectionLost):
            wait = min(2 * wait, SLOWEST_S)  # it is still there; how long is the server's to say
            continue
        if isinstance(outcome, HolderView):
            return outcome
        wait = outcome.interval_s


def _show(code: DeviceCode) -> None:
    """Say where to go and what to type there; with a picture where somebody looks."""
    if sys.stderr.isatty():
        for row in picture(code.whole_address or code.address):
            say(row)
    for text in wording.on_another_device(code):
        say(text)


def picture(address: str) -> list[str]:
    """Return an address as a QR code in lines of text, for terminals with a dark ground."""
    made = qrcode.QRCode(error_correction=ERROR_CORRECT_L, border=BORDER)
    made.add_data(address)
    drawn = io.StringIO()
    made.print_ascii(out=drawn, invert=True)
    return drawn.getvalue().rstrip("\n").split("\n")
