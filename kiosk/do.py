"""`kiosk do OPERATION`: the headless twin of every operation."""

import asyncio
from collections.abc import Mapping
from typing import Final

import click

from kiosk import codes
from kiosk.credentials import decide
from kiosk.operate import NOBODY, Given, operate
from kiosk.options import Options, asking, everywhere, finish
from kiosk.reachable import reachable_now
from kiosk.rehearse import rehearse_issue
from kiosk.station.faces import Job
from shared.credential.lifecycle import OperationKind
from shared.credential.reasons import OFFERED
from shared.credential.succession import REPLACING, STANDING_IN
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
    "--reason", required=True, type=click.Choice([cause.value for cause in OFFERED]), help="Why."
)
_CREDENTIAL: Final = click.option(
    "--credential", default="", help="Without the card: its id, its holder's id, or words that find just one."
)
_WHOSE: Final = click.option(
    "--credential", required=True, help="Its id, its holder's id, or words that find just one."
)
_SLOT: Final = click.option(
    "--slot", "slots", multiple=True, help="Only this slot, such as 9A; may be repeated."
)


@click.group(invoke_without_command=True)
@everywhere
@click.pass_context
def do(context: click.Context) -> None:
    """Do one operation on the card in a reader; alone, say what may be done now, and how."""
    if context.invoked_subcommand is None:
        options = context.ensure_object(Options)
        finish(options, asyncio.run(reachable_now(options.config, do.commands)))


