"""Credentials whose cards are not here: `kiosk credentials`, and decisions of `kiosk do` without a card."""

from pathlib import Path
from typing import Any, Final

from kiosk.commands import Result, opened
from kiosk.station import wording
from kiosk.station.faces import Station
from kiosk.touch import with_touch
from shared import errors
from shared.credential.lifecycle import OperationKind, reachable
from shared.credentials import CredentialView

LIMIT: Final = 50
FOUND_MAX: Final = 5


async def credentials(config: Path | None, text: str) -> Result:
    """List credentials by a part of their holders' names, by a holder's id, or by their own."""
    async with opened(config) as parts:
        found = await parts.core.find_credentials(text, LIMIT)
    lines = [line for each in found.credentials for line in _lines(each)]
    if not lines:
        lines = ["No credential is found."]
    if found.more:
        lines.append("There are more: give more of the name.")
    return Result(
        lines=lines,
        document={
            "ok": True,
            "credentials": [_document(each) for each in found.credentials],
            "more": found.more,
        },
    )


async def decide(config: Path | None, operation: OperationKind, wanted: str, reason: str) -> Result:
    """Decide about the one credential that `wanted` means: its id, its holder's id, or words that find just one.

    Raises:
        UnknownHolder, Invalid: none is found, or several.
    """
    async with opened(config) as parts:
        one = await one_credential(parts.core, wanted, operation)
        decided = await with_touch(parts, lambda: parts.core.decide(one.record_id, operation, reason))
    waiting = int(decided.facts.get("waiting", 0))
    lines = [
        wording.done(operation),
        *wording.followed(decided.facts),
        *([wording.waiting(waiting)] if waiting else []),
    ]
    return Result(
        lines=lines,
        document={
            "ok": True,
            "operation": operation.value,
            "credential": None if one.credential_id is None else str(one.credential_id),
            "card": str(one.record_id),
            "state": decided.state.value,
            "error": None,
            "facts": decided.facts,
            "message": lines[0],
        },
    )


async def one_credential(station: Station, wanted: str, operation: OperationKind) -> CredentialView:
    """Return the one credential that `wanted` means: its id, its holder's id, or words that find just one.

    Where several are found, those count that `operation` may be done to.

    Raises:
        UnknownHolder: nothing is found.
        Invalid: several credentials are found; the message names them.
    """
    found = (await station.find_credentials(wanted, FOUND_MAX)).credentials
    fitting = [each for each in found if operation in reachable(each.state)] or list(found)
    if not fitting:
        raise errors.UnknownHolder(holder=wanted)
    if len(fitting) > 1:
        names = "; ".join(f"{_name(each)}: {each.credential_id or each.record_id}" for each in fitting)
        raise errors.Invalid(field="credential", why=f"several are found, give the id of one. {names}")
    return fitting[0]


def _name(view: CredentialView) -> str:
    return " · ".join(part for part in (view.holder_name or view.holder, view.template_title) if part)


def _lines(view: CredentialView) -> list[str]:
    serial = "" if view.serial is None else f", serial {view.serial}"
    lines = [
        f"{_name(view)}",
        f"  {wording.state(view.state)}  {view.profile}{serial}",
        f"  {view.credential_id or view.record_id}",
    ]
    if view.ends_at:
        lines.append(f"  {wording.ends(view.ends_at)}")
    if view.waits_for_card:
        lines.append(f"  {wording.notice('carry-due')}")
    if view.waiting:
        lines.append(f"  {wording.waiting(view.waiting)}")
    if view.reachable:
        lines.append("  Possible without the card: " + ", ".join(map(wording.operation, view.reachable)))
    return lines


def _document(view: CredentialView) -> dict[str, Any]:
    return {
        "card": str(view.record_id),
        "credential": None if view.credential_id is None else str(view.credential_id),
        "state": view.state.value,
        "holder": view.holder,
        "holder_name": view.holder_name,
        "template": view.template or None,
        "template_version": view.template_version or None,
        "profile": view.profile,
        "serial": view.serial,
        "issued_at": view.issued_at or None,
        "since": view.since or None,
        "ends_at": view.ends_at or None,
        "reason": view.reason or None,
        "reachable": [kind.value for kind in view.reachable],
        "interrupted": None if view.interrupted is None else view.interrupted.value,
        "waits_for_card": view.waits_for_card,
        "waiting": view.waiting,
        "replaces": None if view.replaces is None else str(view.replaces),
        "primary": None if view.primary is None else str(view.primary),
    }
