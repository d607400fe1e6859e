"""`kiosk do OPERATION`: the headless twin of every operation."""

import asyncio
from typing import Final

import click

from kiosk.operate import NOBODY, Given, operate
from kiosk.options import Options, everywhere, finish
from kiosk.rehearse import rehearse_issue
from kiosk.station.faces import Job
from shared.credential.lifecycle import OperationKind
from shared.credential.reasons import Cause
from shared.piv.ids import ProfileName

_READER: Final = click.option("--reader", default="", help="Needed where more than one reader holds a card.")
_TEMPORARY: Final = click.option(
    "--temporary-pin", is_flag=True, help="Somebody else knows the new PIN: its holder is asked to change it."
)
_NEW_PIN: Final = click.option(
    "--new-pin-fd", type=int, help="Read the new PIN from this file descriptor instead of asking."
)
_PIN: Final = click.option(
    "--pin-fd", type=int, help="Read the present PIN from this file descriptor instead of asking."
)
_REASON: Final = click.option(
    "--reason", required=True, type=click.Choice([cause.value for cause in Cause]), help="Why."
)
_SLOT: Final = click.option(
    "--slot", "slots", multiple=True, help="Only this slot, such as 9A; may be repeated."
)


@click.group()
@everywhere
def do() -> None:
    """Do one operation on the card in a reader."""


@do.command()
@everywhere
@_READER
@click.option("--holder", required=True, help="The person: an id, or words that find just one.")
@click.option("--template", required=True, help="The template's name.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, command by command, and do nothing.")
@click.option(
    "--profile",
    type=click.Choice([name.value for name in ProfileName]),
    help="With --dry-run: for a new card of this kind, without a reader.",
)
@click.pass_obj
def issue(
    options: Options, reader: str, holder: str, template: str, *, dry_run: bool, profile: str | None
) -> None:
    """Make the card in the reader a credential of a person."""
    if profile and (reader or not dry_run):
        message = "--profile goes with --dry-run, and without --reader"
        raise click.UsageError(message)
    if dry_run:
        asked = rehearse_issue(
            options.config, reader=reader, profile=profile or "", holder=holder, template=template
        )
        finish(options, asyncio.run(asked))
        return
    _run(options, Job(operation=OperationKind.ISSUE, reader=reader, holder=holder, template=template))


@do.command()
@everywhere
@_READER
@_NEW_PIN
@_TEMPORARY
@click.pass_obj
def activate(options: Options, reader: str, new_pin_fd: int | None, *, temporary_pin: bool) -> None:
    """Let the holder set the first PIN."""
    job = Job(operation=OperationKind.ACTIVATE, reader=reader, temporary_pin=temporary_pin)
    _run(options, job, Given(new_pin_fd=new_pin_fd))


@do.command("change-pin")
@everywhere
@_READER
@_PIN
@_NEW_PIN
@click.pass_obj
def change_pin(options: Options, reader: str, pin_fd: int | None, new_pin_fd: int | None) -> None:
    """Let the holder change the PIN."""
    given = Given(pin_fd=pin_fd, new_pin_fd=new_pin_fd)
    _run(options, Job(operation=OperationKind.CHANGE_PIN, reader=reader), given)


@do.command()
@everywhere
@_READER
@_NEW_PIN
@_TEMPORARY
@click.pass_obj
def unblock(options: Options, reader: str, new_pin_fd: int | None, *, temporary_pin: bool) -> None:
    """Let the holder set a new PIN when the present one is blocked or forgotten."""
    job = Job(operation=OperationKind.UNBLOCK, reader=reader, temporary_pin=temporary_pin)
    _run(options, job, Given(new_pin_fd=new_pin_fd))


@do.command()
@everywhere
@_READER
@_REASON
@click.pass_obj
def revoke(options: Options, reader: str, reason: str) -> None:
    """Revoke the credential for good; nobody knows the PIN of its card any longer."""
    _run(options, Job(operation=OperationKind.REVOKE, reader=reader, reason=reason))


@do.command()
@everywhere
@_READER
@_REASON
@click.pass_obj
def retire(options: Options, reader: str, reason: str) -> None:
    """Take the card back: revoke and delete what is on it; it may be issued again."""
    _run(options, Job(operation=OperationKind.RETIRE, reader=reader, reason=reason))


@do.command()
@everywhere
@_READER
@click.pass_obj
def update(options: Options, reader: str) -> None:
    """Bring the card to the newest master key and template; the PIN stays. An up-to-date card is left alone."""
    _run(options, Job(operation=OperationKind.UPDATE, reader=reader))


def _run(options: Options, job: Job, given: Given = NOBODY) -> None:
    finish(options, asyncio.run(operate(options.config, job, given)))
