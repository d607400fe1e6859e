"""What `kiosk do` says without an operation: what may be done now, and the command line for it."""

import asyncio
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from kiosk.commands import Result, opened
from kiosk.station import wording
from kiosk.station.faces import ReaderView
from kiosk.station.offers import offered
from kiosk.station.relay import next_action_for
from shared import errors
from shared.console import CardView
from shared.relay import OperationKind

Commands = Mapping[str, click.Command]
"""The commands of `kiosk do` by the names of their operations."""
Operations = Sequence[Mapping[str, str]]
"""What is offered: name, command line, and a sentence."""

WHOSE: Final = frozenset({"holder", "template"})
"""Options of an issue that are left out only where another credential tells them."""


async def reachable_now(config: Path | None, commands: Commands) -> Result:
    """Read every card that is there, and say what may be done with it; the obvious operation stands first.

    Raises:
        NoReader: there is none.
    """
    async with opened(config) as parts:
        names = [info.name for info in await parts.readers.all()]
        if not names:
            raise errors.NoReader
        views = await asyncio.gather(*(parts.core.refresh(name) for name in names))
    return said_of(views, config, commands)


def said_of(views: Sequence[ReaderView], config: Path | None, commands: Commands) -> Result:
    """Say of every reader that is not empty what may be done with its card."""
    holding = [view for view in views if view.present or view.error is not None]
    code = next((view.error.exit_code for view in holding if view.error is not None), 0)
    lists = [(view, _operations(view, config, commands)) for view in holding]
    return Result(
        lines=_all_lines(lists) or [wording.failure(errors.CardMissing())],
        document={"ok": code == 0, "readers": [_document(view, operations) for view, operations in lists]},
        exit_code=code,
    )


def _operations(view: ReaderView, config: Path | None, commands: Commands) -> Operations:
    """Return the operations that are offered now, each with what to type and what it does."""
    record = view.record
    if record is None:
        return []
    return [
        {
            "operation": operation.value,
            "command": shlex.join(_words(operation, view.name, record, config, commands)),
            "sentence": " ".join((commands[operation.value].help or "").split()),
        }
        for operation in offered(view)
    ]


def _words(
    operation: OperationKind, reader: str, record: CardView, config: Path | None, commands: Commands
) -> Sequence[str]:
    """Return a command line; what only a person knows stands in it as a word in capitals."""
    known = {"reader": reader}
    if operation is record.interrupted and record.holder is not None:
        known |= {"holder": record.holder.holder, "template": record.template}
    words = ["kiosk", *(() if config is None else ("--config", str(config))), "do", operation.value]
    for parameter in commands[operation.value].params:
        name = parameter.name or ""
        if parameter.required or name == "reader" or (operation is OperationKind.ISSUE and name in WHOSE):
            words += [parameter.opts[0], known.get(name) or name.upper()]
    return words


def _all_lines(lists: Sequence[tuple[ReaderView, Operations]]) -> Sequence[str]:
    """Put an empty line between two readers."""
    return [
        line
        for number, (view, operations) in enumerate(lists)
        for line in (*(("",) if number else ()), *_lines(view, operations))
    ]


def _lines(view: ReaderView, operations: Operations) -> Sequence[str]:
    lines = [view.name + (" (virtual)" if view.virtual else "")]
    record = view.record
    if record is not None:
        lines.append(f"  {wording.state(record.state)}")
        if record.holder is not None:
            lines.append(f"  {record.holder.name} · {record.template_title} v{record.template_version}")
        if record.interrupted is not None:
            lines.append(f"  {wording.notice('interrupted')}")
        lines += [f"  {wording.notice(notice)}" for notice in record.notices]
        if not operations:
            lines.append(f"  {wording.next_action('none')}")
    for each in operations:
        lines += ["", f"  {each['command']}", f"      {each['sentence']}"]
    if view.error is not None:
        lines.append(f"  {wording.failure(view.error)}")
        lines.append(f"  {wording.next_action(next_action_for(view.error))}")
    return lines


def _document(view: ReaderView, operations: Operations) -> dict[str, Any]:
    record = view.record
    holder = None if record is None else record.holder
    interrupted = None if record is None else record.interrupted
    return {
        "reader": view.name,
        "virtual": view.virtual,
        "present": view.present,
        "error": None if view.error is None else view.error.code,
        "state": None if record is None else record.state.value,
        "holder": None if holder is None else holder.holder,
        "holder_name": None if holder is None else holder.name,
        "interrupted": None if interrupted is None else interrupted.value,
        "operations": [dict(each) for each in operations],
    }
