"""`kiosk-server connections`: directories and certificate authorities, made from what each kind says of itself."""

import getpass
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

from server.connection_text import field_of, from_options, read_document, to_document
from server.context import Commands, Context, ask, columns
from server.ports.connection import Field, FieldKind, Finding, Kind, Value, Verdict
from server.ports.line import LineState
from shared import errors, wording
from shared.secret import Secret

NOT_ANSWERED: Final = errors.ConnectorError.exit_code


@click.group(cls=Commands)
def connections() -> None:
    """Connections to outside systems: directories, certificate authorities.

    NAME is a connection's name, which templates use.
    """


_set = click.option(
    "--set",
    "given",
    metavar="FIELD=VALUE",
    multiple=True,
    help=(
        "Set a field; a list's once for each item, a table's as FIELD.KEY=VALUE. Certificates: file:PATH. "
        "Secrets: env:NAME or file:PATH, never themselves."
    ),
)
_secret_fd = click.option(
    "--secret-fd",
    "descriptors",
    metavar="FIELD=N",
    multiple=True,
    help="Read the secret of this field from file descriptor N.",
)
_secret = click.option(
    "--secret", "asked", metavar="FIELD", multiple=True, help="Ask for the secret of this field here."
)


@connections.command("kinds")
@click.pass_obj
def list_kinds(context: Context) -> None:
    """List every kind of connection: its fields, and what it can do at the most. Needs no running server."""
    from server.connectors.kinds import KINDS, missing  # noqa: PLC0415  # only what a command needs is loaded

    found = [{**_kind(kind), "missing": list(missing(kind))} for kind in KINDS.values()]
    rows = [
        (
            kind.name,
            kind.port.value,
            kind.title,
            f"needs the extra {kind.extra}: {', '.join(lacking)}" if (lacking := missing(kind)) else "",
        )
        for kind in KINDS.values()
    ]
    context.result({"kinds": found}, columns(rows))


@connections.command("list")
@click.pass_obj
def list_connections(context: Context) -> None:
    """List every connection, what it can do, and how it is just now."""
    views = ask(context, lambda client: client.connections.all())
    rows = [(each.name, each.port.value, each.kind, each.source.value, _standing(each)) for each in views]
    context.result({"connections": [_view(each) for each in views]}, columns(rows))


@connections.command()
@click.argument("name")
@click.pass_obj
def show(context: Context, name: str) -> None:
    """Show one connection: its values, and of its secrets only which there are."""
    _tell(context, _named(context, name))


@connections.command()
@click.argument("name")
@click.argument("kind")
@_set
@_secret_fd
@_secret
@click.pass_obj
def add(
    context: Context,
    name: str,
    kind: str,
    given: tuple[str, ...],
    descriptors: tuple[str, ...],
    asked: tuple[str, ...],
) -> None:
    """Add a connection of a KIND; it is used at once."""
    of_kind = _kind_named(kind)
    values = _values(of_kind, given, descriptors, asked)
    for field in of_kind.fields:
        if field.required and field.kind is FieldKind.SECRET and field.name not in values:
            values[field.name] = _typed(field)
    _tell(context, ask(context, lambda client: client.connections.add(name, kind, values)))


@connections.command()
@click.argument("name")
@_set
@_secret_fd
@_secret
@click.option("--unset", metavar="FIELD", multiple=True, help="Take this field away.")
@click.pass_obj
def edit(
    context: Context,
    name: str,
    given: tuple[str, ...],
    descriptors: tuple[str, ...],
    asked: tuple[str, ...],
    unset: tuple[str, ...],
) -> None:
    """Change fields of a connection; all others stay as they are, secrets too."""
    kind = _kind_named(_named(context, name).kind)
    for each in unset:
        field_of(kind, each)
    values = _values(kind, given, descriptors, asked)
    _tell(context, ask(context, lambda client: client.connections.edit(name, values, unset)))


