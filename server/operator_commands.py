"""`kiosk-server operators` and `kiosk-server roles`: who may act on others' credentials, and what they may do."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from server.asking import passcode_fd, passphrase_fd
from server.authority.first_start import OPEN_AGAIN
from server.context import Commands, Context, ask, columns
from shared.clock import SystemClock
from shared.sessions import LogonMethod

_why = click.option("--why", required=True, help="The reason; it is kept as evidence.")


@click.group(cls=Commands)
def operators() -> None:
    """Operators: list them, give them roles, let them log on or not.

    OPERATOR is an operator's name or, where several have it, the id.
    """


@operators.command("list")
@click.pass_obj
def list_operators(context: Context) -> None:
    """List every operator: roles, keys that log on, the last log-on, those that failed since, and where one is logged on."""
    found = [_operator(each) for each in ask(context, lambda client: client.operators.all())]
    text = columns(_operator_line(each) for each in found)
    context.result({"operators": found}, text or "no operator yet")


@operators.command()
@click.argument("operator")
@_why
@click.pass_obj
def activate(context: Context, operator: str, why: str) -> None:
    """Let OPERATOR log on again. Failed log-ons are forgotten."""
    _tell(context, ask(context, lambda client: client.operators.activate(operator, why)))


@operators.command()
@click.argument("operator")
@_why
@click.pass_obj
def deactivate(context: Context, operator: str, why: str) -> None:
    """Let OPERATOR log on no more, at once: a session ends.

    Refused where nobody would be left who may manage operators and can log on.
    """
    _tell(context, ask(context, lambda client: client.operators.deactivate(operator, why)))


@operators.command("roles")
@click.argument("operator")
@click.argument("roles", metavar="[ROLE]...", nargs=-1)
@click.option("--none", "no_role", is_flag=True, help="Take every role away.")
@_why
@click.pass_obj
def set_roles(
    context: Context,
    operator: str,
    roles: tuple[str, ...],
    no_role: bool,  # noqa: FBT001  # click passes flags
    why: str,
) -> None:
    """Give OPERATOR each ROLE that is named, and no other.

    Refused where nobody would be left who may manage operators and can log on.
    """
    if no_role == bool(roles):
        message = "Name the roles that OPERATOR is to have, or give --none."
        raise click.UsageError(message)
    _tell(context, ask(context, lambda client: client.operators.set_roles(operator, roles, why)))


@operators.command()
@passphrase_fd
@passcode_fd
@click.pass_obj
def recover(context: Context, passphrase_fd: int | None, passcode_fd: int | None) -> None:
    """Open a first start again, when every card that managed operators is lost, the System Owner's too.

    For the server's own machine, with the key store's passphrase, while the server does not run. A new passcode counts for an
    hour, once: start the server, and give it at a station. It leaves evidence.
    """
    from server import asking, beginning  # noqa: PLC0415  # only what a command needs is loaded

    settings = context.settings()
    passphrase = asking.passphrase(settings, passphrase_fd)
    passcode = asking.new_passcode(passcode_fd)
    asyncio.run(beginning.open_again(settings.server, passphrase, passcode, SystemClock()))
    context.result(
        {"open_for_s": int(OPEN_AGAIN.total_seconds())},
        "Start the server now, and make the first start at a station within an hour: kiosk desk, or kiosk first-start.",
    )


@click.group(cls=Commands)
def roles() -> None:
    """Roles: what operators may do."""


@roles.command("list")
@click.pass_obj
def list_roles(context: Context) -> None:
    """List every role, how many operators have it, and what it may do."""
    found = [_role(each) for each in ask(context, lambda client: client.operators.roles())]
    context.result({"roles": found}, "\n".join(_role_line(each) for each in found))


@roles.command()
@click.argument("role")
@click.argument("name")
@click.option("--title", help="What people call it; else as the name is.")
@_why
@click.pass_obj
def clone(context: Context, role: str, name: str, title: str | None, why: str) -> None:
    """Make a role NAME that may do what ROLE may."""
    title = title or name
    _show(context, ask(context, lambda client: client.operators.clone(role, name, title, why)))


@roles.command()
@click.argument("role")
@click.option(
    "--set",
    "changes",
    metavar="SUBJECT=LEVEL[:TEMPLATE,…]",
    multiple=True,
    help="What ROLE may do of SUBJECT from now on: hidden, view or execute; for these templates only, where some are named.",
)
@click.option("--title", default="", help="What people call it.")
@_why
@click.pass_obj
def edit(context: Context, role: str, changes: tuple[str, ...], title: str, why: str) -> None:
    """Change what ROLE may do. What is not named stays.

    SUBJECT is an operation (as in `kiosk do`), an act or an area; docs/roles.md lists them. Given again for the same
    SUBJECT, --set adds to the one before.
    """
    if not changes and not title:
        message = "Nothing to change: give --set or --title."
        raise click.UsageError(message)
    grants = [_grant(change) for change in changes]
    _show(context, ask(context, lambda client: client.operators.edit(role, grants, title, why)))


@roles.command()
@click.argument("role")
@_why
@click.pass_obj
def reset(context: Context, role: str, why: str) -> None:
    """Make ROLE, which is a preset, what it was when it came."""
    _show(context, ask(context, lambda client: client.operators.reset(role, why)))


@roles.command()
@click.argument("role")
@_why
@click.pass_obj
def delete(context: Context, role: str, why: str) -> None:
    """Remove ROLE, which is no preset and which no operator has."""
    ask(context, lambda client: client.operators.delete(role, why))
    context.result({"name": role}, f"{role} is removed")


# --- operators ------------------------------------------------------------------------------------------


def _tell(context: Context, view: Any) -> None:
    operator = _operator(view)
    context.result(operator, columns([_operator_line(operator)]))


def _operator(view: Any) -> dict[str, Any]:
    return {
        "id": str(view.operator_id),
        "name": view.name,
        "kind": view.kind.value,
        "state": "active" if view.active else "inactive",
        "roles": sorted(view.roles),
        "keys": view.keys,
        "usable_keys": view.usable_keys,
        "registered_at": view.registered_at.isoformat(),
        "last_logon_at": _text(view.last_logon_at),
        "failed_logons": view.failed_logons,
        "locked_until": _text(view.locked_until),
        "sessions": [
            {
                "method": each.method.value,
                "possession_only": each.possession_only,
                "station": each.station,
                "began_at": each.began_at.isoformat(),
                "last_seen_at": each.last_seen_at.isoformat(),
            }
            for each in view.sessions
        ],
    }


def _operator_line(operator: dict[str, Any]) -> tuple[str, ...]:
    kind = "" if operator["kind"] == "operator" else f" ({operator['kind']})"
    held = ", ".join(operator["roles"]) or ("everything" if operator["kind"] == "system-owner" else "no role")
    keys = f"{operator['usable_keys']} of {operator['keys']} keys"
    last = f"last {_minute(operator['last_logon_at'])}" if operator["last_logon_at"] else "never logged on"
    failed = f", {operator['failed_logons']} failed since" if operator["failed_logons"] else ""
    now = "".join(f", now at {each['station']}{_how(each)}" for each in operator["sessions"])
    return (f"{operator['name']}{kind}", operator["state"], held, keys, f"{last}{failed}{now}")


def _how(session: dict[str, Any]) -> str:
    return " (ssh-agent, possession only)" if session["method"] == LogonMethod.AGENT.value else ""


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None


def _minute(text: str) -> str:
    return f"{text[:16].replace('T', ' ')} UTC"


# --- roles ----------------------------------------------------------------------------------------------


def _grant(change: str) -> Any:
    """Read one change of a role.

    Raises:
        Invalid: there is no such subject or level.
    """
    from shared.roles import Grant, level_of, subject_of  # noqa: PLC0415  # only what a command needs is loaded

    subject, _, rest = change.partition("=")
    level, colon, names = rest.partition(":")
    templates = frozenset(names.split(",")) if colon else None
    return Grant(subject=subject_of(subject), level=level_of(level), templates=templates)


def _show(context: Context, view: Any) -> None:
    role = _role(view)
    context.result(role, _role_line(role))


def _role(view: Any) -> dict[str, Any]:
    from shared.roles import SUBJECTS, union  # noqa: PLC0415  # likewise

    may = union([view.role])
    limited: dict[str, dict[str, str]] = {}
    for (subject, template), level in sorted(may.single.items()):
        if level > may.allowed(subject, None):
            limited.setdefault(subject.value, {})[template] = level.word
    return {
        "name": view.role.name,
        "title": view.role.title,
        "preset": view.role.preset,
        "edited": view.edited,
        "operators": view.operators,
        "permissions": {word: may.allowed(subject, None).word for word, subject in SUBJECTS.items()},
        "for_templates": limited,
    }


def _role_line(role: dict[str, Any]) -> str:
    """Say what a role is on one line, and on the next ones what it may do."""
    mark = " (preset, edited)" if role["edited"] else " (preset)" if role["preset"] else ""
    lines = [f"{role['name']}: {role['title']}{mark}, operators: {role['operators']}"]
    for level in ("execute", "view"):
        subjects = [subject for subject, each in role["permissions"].items() if each == level]
        if subjects:
            lines.append(f"  {level}: {_all_of(subjects, len(role['permissions']))}")
    for subject, levels in role["for_templates"].items():
        said = ", ".join(f"{level} for {template}" for template, level in levels.items())
        lines.append(f"  {subject}: {said}")
    return "\n".join(lines)


def _all_of(subjects: Sequence[str], total: int) -> str:
    return "everything" if len(subjects) == total else " ".join(subjects)
