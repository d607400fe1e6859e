"""The command `kiosk first-start`: its options."""

import asyncio
from typing import Any

import click

from kiosk.options import Options, everywhere, finish


@click.command("first-start")
@everywhere
@click.option(
    "--passcode-fd", type=int, help="Read the passcode from this file descriptor instead of asking."
)
@click.option(
    "--only",
    type=click.Choice(["owner", "operator"]),
    default=None,
    help="Make this card alone; the System Owner's comes first.",
)
@click.option("--owner-reader", default="", help="The reader with the System Owner's card.")
@click.option("--owner-pin-fd", type=int, help="Read the System Owner's new PIN from this file descriptor.")
@click.option(
    "--keep-code-fd", type=int, help="Write the unblock code to this file descriptor instead of showing it."
)
@click.option(
    "--code-fd",
    type=int,
    help="Read the unblock code from this file descriptor, for a card that was cut after it was shown.",
)
@click.option("--operator-reader", default="", help="The reader with the first operator's card.")
@click.option(
    "--operator-pin-fd", type=int, help="Read the first operator's new PIN from this file descriptor."
)
@click.option("--holder", default="", help="The first operator: an id, or words that find just one person.")
@click.option("--name", default="", help="The first operator, who is in no directory.")
@click.option(
    "--template",
    default="",
    help="The template of the first operator's card; needed where there are several.",
)
@click.option("--yes", "agreed", is_flag=True, help="Do not ask before the System Owner's card is made.")
@click.pass_obj
def first_start(options: Options, /, *, holder: str, name: str, only: str | None, **given: Any) -> None:
    """Make the System Owner's card and the first operator's, with the passcode that `kiosk-server init` was given.

    What was cut is gone on with when the command is given again. When the first operator's card is active, the passcode is
    gone for good.
    """
    from kiosk.first_start import Answers  # noqa: PLC0415  # loads gRPC and PC/SC
    from kiosk.first_start import first_start as run  # noqa: PLC0415  # likewise

    if holder and name:
        raise click.UsageError("--holder is in a directory, --name is not: give one")  # noqa: EM101, TRY003  # a sentence for one place
    answers = Answers(holder=holder, name=name, only=only or "", **given)
    finish(options, asyncio.run(run(options.config, answers)))
