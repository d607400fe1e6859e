"""The station's command line.

With `--json` a command prints one object on one line on standard output; everything else goes to standard error.
What is heavy (gRPC, the screen, PC/SC) is loaded by the command that needs it.
"""

import asyncio
import importlib
import logging
import os
import secrets
import sys
from pathlib import Path
from typing import Final

import click

from kiosk.holder_options import for_holders, log_on_holder
from kiosk.options import Options, everywhere, fail, finish
from shared import errors, process
from shared.display import json_line

_log: Final = logging.getLogger(__name__)

_LATER: Final = {
    "approvals": ("kiosk.approval_commands", "approvals"),
    "demo": ("kiosk.demo.command", "demo"),
    "do": ("kiosk.do", "do"),
    "first-start": ("kiosk.first_start_command", "first_start"),
    "virtual-card": ("kiosk.devices.virtual.command", "virtual_card"),
}
"""Commands that live beside what they start, by module and name."""

INTERRUPTED: Final = 1


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
            "approvals": "Ask a second person to approve, see who asks, approve with one's own card, decline.",
            "demo": "Try a whole desk on this machine; nothing is kept.",
            "do": "Do one operation on the card in a reader; alone, say what may be done now, and how.",
            "first-start": "Make the System Owner's card and the first operator's, with the passcode.",
            "virtual-card": "Put a virtual card behind a real pcscd.",
        }
        for name in self.commands:
            lines[name] = self.commands[name].get_short_help_str(limit=80)
        with formatter.section("Commands"):
            formatter.write_dl(sorted(lines.items()))


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
@click.option("--diff", is_flag=True, help="Compare the card with its template, in its newest version.")
@click.option("--template", default="", help="Compare it with this template instead; needs no credential.")
@click.pass_obj
def card(options: Options, reader: str, *, diff: bool, template: str) -> None:
    """Say what is in the readers, what the record says of it, and where the two differ. Changes nothing."""
    from kiosk.card_command import card as run  # noqa: PLC0415  # loads gRPC and PC/SC

    if template and not diff:
        raise click.UsageError("--template belongs to --diff")  # noqa: EM101, TRY003  # a sentence for one place
    finish(options, asyncio.run(run(options.config, reader, diff=diff, template=template)))


@cli.command()
@everywhere
@click.argument("text", default="")
@click.pass_obj
def credentials(options: Options, text: str) -> None:
    """List credentials whose holder's name contains TEXT, whether or not their cards are here."""
    from kiosk.credentials import credentials as run  # noqa: PLC0415  # loads gRPC

    finish(options, asyncio.run(run(options.config, text)))


@cli.command(name="log-on")
@everywhere
@click.option(
    "--reader", default="", help="The reader with the operator's card; needed where several hold a card."
)
@click.option("--pin-fd", type=int, help="Read the PIN from this file descriptor instead of asking.")
@click.option("--agent", is_flag=True, help="Log on through the forwarded ssh-agent: proves possession only.")
@click.option(
    "--key", default="", help="With --agent: the key's fingerprint or comment, as `ssh-add -l` shows them."
)
@for_holders
@click.pass_obj
def log_on(
    options: Options,
    /,
    reader: str,
    pin_fd: int | None,
    *,
    agent: bool,
    key: str,
    **of_holder: str | int | bool | None,
) -> None:
    """Log an operator on with card and PIN, for the commands that follow on this machine, until `kiosk log-off`.

    With --agent the card is far away, behind a forwarded ssh-agent. The session ends when the agent is gone, and what is
    sensitive is refused in it.

    With --holder somebody logs on for their own cards alone: with the card in the reader and its PIN, with the directory's
    password (--user), or with a code that an operator made (--code).
    """
    from kiosk.log_on import log_on as run  # noqa: PLC0415  # loads gRPC and PC/SC
    from kiosk.log_on import log_on_by_agent  # noqa: PLC0415  # likewise
    from kiosk.operate import Given  # noqa: PLC0415  # likewise

    if log_on_holder(options, reader, pin_fd, taken=agent or bool(key), given=of_holder):
        return
    if agent and (reader or pin_fd is not None):
        raise click.UsageError("--reader and --pin-fd are for a card in a reader, not for --agent")  # noqa: EM101, TRY003  # a sentence for one place
    if key and not agent:
        raise click.UsageError("--key belongs to --agent")  # noqa: EM101, TRY003  # likewise
    if agent:
        finish(options, asyncio.run(log_on_by_agent(options.config, key, os.environ)))
    else:
        finish(options, asyncio.run(run(options.config, reader, Given(pin_fd=pin_fd))))


@cli.command(name="log-off")
@everywhere
@click.pass_obj
def log_off(options: Options) -> None:
    """End the session that `kiosk log-on` began."""
    from kiosk.log_on import log_off as run  # noqa: PLC0415  # loads gRPC

    finish(options, asyncio.run(run(options.config)))


@cli.command()
@everywhere
@click.argument("token")
@click.pass_obj
def join(options: Options, token: str) -> None:
    """Enrol this machine as a station. TOKEN is from `kiosk-server stations token`; - reads it from standard input."""
    from kiosk.commands import join as run  # noqa: PLC0415  # loads gRPC

    text = sys.stdin.readline().strip() if token == "-" else token  # noqa: S105  # a dash, no token
    finish(options, asyncio.run(run(options.config, text)))


@cli.command()
@everywhere
@click.pass_obj
def doctor(options: Options) -> None:
    """Check settings, certificate, clock, server and readers. Changes nothing."""
    from kiosk.commands import doctor as run  # noqa: PLC0415  # loads gRPC and PC/SC

    finish(options, asyncio.run(run(options.config)))


@cli.command()
@everywhere
@click.pass_obj
def desk(options: Options) -> None:
    """Open the issuance desk, full screen."""
    from kiosk.commands import desk as run  # noqa: PLC0415  # loads the screen

    sys.exit(asyncio.run(run(options.config)))


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