@do.command()
@everywhere
@asking
@_READER
@click.option("--holder", default="", help="The person: an id, or words that find just one.")
@click.option("--for-me", is_flag=True, help="For the holder who is logged on (kiosk log-on --holder).")
@click.option("--template", default="", help="The template's name.")
@click.option(
    "--replaces",
    default="",
    metavar="CREDENTIAL",
    help="In the place of this one, with its holder and template: its id, its holder's id, or words that find just one.",
)
@click.option(
    "--temporary-for",
    default="",
    metavar="CREDENTIAL",
    help="A temporary one for the holder of this one, which is suspended while the temporary one is in use.",
)
@click.option(
    "--reason",
    type=click.Choice([cause.value for cause in OFFERED if cause in {*REPLACING, *STANDING_IN}]),
    help="Why it is replaced, or why a temporary one is needed (forgotten).",
)
@click.option(
    "--role", "roles", multiple=True, help="For an operator's card: a role that it carries; may be repeated."
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, command by command, and do nothing.")
@click.option(
    "--profile",
    type=click.Choice([name.value for name in ProfileName]),
    help="With --dry-run: for a new card of this kind, without a reader.",
)
@click.pass_obj
def issue(
    options: Options,
    reader: str,
    holder: str,
    template: str,
    replaces: str,
    temporary_for: str,
    *,
    for_me: bool,
    dry_run: bool,
    profile: str | None,
    reason: str | None,
    roles: tuple[str, ...],
) -> None:
    """Make the card in the reader a credential of a person: another one, a replacement, or a temporary one."""
    if for_me and holder:
        message = "--holder and --for-me do not go together"
        raise click.UsageError(message)
    _check_issue(
        {"--holder": holder or for_me, "--template": template},
        {
            "--replaces": replaces,
            "--temporary-for": temporary_for,
            "--reason": reason or "",
            "--dry-run": dry_run,
        },
    )
    if profile and (reader or not dry_run):
        message = "--profile goes with --dry-run, and without --reader"
        raise click.UsageError(message)
    if dry_run and roles:
        message = "--role is not for --dry-run: roles change nothing on the card"
        raise click.UsageError(message)
    if dry_run:
        asked = rehearse_issue(
            options.config, reader=reader, profile=profile or "", holder=holder, template=template
        )
        finish(options, asyncio.run(asked))
        return
    job = Job(
        operation=OperationKind.ISSUE,
        reader=reader,
        holder=holder,
        template=template,
        replaces=replaces,
        primary=temporary_for,
        reason=reason or "",
        roles=roles,
    )
    _run(options, job)


def _check_issue(plain: Mapping[str, str | bool], place: Mapping[str, str | bool]) -> None:
    """Refuse options that do not go together: nobody is to think that a lost card was revoked when it was not."""
    message = ""
    if place["--replaces"] and place["--temporary-for"]:
        message = "--replaces and --temporary-for do not go together"
    elif place["--replaces"] or place["--temporary-for"]:
        if place["--dry-run"]:
            message = "--dry-run says what is done to a card; give it --holder and --template alone"
    elif place["--reason"]:
        message = "--reason goes with --replaces or --temporary-for"
    else:
        missing = [name for name, value in plain.items() if not value]
        message = f"Missing option '{missing[0]}'." if missing else ""
    if message:
        raise click.UsageError(message)


@do.command()
@everywhere
@_READER
@click.option("--template", default="", help="Take management key and numbers of tries from this template.")
@click.pass_obj
def register(options: Options, reader: str, template: str) -> None:
    """Take a blank card into stock: it is ours from then on, and empty; issue it at any time."""
    _run(options, Job(operation=OperationKind.REGISTER, reader=reader, template=template))


@do.command()
@everywhere
@asking
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
@asking
@_READER
@_NEW_PIN
@_TEMPORARY
@click.option("--code", "coded", is_flag=True, help="Ask for the unblock code that the holder was given.")
@click.option("--code-fd", type=int, help="Read the code from this file descriptor instead of asking.")
@click.option("--read-out", "alone", is_flag=True, help="The code was read out: unblock without the server.")
@click.option(
    "--owners-code-fd",
    type=int,
    help="For the System Owner's card: read its unblock code from this file descriptor instead of asking.",
)
@click.pass_obj
def unblock(
    options: Options,
    reader: str,
    new_pin_fd: int | None,
    code_fd: int | None,
    owners_code_fd: int | None,
    *,
    temporary_pin: bool,
    coded: bool,
    alone: bool,
) -> None:
    """Let the holder set a new PIN when the present one is blocked or forgotten."""
    given = Given(new_pin_fd=new_pin_fd, owners_code_fd=owners_code_fd)
    code = codes.take_code(code_fd) if coded or alone or code_fd is not None else None
    if alone and code is not None:
        finish(options, asyncio.run(codes.unblock_here(options.config, reader, code, given)))
        return
    job = Job(operation=OperationKind.UNBLOCK, reader=reader, temporary_pin=temporary_pin, code=code)
    _run(options, job, given)


@do.command("read-out")
@everywhere
@_WHOSE
@click.pass_obj
def read_out(options: Options, credential: str) -> None:
    """Tell the code that unblocks a card far away, to be read out to its holder; it is replaced at the next contact."""
    finish(options, asyncio.run(codes.read_out(options.config, credential)))


@do.command("unblock-code")
@everywhere
@_WHOSE
@click.pass_obj
def unblock_code(options: Options, credential: str) -> None:
    """Make a code with which the holder unblocks the card at a station, or activates one that was issued, once."""
    finish(options, asyncio.run(codes.make_unblock_code(options.config, credential)))


@do.command()
@everywhere
@_READER
@_CREDENTIAL
@_REASON
@click.pass_obj
def suspend(options: Options, reader: str, credential: str, reason: str) -> None:
    """Take the credential out of use until it is resumed; with or without its card."""
    _decide(options, OperationKind.SUSPEND, reader, credential, reason)


@do.command()
@everywhere
@asking
@_READER
@_CREDENTIAL
@_NEW_PIN
@_TEMPORARY
@click.pass_obj
def resume(
    options: Options, reader: str, credential: str, new_pin_fd: int | None, *, temporary_pin: bool
) -> None:
    """Take a suspended credential into use again; its holder chooses a new PIN if the suspension reached the card."""
    if credential:
        _decide(options, OperationKind.RESUME, reader, credential)
        return
    job = Job(operation=OperationKind.RESUME, reader=reader, temporary_pin=temporary_pin)
    _run(options, job, Given(new_pin_fd=new_pin_fd))


@do.command()
@everywhere
@_READER
@_CREDENTIAL
@_REASON
@click.pass_obj
def revoke(options: Options, reader: str, credential: str, reason: str) -> None:
    """Revoke the credential for good, with or without its card; nobody knows the card's PIN any longer."""
    _decide(options, OperationKind.REVOKE, reader, credential, reason)


@do.command()
@everywhere
@_READER
@_CREDENTIAL
@_REASON
@click.pass_obj
def delete(options: Options, reader: str, credential: str, reason: str) -> None:
    """Close the record of a card, with or without it; what is on it is revoked."""
    _decide(options, OperationKind.DELETE, reader, credential, reason)


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
def unregister(options: Options, reader: str) -> None:
    """Give an empty card back as it came from the factory, and close its record; asks nothing."""
    _run(options, Job(operation=OperationKind.UNREGISTER, reader=reader))


@do.command()
@everywhere
@asking
@_READER
@click.pass_obj
def update(options: Options, reader: str) -> None:
    """Bring the card to the newest master key and template; the PIN stays. An up-to-date card is left alone."""
    _run(options, Job(operation=OperationKind.UPDATE, reader=reader))


@do.command()
@everywhere
@asking
@_READER
@_SLOT
@_PIN
@click.pass_obj
def renew(options: Options, reader: str, slots: tuple[str, ...], pin_fd: int | None) -> None:
    """Get new certificates for the keys of the card; its holder types the PIN."""
    _run(options, Job(operation=OperationKind.RENEW, reader=reader, slots=slots), Given(pin_fd=pin_fd))


@do.command()
@everywhere
@asking
@_READER
@_SLOT
@_PIN
@click.pass_obj
def reissue(options: Options, reader: str, slots: tuple[str, ...], pin_fd: int | None) -> None:
    """Make new keys and certificates by the newest version of the template; its holder types the PIN, and keeps it."""
    _run(options, Job(operation=OperationKind.REISSUE, reader=reader, slots=slots), Given(pin_fd=pin_fd))


def _decide(
    options: Options, operation: OperationKind, reader: str, credential: str, reason: str = ""
) -> None:
    """Take a decision about the card in a reader, or about a credential whose card is not here."""
    if not credential:
        _run(options, Job(operation=operation, reader=reader, reason=reason))
        return
    if reader:
        message = "--credential is for a card that is in no reader"
        raise click.UsageError(message)
    finish(options, asyncio.run(decide(options.config, operation, credential, reason)))


def _run(options: Options, job: Job, given: Given = NOBODY) -> None:
    asked = operate(options.config, job, given, ask=options.request_approval)
    finish(options, asyncio.run(asked))
