"""Unblocking at a distance, headless: codes for a holder whose card is not here, and what the holder does with them."""

import os
from pathlib import Path
from typing import Final

from kiosk.commands import Result, opened, say
from kiosk.credentials import one_credential
from kiosk.operate import Given
from kiosk.ports import Readers
from kiosk.settings import read_settings
from kiosk.station import wording
from kiosk.station.alone import unblock_alone
from kiosk.station.persons import read_masked
from kiosk.touch import with_touch
from kiosk.wiring import open_readers
from shared import errors, logs
from shared.credential.lifecycle import OperationKind
from shared.secret import Secret

CODE_MAX: Final = 64
"""Bytes of a code from a script."""


async def read_out(config: Path | None, wanted: str) -> Result:
    """Tell the code to read out to the holder of a card that is not here."""
    async with opened(config) as parts:
        one = await one_credential(parts.core, wanted, OperationKind.UNBLOCK)
        shown = await with_touch(parts, lambda: parts.core.read_out(one.record_id))
    code = shown.code.reveal().decode()
    return Result(
        lines=[code, wording.READ_OUT],
        document={"ok": True, "card": str(one.record_id), "code": code, "message": wording.READ_OUT},
    )


async def make_unblock_code(config: Path | None, wanted: str) -> Result:
    """Make a code with which the holder unblocks the card at a station, once."""
    async with opened(config) as parts:
        one = await one_credential(parts.core, wanted, OperationKind.UNBLOCK)
        shown = await with_touch(parts, lambda: parts.core.make_unblock_code(one.record_id))
    code = shown.code.reveal().decode()
    return Result(
        lines=[code, wording.unblock_code(shown.expires_at)],
        document={
            "ok": True,
            "card": str(one.record_id),
            "code": code,
            "expires_at": shown.expires_at,
            "message": wording.unblock_code(shown.expires_at),
        },
    )


def take_code(code_fd: int | None) -> Secret:
    """Return a code: from a script's file descriptor, or typed at the terminal.

    Raises:
        Cancelled: none was given.
    """
    if code_fd is None:
        typed = read_masked("The code: ")
        if typed is None:
            raise errors.Cancelled(question="code")
        return typed
    with os.fdopen(code_fd, "rb", closefd=False) as given:
        text = given.readline(CODE_MAX).strip()
    if not text:
        raise errors.Cancelled(question="code")
    return Secret(text)


async def unblock_here(config: Path | None, reader: str, code: Secret, given: Given) -> Result:
    """Set a new PIN with a code that was read out; no server is asked."""
    settings = read_settings(config)
    logs.set_up(settings.log)
    readers, _ = await open_readers(settings)
    try:
        name = await _one_reader(readers, reader)
        await unblock_alone(readers, name, code, given.person)
    finally:
        await readers.close()
    line = wording.done(OperationKind.UNBLOCK)
    say(wording.UNBLOCKED_ALONE)
    return Result(
        lines=[line],
        document={
            "ok": True,
            "operation": OperationKind.UNBLOCK.value,
            "reader": name,
            "error": None,
            "message": line,
        },
    )


async def _one_reader(readers: Readers, wanted: str) -> str:
    """Return the reader that was named, or the only one.

    Raises:
        NoReader: there is none.
        Invalid: there are several.
    """
    names = [info.name for info in await readers.all()]
    if (wanted and wanted not in names) or not names:
        raise errors.NoReader(**({"reader": wanted} if wanted else {}))
    if not wanted and len(names) > 1:
        raise errors.Invalid(field="reader", why=f"there are several: {', '.join(names)}")
    return wanted or names[0]
