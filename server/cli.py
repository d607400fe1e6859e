"""The command `kiosk-server`: first start, serving, and administration of the running server.

`--json` puts one object on one line on standard output; everything else goes to standard error.
"""

import asyncio
import os
import signal
import sys
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import click

from server import asking
from server.application_commands import applications
from server.approval_commands import approvals
from server.asking import passcode_fd, passphrase_fd
from server.connection_commands import connections
from server.context import Commands, Context, client_of
from server.key_commands import keys
from server.leaver_commands import leavers
from server.operator_commands import operators, roles
from server.settings import Settings
from server.station_commands import DEFAULT_TOKEN_HOURS, stations
from server.template_commands import templates
from server.work_commands import jobs, tasks
from shared import errors, process, wording
from shared.clock import SystemClock
from shared.display import json_line, visible
from shared.errors import Fact

INTERRUPTED: Final = 1
_LOG_ON: Final = (
    "Log on at a station on this machine (kiosk log-on), and name its session with --session FILE."
)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="issuance-kiosk", message="%(version)s")
def cli() -> None:
    """Run and administer the card management server."""


@cli.command()
@passphrase_fd
@passcode_fd
@click.option(
    "--template",
    "templates",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="Apply this template; may be given again.",
)
@click.option("--station", help="Make a join token for a first station of this name.")
@click.option("--lab", is_flag=True, help="The first station may use virtual cards.")
@click.pass_obj
def init(
    context: Context,
    passphrase_fd: int | None,
    passcode_fd: int | None,
    templates: tuple[Path, ...],
    station: str | None,
    lab: bool,  # noqa: FBT001  # click passes flags
) -> None:
    """Make key store, database and certificates, once.

    The passcode is for the first start at a station, which makes the System Owner's card and the first operator's; then it is
    gone. A first station that is a lab station does without, unless one is given.
    """
    from server import beginning, wiring  # noqa: PLC0415  # only what a command needs is loaded
    from server.authority.services import TemplateText  # noqa: PLC0415

    settings = context.settings()
    _check_first(settings, station=station, lab=lab)
    passphrase = asking.new_passphrase(settings, passphrase_fd)
    passcode = asking.new_passcode(passcode_fd) if passcode_fd is not None or not lab else None

    async def run() -> dict[str, Any]:
        parts = await wiring.initialise(settings.server, passphrase, SystemClock())
        try:
            texts = [TemplateText(source=path.name, text=path.read_text()) for path in templates]
            lines = await wiring.apply_templates(parts, texts) if texts else []
            names = [line.name for line in lines]
            if passcode is not None:
                names = await beginning.prepare(parts, passcode)
                passcode.wipe()
            made: dict[str, Any] = {
                "data_folder": str(settings.server.data_folder),
                "templates": names,
                "first_start": passcode is not None,
            }
            if station:
                made["token"] = await wiring.station_token(
                    parts, station, lab=lab, valid_for=timedelta(hours=DEFAULT_TOKEN_HOURS)
                )
            return made
        finally:
            await parts.store.close()

    made = asyncio.run(run())
    text = f"Key store, database and certificates are in {made['data_folder']}."
    if "token" in made:
        text += f"\nJoin the first station with:\n  kiosk join {made['token']}"
    if made["first_start"]:
        text += "\nThen make the first start there, with the passcode: kiosk desk, or kiosk first-start."
    context.result(made, text)


@cli.command()
@passphrase_fd
@click.option("--stop-on-eof", is_flag=True, help="Stop when standard input is closed.")
@click.pass_obj
def serve(context: Context, passphrase_fd: int | None, stop_on_eof: bool) -> None:  # noqa: FBT001  # click passes flags
    """Run the server until it is told to stop (SIGTERM, SIGINT)."""
    settings = context.settings()
    from server import wiring  # noqa: PLC0415  # only what a command needs is loaded
    from shared import logs  # noqa: PLC0415

    logs.set_up(settings.log)
    passphrase = asking.passphrase(settings, passphrase_fd)

    async def run() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        if stop_on_eof:
            _watch_end(loop, stopping)
        parts = await wiring.open_parts(settings.server, passphrase, SystemClock())
        passphrase.wipe()
        server = wiring.Server(parts)
        await server.start()
        listen, join = str(settings.server.listen), str(settings.server.join_listen)
        context.result(
            {"ready": True, "listen": listen, "join_listen": join},
            f"Serving stations on {listen}, joining on {join}.",
        )
        sys.stdout.flush()
        await stopping.wait()
        await server.stop()

    asyncio.run(run())


