"""What every command shares: its options, and how it ends.

With `--json` a command prints one object on one line on standard output; everything else goes to standard error.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from shared import errors
from shared.display import json_line, visible, visible_lines

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class Options:
    """What stands before or behind every command."""

    config: Path | None = None
    as_json: bool = False
    request_approval: bool = False


def _noted(ctx: click.Context, param: click.Parameter, value: object) -> None:
    """Keep an option, wherever on the line it stood."""
    options = ctx.find_root().ensure_object(Options)
    if value is not None and value is not False:
        setattr(options, "as_json" if param.name == "json" else "config", value)


def _asks(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: FBT001, ARG001  # click's signature
    """Keep that an approval is asked for."""
    ctx.find_root().ensure_object(Options).request_approval |= value


def asking(command: F) -> F:
    """Add the option with which a command that needs an approval asks for it."""
    return click.option(
        "--request-approval",
        is_flag=True,
        expose_value=False,
        callback=_asks,
        help="Where a second person has to approve it first, ask for that.",
    )(command)


def everywhere(command: F) -> F:
    """Add the options that every command takes."""
    config = click.option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        expose_value=False,
        callback=_noted,
        help="The kiosk.toml to read.",
    )
    as_json = click.option(
        "--json", is_flag=True, expose_value=False, callback=_noted, help="Print one JSON object on one line."
    )
    return config(as_json(command))


def finish(options: Options, result: Any) -> None:
    """Print a command's result and end with its exit code."""
    if options.as_json:
        click.echo(json_line(result.document))
    else:
        for line in result.lines:
            click.echo(visible_lines(line))
    if result.exit_code:
        sys.exit(result.exit_code)


def fail(error: errors.KioskError, *, as_json: bool) -> None:
    """Say what was wrong and end."""
    from kiosk.station import wording  # noqa: PLC0415  # not needed where nothing fails

    if as_json:
        click.echo(
            json_line(
                {"ok": False, "error": error.code, "facts": error.facts, "message": wording.failure(error)}
            )
        )
    click.echo(visible(wording.failure(error)), err=True)
    sys.exit(error.exit_code)
