"""`kiosk-server applications`: other systems as callers, and what each may do with nobody in front of it."""

from datetime import timedelta
from typing import Any

import click

from server.context import Commands, Context, ask, columns
from server.station_commands import (
    DEFAULT_TOKEN_HOURS,
    operations_option,
    present,
    tell_compromised,
    templates_option,
    why_option,
)
from shared.credential.lifecycle import OperationKind
from shared.roles import subject_of
from shared.station_profile import StationProfile


@click.group(cls=Commands)
def applications() -> None:
    """Other systems as callers: let them in, list them, say what they may do.

    An application is a machine whose certificate alone says who it is: nobody logs on there. APPLICATION is its name or,
    where several have it, its id.
    """


_roles = click.option("--role", "roles", multiple=True, help="A role that it has; may be given again.")
_unattended = click.option(
    "--unattended",
    metavar="SUBJECT",
    multiple=True,
    help="Something sensitive that its roles allow and that it may do, though nobody gives a PIN; may be given again.",
)


@applications.command()
@click.argument("name")
@_roles
@_unattended
@click.option("--lab", is_flag=True, help="It may use virtual cards.")
@click.option("--hours", type=click.IntRange(1, 168), default=DEFAULT_TOKEN_HOURS, show_default=True)
@click.pass_obj
def token(
    context: Context,
    name: str,
    roles: tuple[str, ...],
    unattended: tuple[str, ...],
    lab: bool,  # noqa: FBT001  # click passes flags
    hours: int,
) -> None:
    """Make a join token for the application NAME, for `kiosk join`; it works once.

    SUBJECT is an operation (as in `kiosk do`) or an act that asks an operator for the PIN: docs/roles.md marks them. What
    its roles allow, and is not among them, it may see and rehearse. Operators, roles and keys it never sees.
    """
    subjects = [subject_of(word) for word in unattended]

    async def run(client: Any) -> str:
        made = client.applications.invite(name, roles, subjects, lab=lab, valid_for=timedelta(hours=hours))
        return str(await made)

    made = ask(context, run)
    values = {"roles": sorted(roles), "unattended": sorted(unattended), "lab": lab, "hours": hours}
    context.result({"token": made, "name": name, **values}, made)


@applications.command("list")
@click.pass_obj
def list_applications(context: Context) -> None:
    """List every application: its roles, what it may do unattended, when it was last heard of."""
    found = [_application(each) for each in ask(context, lambda client: client.applications.all())]
    context.result({"applications": found}, columns(map(_line, found)) or "no application yet")


@applications.command("roles")
@click.argument("application")
@click.argument("roles", metavar="[ROLE]...", nargs=-1)
@click.option("--none", "no_role", is_flag=True, help="Take every role away.")
@why_option
@click.pass_obj
def set_roles(
    context: Context,
    application: str,
    roles: tuple[str, ...],
    no_role: bool,  # noqa: FBT001  # click passes flags
    why: str,
) -> None:
    """Give APPLICATION each ROLE that is named, and no other, from its next call on."""
    if no_role == bool(roles):
        message = "Name the roles that APPLICATION is to have, or give --none."
        raise click.UsageError(message)
    _tell(context, ask(context, lambda client: client.applications.set_roles(application, roles, why)))


@applications.command()
@click.argument("application")
@click.argument("subjects", metavar="[SUBJECT]...", nargs=-1)
@click.option("--none", "nothing", is_flag=True, help="It may do nothing unattended that is sensitive.")
@why_option
@click.pass_obj
def unattended(
    context: Context,
    application: str,
    subjects: tuple[str, ...],
    nothing: bool,  # noqa: FBT001  # click passes flags
    why: str,
) -> None:
    """Let APPLICATION do each SUBJECT that its roles allow, though nobody gives a PIN, and nothing else that is sensitive."""
    if nothing == bool(subjects):
        message = "Name what APPLICATION may do unattended, or give --none."
        raise click.UsageError(message)
    found = [subject_of(word) for word in subjects]
    _tell(context, ask(context, lambda client: client.applications.set_unattended(application, found, why)))


@applications.command()
@click.argument("application")
@operations_option
@templates_option
@click.option("--everything", is_flag=True, help="Take all limits away.")
@why_option
@click.pass_obj
def profile(
    context: Context,
    application: str,
    operations: tuple[str, ...],
    templates: tuple[str, ...],
    everything: bool,  # noqa: FBT001  # click passes flags
    why: str,
) -> None:
    """Say what APPLICATION may be used for, whatever its roles: options that are left out take their limits away."""
    if bool(operations or templates) == everything:
        message = "Name what APPLICATION may be used for, or give --everything."
        raise click.UsageError(message)
    wanted = StationProfile(
        operations=frozenset(map(OperationKind, operations)) if operations else None,
        templates=frozenset(templates) if templates else None,
    )
    _tell(context, ask(context, lambda client: client.applications.set_profile(application, wanted, why)))


@applications.command()
@click.argument("application")
@why_option
@click.pass_obj
def block(context: Context, application: str, why: str) -> None:
    """Let APPLICATION do nothing any more, at once: what it is doing is cut."""
    _tell(context, ask(context, lambda client: client.applications.block(application, why)))


@applications.command()
@click.argument("application")
@why_option
@click.pass_obj
def unblock(context: Context, application: str, why: str) -> None:
    """Let APPLICATION, which is blocked, work again."""
    _tell(context, ask(context, lambda client: client.applications.unblock(application, why)))


@applications.command()
@click.argument("application")
@why_option
@click.pass_obj
def compromised(context: Context, application: str, why: str) -> None:
    """Block APPLICATION for good, because somebody else has its key or had it, and list the cards whose secrets it carried."""
    tell_compromised(context, ask(context, lambda client: client.applications.compromised(application, why)))


@applications.command()
@click.argument("application")
@click.argument("name")
@why_option
@click.pass_obj
def rename(context: Context, application: str, name: str, why: str) -> None:
    """Call APPLICATION by the name NAME."""
    _tell(context, ask(context, lambda client: client.applications.rename(application, name, why)))


def _tell(context: Context, changed: Any) -> None:
    found = _application(changed)
    context.result(found, columns([_line(found)]))


def _application(each: Any) -> dict[str, Any]:
    return {
        **present(each.view),
        "roles": sorted(each.roles),
        "unattended": sorted(subject.value for subject in each.unattended),
        "active": each.active,
    }


def _line(found: dict[str, Any]) -> tuple[str, ...]:
    return (
        found["name"],
        found["state"] if found["active"] else f"{found['state']}, not active",
        ", ".join(found["roles"]) or "no role",
        f"unattended: {', '.join(found['unattended']) or 'nothing'}",
        found["id"],
    )