@cli.command()
@click.pass_obj
def doctor(context: Context) -> None:
    """Check the running server and everything it needs."""
    settings = context.settings()

    async def run() -> dict[str, Any]:
        async with client_of(settings) as client:
            status = await client.status()
        return {
            "server": status.server,
            "version": status.version,
            "started_at": status.started_at.isoformat(),
            "checks": [
                {
                    "name": check.subject,
                    "verdict": "ok" if check.ok else "failed",
                    "text": _said(check.error, check.facts),
                    "error": check.error.code if check.error else None,
                    "facts": check.error.facts if check.error else check.facts,
                }
                for check in status.checks
            ],
        }

    found = asyncio.run(run())
    checks = found["checks"]
    width = max((len(check["name"]) for check in checks), default=0)
    lines = [
        f"{found['server']} {found['version']}, up since {found['started_at'][:16].replace('T', ' ')} UTC"
    ]
    lines += [f"{check['verdict']:<8} {check['name']:<{width}} {check['text']}".rstrip() for check in checks]
    good = all(check["error"] is None for check in checks)
    context.result(found, "\n".join(lines), ok=good)
    if not good:
        sys.exit(errors.ConnectorError.exit_code)


for _group in (
    stations,
    applications,
    approvals,
    operators,
    roles,
    keys,
    templates,
    connections,
    leavers,
    tasks,
    jobs,
):
    cli.add_command(_group)


def _watch_end(loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
    """Have the loop stop the server at the end of standard input.

    Raises:
        ConfigInvalid: standard input is a file or a device, whose end nobody can wait for.
    """
    try:
        loop.add_reader(sys.stdin, _stop_at_end, stopping)
    except OSError as cause:
        raise errors.ConfigInvalid(key="--stop-on-eof", why="standard input is not a pipe") from cause


def _stop_at_end(stopping: asyncio.Event) -> None:
    """Stop once standard input is closed; what comes before is of no interest."""
    if not os.read(sys.stdin.fileno(), 4096):
        stopping.set()


def _said(error: errors.KioskError | None, facts: dict[str, Fact]) -> str:
    return wording.failure(error) if error else ", ".join(f"{name} {value}" for name, value in facts.items())


def _check_first(settings: Settings, *, station: str | None, lab: bool) -> None:
    """Find out before anything is asked or made whether `init` can come to its end.

    Raises:
        StoreConflict: there is a key store already.
        NotAllowed: the settings allow no lab stations.
    """
    if lab and not station:
        message = "--lab is about the first station: give --station NAME with it."
        raise click.UsageError(message)
    if lab and not settings.server.allow_lab:
        raise errors.NotAllowed(what="a lab station, without allow-lab = true under [server]")
    if settings.server.key_store_file.exists():
        raise errors.StoreConflict(what=str(settings.server.key_store_file))


def main() -> None:
    """Run a command; every failure ends with its exit code and one line that says what was wrong."""
    as_json = "--json" in sys.argv
    try:
        process.harden()
        cli(standalone_mode=False)
    except click.ClickException as usage:
        usage.show()
        if as_json:
            _document("usage", {}, usage.format_message())
        sys.exit(usage.exit_code)
    except (click.exceptions.Abort, KeyboardInterrupt, EOFError):
        click.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except errors.KioskError as error:
        _fail(error, as_json=as_json)
    except Exception as fault:  # noqa: BLE001  # the command line: no traceback with what was typed in it
        traceback.print_tb(fault.__traceback__)
        click.echo(f"internal error: {type(fault).__name__}", err=True)
        if as_json:
            _document(errors.ServerFault.code, {}, f"internal error: {type(fault).__name__}")
        sys.exit(errors.ServerFault.exit_code)


def _fail(error: errors.KioskError, *, as_json: bool) -> None:
    if as_json:
        _document(error.code, error.facts, wording.failure(error))
    click.echo(visible(wording.failure(error)), err=True)
    if isinstance(error, errors.LogonNeeded):
        click.echo(_LOG_ON, err=True)
    sys.exit(error.exit_code)


def _document(code: str, facts: dict[str, Fact], message: str) -> None:
    """Print a failure for a program, in the same form as the station's commands."""
    click.echo(json_line({"ok": False, "error": code, "facts": facts, "message": message}))


if __name__ == "__main__":
    main()
