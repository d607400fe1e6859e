"""`kiosk-server approvals`: what waits for a second person, and what this server asks for."""

from uuid import UUID

import click

from server.context import Commands, Context, ask, columns
from shared import approval_words
from shared.approvals import ApprovalState, ApprovalView

_ID = click.argument("request", metavar="REQUEST", type=click.UUID)


@click.group(cls=Commands)
def approvals() -> None:
    """Requests for approval: list them, look at one, decline one. Approving takes an approver's card at a station."""


@approvals.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that are over, too.")
@click.pass_obj
def list_approvals(context: Context, everything: bool) -> None:  # noqa: FBT001  # click passes flags
    """List what waits for a second person, the newest first."""
    views: list[ApprovalView] = ask(context, lambda client: client.approvals.all())
    shown = [view for view in views if everything or view.state is ApprovalState.OPEN]
    text = columns([approval_words.summary(view)] for view in shown)
    context.result({"approvals": [approval_words.document(view) for view in shown]}, text or "nothing waits")


@approvals.command()
@_ID
@click.pass_obj
def show(context: Context, request: UUID) -> None:
    """Say all of one request, as whoever approves it sees it."""
    views: list[ApprovalView] = ask(context, lambda client: client.approvals.all())
    found = next((view for view in views if view.request_id == request), None)
    if found is None:
        message = "There is no request of this id among the newest."
        raise click.UsageError(message)
    _tell(context, found)


@approvals.command()
@_ID
@click.option("--why", required=True, help="The reason; it is kept as evidence.")
@click.pass_obj
def decline(context: Context, request: UUID, why: str) -> None:
    """Decline a request for good."""
    _tell(context, ask(context, lambda client: client.approvals.decline(request, why)))


@approvals.command()
@click.pass_obj
def policy(context: Context) -> None:
    """Say what this server asks for besides its templates (`[server.approvals]` of kiosk.toml)."""
    found = ask(context, lambda client: client.approvals.policy())
    hours = int(found.valid_for.total_seconds() // 3600)
    values = {
        "acts": sorted(found.acts),
        "valid_for_hours": hours,
        "approver_executes": found.approver_executes,
        "same_station": found.same_station,
    }
    rows = [
        ("acts that take a second person", ", ".join(sorted(found.acts)) or "none"),
        ("a request for one of them is good for", f"{hours} hours"),
        ("who approved may carry it out", "yes" if found.approver_executes else "no"),
        ("the same station may ask, approve and carry it out", "yes" if found.same_station else "no"),
    ]
    context.result({"policy": values}, columns(rows))


def _tell(context: Context, view: ApprovalView) -> None:
    context.result({"approval": approval_words.document(view)}, "\n".join(approval_words.lines(view)))
