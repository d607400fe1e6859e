"""The commands `kiosk approvals …`: their options."""

import asyncio
from uuid import UUID

import click

from kiosk.options import Options, everywhere, finish
from shared.credential.approval import ADMINISTRATIVE, Way

_ID = click.argument("request", metavar="REQUEST", type=click.UUID)


@click.group("approvals")
def approvals() -> None:
    """Ask a second person to approve, see who asks, approve with one's own card, decline."""


@approvals.command("request")
@everywhere
@click.argument("operation", type=click.Choice([way.value for way in Way if way not in ADMINISTRATIVE]))
@click.option("--holder", default="", help="To issue: the person, by an id, or words that find just one.")
@click.option("--template", default="", help="To issue: the template's name.")
@click.option(
    "--credential",
    default="",
    help="Of which credential: its id, its holder's id, or words that find just one.",
)
@click.option("--replaces", default="", metavar="CREDENTIAL", help="To issue: in the place of this one.")
@click.option("--temporary-for", default="", metavar="CREDENTIAL", help="To issue: a temporary one for it.")
@click.option("--role", "roles", multiple=True, help="To issue an operator's card: a role that it carries.")
@click.option("--note", default="", help="What whoever approves should know.")
@click.pass_obj
def request(
    options: Options,
    operation: str,
    holder: str,
    template: str,
    credential: str,
    replaces: str,
    temporary_for: str,
    *,
    roles: tuple[str, ...],
    note: str,
) -> None:
    """Ask for approval of OPERATION; it waits until somebody approves or declines it, or it expires."""
    from kiosk.approvals import request as run  # noqa: PLC0415  # loads gRPC
    from shared.approvals import ApprovalWish  # noqa: PLC0415  # likewise

    wish = ApprovalWish(
        way=Way(operation),
        holder=holder,
        template=template,
        card=credential,
        replaces=replaces,
        primary=temporary_for,
        roles=roles,
        note=note,
    )
    finish(options, asyncio.run(run(options.config, wish)))


@approvals.command("list")
@everywhere
@click.pass_obj
def waiting(options: Options) -> None:
    """List what waits: what you may approve, and what you asked for."""
    from kiosk.approvals import waiting as run  # noqa: PLC0415  # loads gRPC

    finish(options, asyncio.run(run(options.config)))


@approvals.command()
@everywhere
@_ID
@click.pass_obj
def show(options: Options, request: UUID) -> None:
    """Say all of one request, as whoever approves it sees it."""
    from kiosk.approvals import show as run  # noqa: PLC0415  # loads gRPC

    finish(options, asyncio.run(run(options.config, request)))


@approvals.command()
@everywhere
@_ID
@click.option(
    "--reader", default="", help="The reader with the approver's card; needed where several hold a card."
)
@click.option("--pin-fd", type=int, help="Read the PIN from this file descriptor instead of asking.")
@click.pass_obj
def approve(options: Options, request: UUID, reader: str, pin_fd: int | None) -> None:
    """Approve with your own card: what is shown is what it signs, and your PIN is the consent."""
    from kiosk.approvals import approve as run  # noqa: PLC0415  # loads gRPC and PC/SC
    from kiosk.operate import Given  # noqa: PLC0415  # likewise

    finish(options, asyncio.run(run(options.config, request, reader, Given(pin_fd=pin_fd))))


@approvals.command()
@everywhere
@_ID
@click.option("--why", required=True, help="The reason, for whoever asked.")
@click.pass_obj
def decline(options: Options, request: UUID, why: str) -> None:
    """Decline a request for good."""
    from kiosk.approvals import decline as run  # noqa: PLC0415  # loads gRPC

    finish(options, asyncio.run(run(options.config, request, why)))


@approvals.command()
@everywhere
@_ID
@click.pass_obj
def withdraw(options: Options, request: UUID) -> None:
    """Take back your own request."""
    from kiosk.approvals import withdraw as run  # noqa: PLC0415  # loads gRPC

    finish(options, asyncio.run(run(options.config, request)))
