"""`kiosk first-start`: the System Owner's card and the first operator's, without a screen."""

import asyncio
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kiosk.backend.first_start import GrpcFirstStart
from kiosk.commands import Result, opened, say
from kiosk.operate import Lines, one_holder, one_reader
from kiosk.station import wording
from kiosk.station.faces import Outcome, Person
from kiosk.station.first_start import FirstStart
from kiosk.station.persons import GivenPerson, TerminalPerson, read_descriptor, read_masked
from kiosk.wiring import Parts
from shared import errors
from shared.credential.model import HolderId
from shared.first_start import FirstStartView, OperatorTemplate, named
from shared.secret import Secret

OWNER: Final = "owner"
OPERATOR: Final = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a script says in advance; what it leaves open is asked at the terminal.

    `only` is one of the two cards. `holder` is the first operator in a directory, `name` one who is in none.
    """

    only: str = ""
    passcode_fd: int | None = None
    owner_reader: str = ""
    owner_pin_fd: int | None = None
    keep_code_fd: int | None = None
    code_fd: int | None = None
    operator_reader: str = ""
    operator_pin_fd: int | None = None
    holder: str = ""
    name: str = ""
    template: str = ""
    agreed: bool = False


async def first_start(config: Path | None, answers: Answers) -> Result:
    """Make both cards, or go on where it was cut.

    Raises:
        PasscodeRejected: it is not the passcode, or the first start is over.
        Cancelled: somebody stopped; what was done stays.
        KioskError: card, reader or server.
    """
    async with opened(config) as parts:
        work = FirstStart(parts.core, GrpcFirstStart(parts.backend))
        passcode = await _passcode(answers.passcode_fd)
        view = await work.begin(passcode)
        done: list[Outcome] = []
        try:
            if not view.owner_made and answers.only != OPERATOR:
                done.append(await _owner(parts, work, answers))
            if answers.only != OWNER and (not done or done[-1].error is None):
                view = await work.view()
                done.append(await _operator(parts, work, view, answers, swap=bool(done)))
        finally:
            with suppress(errors.KioskError):
                await work.end()
    return _result(view, done)


async def _owner(parts: Parts, work: FirstStart, answers: Answers) -> Outcome:
    for line in wording.OWNER_MEANS:
        say(line)
    if not answers.agreed:
        say("Put in the card, then type yes to go on.")
        if (await asyncio.to_thread(sys.stdin.readline)).strip().casefold() != "yes":
            raise errors.Cancelled(question=OWNER)
    reader = await one_reader(parts, answers.owner_reader)
    scripted = any(fd is not None for fd in (answers.owner_pin_fd, answers.keep_code_fd, answers.code_fd))
    person: Person = TerminalPerson(say)
    if scripted:
        person = GivenPerson(
            say,
            new_pin_fd=answers.owner_pin_fd,
            keep_code_fd=answers.keep_code_fd,
            code_fd=answers.code_fd,
        )
    return await work.make_owner(reader, person, Lines())


async def _operator(
    parts: Parts, work: FirstStart, view: FirstStartView, answers: Answers, *, swap: bool
) -> Outcome:
    template = _template(view, answers)
    holder = await _holder(parts, template, answers)
    if swap and not answers.operator_reader and answers.operator_pin_fd is None:
        say("Now the first operator's card: put it in the place of the other one, then press Enter.")
        await asyncio.to_thread(sys.stdin.readline)
    reader = await one_reader(parts, answers.operator_reader)
    person: Person = TerminalPerson(say)
    if answers.operator_pin_fd is not None:
        person = GivenPerson(say, new_pin_fd=answers.operator_pin_fd)
    return await work.make_operator(reader, holder, template, person, Lines())


def _template(view: FirstStartView, answers: Answers) -> OperatorTemplate:
    """Return the template of the first operator's card.

    Raises:
        Invalid: it was not named, and there are several, or none.
    """
    found = [
        each
        for each in view.operator_templates
        if answers.template in {"", each.name} and (not answers.name or each.by_name)
    ]
    if len(found) != 1:
        names = ", ".join(each.name for each in found)
        why = f"name one of {names}" if names else "there is none that fits"
        raise errors.Invalid(field="template", why=why)
    return found[0]


async def _holder(parts: Parts, template: OperatorTemplate, answers: Answers) -> HolderId:
    if answers.name or answers.holder:
        return (
            named(answers.name) if answers.name else HolderId(await one_holder(parts.backend, answers.holder))
        )
    if not sys.stdin.isatty():
        raise errors.Invalid(
            field="holder", why="give --holder, or --name for somebody who is in no directory"
        )
    say("Who is the first operator?")
    asked = (await asyncio.to_thread(sys.stdin.readline)).strip()
    if not asked:
        raise errors.Cancelled(question="holder")
    return named(asked) if template.by_name else HolderId(await one_holder(parts.backend, asked))


async def _passcode(descriptor: int | None) -> Secret:
    if descriptor is not None:
        given = await asyncio.to_thread(read_descriptor, descriptor)
    else:
        given = await asyncio.to_thread(read_masked, "Passcode of the first start: ", 128)
    if given is None:
        raise errors.Cancelled(question="passcode")
    return given


def _result(view: FirstStartView, done: list[Outcome]) -> Result:
    last = done[-1] if done else None
    error = last.error if last is not None else None
    over = error is None and len(done) > (0 if view.owner_made else 1)
    lines = (
        [wording.failure(error), wording.next_action_after(error, last.next_action)] if error and last else []
    )
    if error is None:
        lines = [wording.done(each.operation) for each in done]
        lines.append(wording.FIRST_START_OVER if over else wording.OWNER_MADE)
    return Result(
        lines=[line for line in lines if line],
        document={
            "ok": error is None,
            "owner_made": view.owner_made or any(each.error is None for each in done),
            "over": over,
            "holder": str(last.facts.get("holder", "")) if last is not None else "",
            "error": None if error is None else error.code,
            "facts": {} if error is None else error.facts,
            "next_action": last.next_action if last is not None else "none",
        },
        exit_code=0 if error is None else error.exit_code,
    )