@connections.command()
@click.argument("name")
@click.pass_obj
def remove(context: Context, name: str) -> None:
    """Forget a connection, and its secrets. Refused while a template or a good certificate needs it."""
    ask(context, lambda client: client.connections.remove(name))
    context.result({"removed": name}, f"{name} is removed")


@connections.command()
@click.argument("name")
@click.pass_obj
def test(context: Context, name: str) -> None:
    """Try a connection, step by step; changes nothing at its other end."""
    findings: Sequence[Finding] = ask(context, lambda client: client.connections.test(name))
    good = all(each.verdict is not Verdict.FAILS for each in findings)
    found = [
        {"aspect": each.aspect.value, "verdict": each.verdict.value, "detail": each.detail}
        for each in findings
    ]
    rows = [(each.verdict.value, each.aspect.value, each.detail) for each in findings]
    context.result({"connection": name, "findings": found}, columns(rows), ok=good)
    if not good:
        sys.exit(NOT_ANSWERED)


@connections.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.pass_obj
def export(context: Context, names: tuple[str, ...]) -> None:
    """Write connections as TOML for `apply`, all that were added or those named. Secrets are not among it."""
    views = ask(context, lambda client: client.connections.all())
    kept = [each for each in views if each.version and (not names or each.name in names)]
    if unknown := set(names) - {each.name for each in kept}:
        raise errors.Invalid(field="name", why=f"there is no connection {', '.join(sorted(unknown))}")
    text = to_document(kept)
    context.result({"connections": [each.name for each in kept], "document": text}, text.rstrip("\n"))


@connections.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--plan", is_flag=True, help="Only say what would be done.")
@click.pass_obj
def apply(context: Context, file: Path, plan: bool) -> None:  # noqa: FBT001  # click passes flags
    """Add and change connections as a TOML FILE says; those that it does not name stay.

    A secret that the file leaves out stays as it is.
    """
    from server.connectors.kinds import KINDS  # noqa: PLC0415  # only what a command needs is loaded

    wanted = read_document(file.read_text(encoding="utf-8"), KINDS, file.parent)
    present = {each.name: each for each in ask(context, lambda client: client.connections.all())}
    lines: list[dict[str, str]] = []
    for each in wanted:
        before = present.get(each.name)
        values, action = each.values, "create"
        unset: tuple[str, ...] = ()
        if before is not None:
            if before.kind != each.kind.name:
                raise errors.Invalid(field=each.name, why=f"it is of the kind {before.kind}; remove it first")
            unset = tuple(sorted(set(before.values) - set(values)))
            same = not unset and all(before.values.get(key) == value for key, value in values.items())
            action = "keep" if same else "update"
        lines.append({"name": each.name, "action": action})
        if plan or action == "keep":
            continue
        if action == "create":
            _change(context, "add", each.name, each.kind.name, values)
        else:
            _change(context, "edit", each.name, values, unset)
    context.result({"applied": not plan, "connections": lines}, columns([*each.values()] for each in lines))


def _change(context: Context, act: str, *arguments: Any) -> None:
    ask(context, lambda client: getattr(client.connections, act)(*arguments))


# --- reading --------------------------------------------------------------------------------------------


def _kind_named(name: str) -> Kind:
    from server.connectors.kinds import KINDS  # noqa: PLC0415  # only what a command needs is loaded

    kind = KINDS.get(name)
    if kind is None:
        raise errors.Invalid(field="kind", why=f"there is no {name}; there are {', '.join(KINDS)}")
    return kind


def _named(context: Context, name: str) -> Any:
    for each in ask(context, lambda client: client.connections.all()):
        if each.name == name:
            return each
    raise errors.Invalid(field="name", why=f"there is no connection {name}")


def _values(
    kind: Kind, given: Sequence[str], descriptors: Sequence[str], asked: Sequence[str]
) -> dict[str, Value]:
    values = from_options(kind, given)
    for option in descriptors:
        name, _, number = option.partition("=")
        _secret_field(kind, name)
        values |= from_options(kind, [f"{name}=fd:{number}"])
    for name in asked:
        values[name] = _typed(_secret_field(kind, name))
    return values


