"""What `kiosk do issue --dry-run` does: ask the server what issuing would do, and show it. No card is changed.

The card in the reader is read as at its insertion and its description sent; with a profile there is no reader.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from kiosk.backend.client import GrpcBackend
from kiosk.commands import Result, settings_of
from kiosk.operate import one_holder, one_reader
from kiosk.session_file import KeptSession, lent
from kiosk.station import wording
from kiosk.station.cards import hints_for
from kiosk.station.converse import converse
from kiosk.wiring import Parts, open_line, open_station
from shared.clock import SystemClock
from shared.console import CardHints
from shared.piv.inspect import inspect
from shared.rehearsal import Rehearsal, RehearsalRequest, RehearsedCommand
from shared.relay import OperationKind

NOTHING_CHANGED: Final = "Dry run: nothing was changed."


async def rehearse_issue(
    config: Path | None, *, reader: str, profile: str, holder: str, template: str
) -> Result:
    """Say what issuing would do to the card in a reader, or to a new card of `profile`.

    Raises:
        NoReader, CardMissing, Invalid: there is no card to be meant, or several; likewise for the holder.
        KioskError: whatever issuing itself would be refused with; `CannotRehearse` where nobody can tell.
    """
    settings = settings_of(config)
    kept = KeptSession(settings.station.state_folder)
    if profile:
        line = open_line(settings, SystemClock())
        try:
            async with lent(kept, line):
                return await _ask(line, CardHints(profile=profile), "", holder, template)
        finally:
            await line.close()
    parts = await open_station(settings, SystemClock())
    try:
        async with lent(kept, parts.backend):
            reader = await one_reader(parts, reader)
            return await _ask(parts.backend, await _seen(parts, reader), reader, holder, template)
    finally:
        await parts.core.close()


async def _seen(parts: Parts, reader: str) -> CardHints:
    """Read the card in a reader, without changing anything."""
    virtual = {info.name: info.virtual for info in await parts.readers.all()}
    async with parts.readers.session(reader) as session:
        facts = await converse(inspect(), session)
    return hints_for(facts, virtual=virtual.get(reader, False))


async def _ask(line: GrpcBackend, card: CardHints, reader: str, holder: str, template: str) -> Result:
    found = await one_holder(line, holder, template)
    rehearsal = await line.rehearse_issue(RehearsalRequest(holder=found, template=template, card=card))
    return Result(lines=list(_lines(rehearsal)), document=_document(rehearsal, reader))


def _lines(rehearsal: Rehearsal) -> Iterator[str]:
    card = f"{rehearsal.product}, {'a new card' if rehearsal.new else 'a known card'}"
    yield NOTHING_CHANGED
    yield f"{rehearsal.holder_name} · {rehearsal.template_title} v{rehearsal.template_version} · {card}"
    yield "Steps"
    for step in rehearsal.steps:
        yield f"  {wording.step(step.line)}" + (f", {_time(step.expected_ms)}" if step.expected_ms else "")
    commands = [command for trip in rehearsal.round_trips for command in trip.commands]
    width = max((len(command.label) for command in commands), default=0)
    for number, trip in enumerate(rehearsal.round_trips, 1):
        yield f"Round trip {number}, {_time(trip.expected_ms)}"
        for command in trip.commands:
            yield f"  {_command(command, width)}"
    yield (
        f"{len(rehearsal.round_trips)} round trips, {rehearsal.commands} commands, "
        f"about {_time(rehearsal.expected_ms)} without what certificate authorities take"
    )


def _command(command: RehearsedCommand, width: int) -> str:
    if not command.header:
        return f"{'':11}  {command.label}"
    header = command.header.hex(" ").upper()
    sizes = f"data ≤ {command.data_max:<5} response ≤ {command.response_max}"
    return f"{header}  {command.label:<{width}}  {sizes}"


def _time(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.1f} s"


def _document(rehearsal: Rehearsal, reader: str) -> dict[str, Any]:
    return {
        "ok": True,
        "dry_run": True,
        "operation": OperationKind.ISSUE.value,
        "reader": reader or None,
        "profile": rehearsal.profile,
        "product": rehearsal.product,
        "new_card": rehearsal.new,
        "holder": rehearsal.holder,
        "holder_name": rehearsal.holder_name,
        "template": rehearsal.template,
        "template_title": rehearsal.template_title,
        "template_version": rehearsal.template_version,
        "steps": [
            {
                "key": step.line.key,
                "facts": step.line.facts,
                "text": wording.step(step.line),
                "expected_ms": step.expected_ms,
            }
            for step in rehearsal.steps
        ],
        "round_trips": [
            {
                "commands": [_command_document(command) for command in trip.commands],
                "expected_ms": trip.expected_ms,
            }
            for trip in rehearsal.round_trips
        ],
        "commands": rehearsal.commands,
        "expected_ms": rehearsal.expected_ms,
        "figures_ms": dict(rehearsal.figures),
    }


def _command_document(command: RehearsedCommand) -> dict[str, Any]:
    return {
        "header": command.header.hex().upper() or None,
        "label": command.label,
        "data_max": command.data_max,
        "response_max": command.response_max,
        "expected_ms": command.expected_ms,
    }
