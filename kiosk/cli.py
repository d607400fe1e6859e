"""The station's command line.

With `--json` a command prints one object on one line on standard output; everything else goes to standard error.
What is heavy (gRPC, the screen, PC/SC) is loaded by the command that needs it.
"""

import asyncio
import importlib
import logging
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from shared import errors, process
from shared.credential.reasons import Cause
from shared.display import json_line, visible, visible_lines

F = TypeVar("F", bound=Callable[..., Any])

_log: Final = logging.getLogger(__name__)

_LATER: Final = {
    "demo": ("kiosk.demo.command", "demo"),
    "virtual-card": ("kiosk.devices.virtual.command", "virtual_card"),
}
"""Commands that live beside what they start, by module and name."""

INTERRUPTED: Final = 1


@dataclass(slots=True)
class Options:
    """What stands before or behind every command."""

    config: Path | None = None
    as_json: bool = False


class _Group(click.Group):
    """Commands, some of which are loaded when they are named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name all commands."""
        return sorted({*super().list_commands(ctx), *_LATER})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command by its name."""
        if cmd_name not in _LATER:
            return super().get_command(ctx, cmd_name)
        module, name = _LATER[cmd_name]
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's signature
        """List the commands; those that are loaded later have their line here."""
        lines = {
            "demo": "Try a whole desk on this machine; nothing is kept.",
            "virtual-card": "Put a virtual card behind a real pcscd.",
        }
        for name in self.commands:
            lines[name] = self.commands[name].get_short_help_str(limit=80)
        with formatter.section("Commands"):
            formatter.write_dl(sorted(lines.items()))


def _noted(ctx: click.Context, param: click.Parameter, value: object) -> None:
    """Keep an option, wherever on the line it stood."""
    options = ctx.find_root().ensure_object(Options)
    if value is not None and value is not False:
        setattr(options, "as_json" if param.name == "json" else "config", value)


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


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@everywhere
@click.version_option(package_name="issuance-kiosk", message="%(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Issue smart cards and look after them: the station."""
    ctx.ensure_object(Options)


@cli.command()
@everywhere
@click.option("--reader", default="", help="Look into this reader only.")
@click.pass_obj
def card(options: Options, reader: str) -> None:
    """Say what is in the readers, and what the record says of it. Changes nothing."""
    from kiosk.commands import card as run  # noqa: PLC0415  # loads gRPC and PC/SC

    _finish(options, asyncio.run(run(options.config, reader)))


@cli.group()
@everywhere
def do() -> None:
    """Do one operation on the card in a reader."""


_READER: Final = click.option("--reader", default="", help="Needed where more than one reader holds a card.")
_NEW_PIN: Final = click.option(
    "--new-pin-fd", type=int, help="Read the new PIN from this file descriptor instead of asking."
)


@do.command()
@everywhere
@_READER
@click.option("--holder", required=True, help="The person: an id, or words that find just one.")
@click.option("--template", required=True, help="The template's name.")
@click.pass_obj
def issue(options: Options, reader: str, holder: str, template: str) -> None:
    """Make the card in the reader a credential of a person."""
    from kiosk.commands import issue as run  # noqa: PLC0415  # loads gRPC and PC/SC

    _finish(options, asyncio.run(run(options.config, reader, holder, template)))


@do.command()
@everywhere
@_READER
@_NEW_PIN
@click.pass_obj
def activate(options: Options, reader: str, new_pin_fd: int | None) -> None:
    """Let the holder set the first PIN."""
    from kiosk.commands import activate as run  # noqa: PLC0415  # loads gRPC and PC/SC

    _finish(options, asyncio.run(run(options.config, reader, new_pin_fd)))


@do.command("change-pin")
@everywhere
@_READER
@click.option("--pin-fd", type=int, help="Read the present PIN from this file descriptor instead of asking.")
@_NEW_PIN
@click.pass_obj
def change_pin(options: Options, reader: str, pin_fd: int | None, new_pin_fd: int | None) -> None:
    """Let the holder change the PIN."""
    from kiosk.commands import change_pin as run  # noqa: PLC0415  # loads gRPC and PC/SC

    _finish(options, asyncio.run(run(options.config, reader, pin_fd, new_pin_fd)))