def _secret_field(kind: Kind, name: str) -> Field:
    field = field_of(kind, name)
    if field.kind is not FieldKind.SECRET:
        raise errors.Invalid(field=name, why="it is no secret: use --set")
    return field


def _typed(field: Field) -> Secret:
    """Have a person type a secret.

    Raises:
        ConfigMissing: nobody can be asked here.
    """
    if not os.isatty(sys.stdin.fileno()):
        what = f"nobody can be asked here; give --secret-fd {field.name}=N"
        raise errors.ConfigMissing(key=field.name, what=what)
    return Secret.from_text(getpass.getpass(f"{field.title}: "))


# --- telling --------------------------------------------------------------------------------------------


def _kind(kind: Kind) -> dict[str, Any]:
    return {
        "kind": kind.name,
        "port": kind.port.value,
        "title": kind.title,
        "abilities": sorted(each.value for each in kind.abilities),
        "extra": kind.extra,
        "page": kind.page,
        "fields": [
            {
                "name": field.name,
                "kind": field.kind.value,
                "title": field.title,
                "help": field.help,
                "required": field.required,
                "default": field.default,
                "choices": list(field.choices),
                "minimum": field.minimum,
                "maximum": field.maximum,
            }
            for field in kind.fields
        ],
    }


def _view(view: Any) -> dict[str, Any]:
    return {
        "name": view.name,
        "kind": view.kind,
        "port": view.port.value,
        "source": view.source.value,
        "abilities": [each.value for each in view.abilities],
        "version": view.version,
        "changed_at": _when(view.changed_at),
        "changed_by": view.changed_by,
        "values": {name: _plain(value) for name, value in view.values.items()},
        "secrets": list(view.secrets),
        "templates": list(view.templates),
        "line": None if view.line is None else _line(view.line),
        "credential_ends": _when(view.credential_ends),
        "problem": None
        if view.problem is None
        else {"error": view.problem.code, "message": wording.failure(view.problem)},
    }


def _line(state: LineState) -> dict[str, Any]:
    return {
        "circuit": state.circuit.value,
        "retry_at": _when(state.retry_at),
        "running": state.running,
        "answered": state.answered,
        "failed": state.failed,
        "repeated": state.repeated,
        "refused_here": state.refused_here,
        "busy_ms": state.busy_ms,
        "last_answer_at": _when(state.last_answer_at),
        "last_failure_at": _when(state.last_failure_at),
        "reason": state.reason,
    }


def _plain(value: Value) -> Any:
    return dict(value) if isinstance(value, Mapping) else list(value) if isinstance(value, tuple) else value


def _when(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")


def _standing(view: Any) -> str:
    if view.problem is not None:
        return wording.failure(view.problem)
    if view.line is None or view.line.circuit.value == "closed":
        return ""
    return f"{view.line.circuit.value}: {view.line.reason}"


def _tell(context: Context, view: Any) -> None:
    rows = [("name", view.name), ("kind", view.kind), ("port", view.port.value), ("from", view.source.value)]
    rows += [(name, _shown(value)) for name, value in view.values.items()]
    rows += [(name, "a secret, set") for name in view.secrets]
    rows += [("can", ", ".join(each.value for each in view.abilities))]
    rows += [("templates", ", ".join(view.templates))] if view.templates else []
    rows += [("our credential ends", _when(view.credential_ends) or "")] if view.credential_ends else []
    rows += [("problem", wording.failure(view.problem))] if view.problem else []
    context.result({"connection": _view(view)}, columns(rows))


def _shown(value: Value) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {each}" for name, each in value.items())
    if isinstance(value, tuple):
        return ", ".join(value)
    text = str(value)
    return f"{text.count('BEGIN CERTIFICATE')} certificates" if "\n" in text else text
