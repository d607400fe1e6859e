"""What `kiosk do` does: one operation on the card in one reader, headless."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import click

from kiosk.asking import asked_for
from kiosk.commands import Result, opened, say
from kiosk.credentials import one_credential
from kiosk.ports import Backend
from kiosk.station import wording
from kiosk.station.faces import Job, Outcome, Person
from kiosk.station.persons import GivenPerson, TerminalPerson
from kiosk.touch import touched
from kiosk.wiring import Parts
from shared import errors
from shared.relay import OperationKind, StepLine
from shared.wording import unrevocable

FOUND_MAX: Final = 20
_BY_NAME: Final = "built-in"  # people of no directory: there is nothing to search


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Where a script's PINs come from: file descriptors; None asks at the terminal."""

    pin_fd: int | None = None
    new_pin_fd: int | None = None
    owners_code_fd: int | None = None

    @property
    def person(self) -> Person:
        """Whoever answers: a script, or somebody at the terminal."""
        if self.pin_fd is None and self.new_pin_fd is None and self.owners_code_fd is None:
            return TerminalPerson(say)
        return GivenPerson(say, pin_fd=self.pin_fd, new_pin_fd=self.new_pin_fd, code_fd=self.owners_code_fd)


NOBODY: Final = Given()


class Lines:
    """Progress as lines on standard error."""

    def __init__(self) -> None:
        """Begin without any."""
        self._steps: Sequence[StepLine] = ()

    def steps(self, steps: Sequence[StepLine]) -> None:
        """Remember the list."""
        self._steps = steps

    def step(self, index: int, *, done: bool, expected_ms: int) -> None:  # noqa: ARG002  # lines need no duration
        """Say what is done."""
        if done and index < len(self._steps):
            say(f"  done: {wording.step(self._steps[index])}")


async def operate(config: Path | None, job: Job, given: Given = NOBODY, *, ask: bool = False) -> Result:
    """Do `job`; its reader may be empty where only one holds a card, its holder may be words that find just one.

    So may the credential in whose place another one is made. With `ask` an approval that it needs is asked for.

    Raises:
        NoReader, CardMissing, Invalid: there is no card to be meant, or several; likewise for holder and credential.
        UnknownHolder: no credential is found.
    """
    async with opened(config) as parts:
        job = replace(job, reader=await one_reader(parts, job.reader))
        if job.holder:
            job = replace(job, holder=await one_holder(parts.backend, job.holder, job.template))
        job = replace(
            job,
            replaces=await _one_credential(parts, job.replaces),
            primary=await _one_credential(parts, job.primary),
        )
        if job.operation is OperationKind.ISSUE:
            await _warn(parts, job.template)
        outcome = await parts.core.perform(job, given.person, Lines())
        if isinstance(outcome.error, errors.StepUpNeeded) and await touched(parts):
            outcome = await parts.core.perform(job, given.person, Lines())
        if ask and isinstance(outcome.error, errors.ApprovalNeeded):
            return await asked_for(parts.approvals, outcome.error, job)
        return _result(job, outcome)


async def _warn(parts: Parts, name: str) -> None:
    """Say what the template accepts that whoever issues the card should know."""
    for template in await parts.core.templates():
        if template.name == name and template.unrevocable:
            click.echo(unrevocable(template.unrevocable), err=True)


async def one_reader(parts: Parts, wanted: str) -> str:
    """Return the reader that was named, or the only one that holds a card.

    Raises:
        NoReader, CardMissing: there is none.
        Invalid: several hold a card.
    """
    names = [info.name for info in await parts.readers.all()]
    if wanted:
        if wanted not in names:
            raise errors.NoReader(reader=wanted)
        return wanted
    if not names:
        raise errors.NoReader
    if len(names) == 1:
        return names[0]
    views = await asyncio.gather(*(parts.core.refresh(name) for name in names))
    holding = [view.name for view in views if view.present]
    if not holding:
        raise errors.CardMissing
    if len(holding) > 1:
        raise errors.Invalid(field="reader", why=f"several hold a card: {', '.join(holding)}")
    return holding[0]


async def one_holder(line: Backend, wanted: str, template: str = "") -> str:
    """Return the id of the person that was named by id, or by words that find nobody else.

    Only the directory whose people get the template is searched, so that another one that does not answer is in nobody's way.

    Raises:
        UnknownHolder: nobody is found.
        Invalid: several people are found.
    """
    directory = await _directory_of(line, template) if template else ""
    found = await line.find_people(wanted, FOUND_MAX, directory)
    for person in found.people:
        if person.holder == wanted:
            return wanted
    if not found.people:
        return wanted  # an id is not among the words that a directory searches; the server decides
    if len(found.people) > 1:
        raise errors.Invalid(field="holder", why="several people are found; give the id")
    return found.people[0].holder


async def _directory_of(line: Backend, template: str) -> str:
    """Return the one directory to search for whoever gets the template; nothing means all of them."""
    found = next((each.directory for each in await line.templates() if each.name == template), "")
    return "" if found == _BY_NAME else found


async def _one_credential(parts: Parts, wanted: str) -> str:
    """Return the id of the one credential in use that is meant; nothing where none is wanted."""
    if not wanted:
        return ""
    one = await one_credential(parts.core, wanted, OperationKind.REVOKE)
    return str(one.credential_id or one.record_id)


def _result(job: Job, outcome: Outcome) -> Result:
    error = outcome.error
    if error is None:
        lines = [wording.done(job.operation), *wording.followed(outcome.facts)]
        if outcome.facts.get("pin") == "temporary":
            lines.append(wording.notice("pin-change-due"))
        if left := int(outcome.facts.get("waiting", 0)):
            lines.append(wording.waiting(left))
        lines.append(wording.next_action(outcome.next_action))
    else:
        lines = [
            wording.failure(error),
            wording.state(outcome.state),
            wording.next_action_after(error, outcome.next_action),
        ]
    return Result(
        lines=[line for line in lines if line],
        document={
            "ok": error is None,
            "operation": job.operation.value,
            "reader": job.reader,
            "state": outcome.state,
            "error": None if error is None else error.code,
            "facts": {**outcome.facts, **({} if error is None else error.facts)},
            "message": lines[0],
            "next_action": outcome.next_action,
            "round_trips": outcome.round_trips,
            "commands": outcome.commands,
            "seconds": round(outcome.seconds, 3),
        },
        exit_code=0 if error is None else error.exit_code,
    )