@do.command()
@everywhere
@_READER
@_NEW_PIN
@click.pass_obj
def unblock(options: Options, reader: str, new_pin_fd: int | None) -> None:
    """Let the holder set a new PIN when the present one is blocked or forgotten."""
    from kiosk.commands import unblock as run  # noqa: PLC0415  # loads gRPC and PC/SC

    _finish(options, asyncio.run(run(options.config, reader, new_pin_fd)))


_REASON = click.option(
    "--reason", required=True, type=click.Choice([cause.value for cause in Cause]), help="Why it ends."
)


@do.command()
@everywhere
@_READER
@_REASON
@click.pass_obj
def revoke(options: Options, reader: str, reason: str) -> None:
    """Revoke the credential for good; nobody knows the PIN of its card any longer."""
    from kiosk.commands import revoke as run  # noqa: PLC0415  # loads gRPC and PC/SC

    _finish(options, asyncio.run(run(options.config, reader, reason)))


@do.command()
@everywhere
@_READER
@_REASON
@click.pass_obj
def retire(options: Options, reader: str, reason: str) -> None:
    """Take the card back: revoke and delete what is on it; it may be issued again."""
    from kiosk.commands import retire as run  # noqa: PLC0415  # loads gRPC and PC/SC

    _finish(options, asyncio.run(run(options.config, reader, reason)))


@do.command()
@everywhere
@_READER
@click.pass_obj
def update(options: Options, reader: str) -> None:
    """Bring the card to the newest master key and template; the PIN stays. An up-to-date card is left alone."""
    from kiosk.commands import update as run  # noqa: PLC0415  # loads gRPC and PC/SC

    _finish(options, asyncio.run(run(options.config, reader)))


@cli.command()
@everywhere
@click.argument("token")
@click.pass_obj
def join(options: Options, token: str) -> None:
    """Enrol this machine as a station. TOKEN is from `kiosk-server stations token`; - reads it from standard input."""
    from kiosk.commands import join as run  # noqa: PLC0415  # loads gRPC

    text = sys.stdin.readline().strip() if token == "-" else token  # noqa: S105  # a dash, no token
    _finish(options, asyncio.run(run(options.config, text)))


@cli.command()
@everywhere
@click.pass_obj
def doctor(options: Options) -> None:
    """Check settings, certificate, clock, server and readers. Changes nothing."""
    from kiosk.commands import doctor as run  # noqa: PLC0415  # loads gRPC and PC/SC

    _finish(options, asyncio.run(run(options.config)))


@cli.command()
@everywhere
@click.pass_obj
def desk(options: Options) -> None:
    """Open the issuance desk, full screen."""
    from kiosk.commands import desk as run  # noqa: PLC0415  # loads the screen

    sys.exit(asyncio.run(run(options.config)))


def _finish(options: Options, result: Any) -> None:
    """Print a command's result and end with its exit code."""
    if options.as_json:
        click.echo(json_line(result.document))
    else:
        for line in result.lines:
            click.echo(visible_lines(line))
    if result.exit_code:
        sys.exit(result.exit_code)


def main() -> None:
    """Run a command; every failure ends in a sentence and the exit code that belongs to it."""
    as_json = "--json" in sys.argv
    try:
        process.harden()
        code = cli(standalone_mode=False)
    except click.ClickException as usage:
        usage.show()
        if as_json:
            message = usage.format_message()
            click.echo(json_line({"ok": False, "error": "usage", "facts": {}, "message": message}))
        sys.exit(usage.exit_code)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except errors.KioskError as error:
        fail(error, as_json=as_json)
    except Exception as fault:  # noqa: BLE001  # the last line: no traceback that shows what was typed
        incident = secrets.token_hex(4)
        # formatted without variables; the text of the fault may hold some, so its kind alone is said
        _log.error(
            "incident %s: %s", incident, type(fault).__name__, extra={"facts": {"where": _where(fault)}}
        )
        fail(errors.StationFault(incident=incident), as_json=as_json)
    else:
        sys.exit(code if isinstance(code, int) else 0)


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


def _where(fault: BaseException) -> str:
    """Return file and line of each frame, without the values of variables."""
    frames = []
    trace = fault.__traceback__
    while trace is not None:
        frames.append(f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " ".join(frames)


if __name__ == "__main__":
    main()
