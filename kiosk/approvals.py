"""`kiosk approvals`: ask a second person, see who asks, approve with one's own card, decline."""

from dataclasses import replace
from pathlib import Path
from typing import Final
from uuid import UUID

from kiosk.asking import shown
from kiosk.commands import Result, opened, say
from kiosk.credentials import one_credential
from kiosk.operate import Given, one_holder, one_reader
from kiosk.station.approving import approve as approve_here
from kiosk.wiring import Parts
from shared import approval_words
from shared.approvals import ApprovalWish
from shared.clock import SystemClock
from shared.credential.approval import WAY_OF
from shared.credential.lifecycle import OperationKind

UNBLOCK: Final = OperationKind.UNBLOCK
REVOKE: Final = OperationKind.REVOKE
_OPERATION_OF: Final = {way: operation for operation, way in WAY_OF.items() if way is not None}


async def request(config: Path | None, wish: ApprovalWish) -> Result:
    """Ask for approvals; holder and credentials may be words that find just one.

    Raises:
        UnknownHolder, UnknownCard, Invalid: none is found, or several.
        KioskError: the server's own.
    """
    async with opened(config) as parts:
        if wish.holder:
            wish = replace(wish, holder=await one_holder(parts.backend, wish.holder, wish.template))
        if wish.card:
            wish = replace(wish, card=await _one(parts, wish.card, _OPERATION_OF.get(wish.way, UNBLOCK)))
        if wish.replaces:
            wish = replace(wish, replaces=await _one(parts, wish.replaces, REVOKE))
        if wish.primary:
            wish = replace(wish, primary=await _one(parts, wish.primary, REVOKE))
        return shown(await parts.approvals.request_approval(wish))


async def _one(parts: Parts, wanted: str, operation: OperationKind) -> str:
    one = await one_credential(parts.core, wanted, operation)
    return str(one.credential_id or one.record_id)


async def waiting(config: Path | None) -> Result:
    """List what waits: what whoever is logged on may approve, and what they asked for."""
    async with opened(config) as parts:
        views = await parts.approvals.approvals()
    lines = [approval_words.summary(view) for view in views] or ["Nothing waits for an approval."]
    return Result(
        lines=lines, document={"ok": True, "approvals": [approval_words.document(view) for view in views]}
    )


async def show(config: Path | None, request_id: UUID) -> Result:
    """Say all that whoever approves has to know."""
    async with opened(config) as parts:
        return shown(await parts.approvals.approval(request_id))


async def approve(config: Path | None, request_id: UUID, reader: str, given: Given) -> Result:
    """Show what is asked for, and have the card in `reader` approve just that; its PIN is the consent.

    Raises:
        KioskError: as `kiosk.station.approving.approve`.
    """
    async with opened(config) as parts:
        line = parts.approvals
        seen = await line.approval(request_id)
        for each in approval_words.lines(seen):
            say(each)
        name = await one_reader(parts, reader)
        return shown(await approve_here(parts.readers, line, seen, name, given.person, SystemClock()))


async def decline(config: Path | None, request_id: UUID, why: str) -> Result:
    """Decline a request for good."""
    async with opened(config) as parts:
        return shown(await parts.approvals.decline(request_id, why))


async def withdraw(config: Path | None, request_id: UUID) -> Result:
    """Take back one's own request."""
    async with opened(config) as parts:
        return shown(await parts.approvals.withdraw(request_id))
