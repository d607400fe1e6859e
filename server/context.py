"""What the commands of `kiosk-server` share: settings, the line to the running server, the form of results."""

import asyncio
import os
import stat
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import click

from server.settings import Settings, read_settings
from shared import errors
from shared.display import json_line, visible, visible_lines
from shared.secret import Secret
from shared.sessions import TOKEN_LENGTH


@dataclass(slots=True)
class Context:
    """What every command shares."""

    config: Path | None = None
    as_json: bool = False
    session: Path | None = None

    def token(self) -> Secret | None:
        """Read the token of the session of who asks; None where none is shown.

        Raises:
            ConfigMissing: there is no such file: nobody is logged on there.
            ConfigInvalid: others may read it, or it is damaged.
        """
        return None if self.session is None else read_token(self.session)

    def settings(self) -> Settings:
        """Read `kiosk.toml`."""
        return read_settings(self.config)

    def result(self, values: dict[str, Any], text: str, *, ok: bool = True) -> None:
        """Print the result: one object, or words."""
        click.echo(json_line({"ok": ok, **values}) if self.as_json else visible_lines(text))


def read_token(path: Path) -> Secret:
    """Read the token of a session that `kiosk log-on` keeps; raises as `Context.token`."""
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise errors.ConfigInvalid(file=str(path), why="others may read it (it needs mode 0600)")
            token = file.read(TOKEN_LENGTH + 1)
    except FileNotFoundError as cause:
        raise errors.ConfigMissing(file=str(path), what="nobody is logged on there; kiosk log-on") from cause
    except OSError as cause:
        raise errors.ConfigInvalid(file=str(path), why=cause.strerror or "cannot be read") from cause
    if len(token) != TOKEN_LENGTH:
        raise errors.ConfigInvalid(file=str(path), why="damaged; log on again")
    return Secret(token)


def columns(rows: Iterable[Sequence[str]]) -> str:
    """Return rows of cells as lines, every column as wide as its widest cell."""
    shown = [[visible(cell) for cell in row] for row in rows]
    widths = [max(map(len, cells)) for cells in zip_longest(*shown, fillvalue="")]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()
        for row in shown
    )


def _noted(ctx: click.Context, param: click.Parameter, value: object) -> None:
    """Keep an option, wherever on the line it stood."""
    options = ctx.find_root().ensure_object(Context)
    if value is not None and value is not False:
        setattr(options, "as_json" if param.name == "json" else str(param.name), value)


class _Everywhere(click.Command):
    """A command that takes what every command takes."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return its own options and arguments, and the common ones."""
        config = click.Option(
            ["--config"],
            type=click.Path(dir_okay=False, path_type=Path),
            expose_value=False,
            callback=_noted,
            help="The kiosk.toml to read.",
        )
        as_json = click.Option(
            ["--json"],
            is_flag=True,
            expose_value=False,
            callback=_noted,
            help="Print one JSON object on one line.",
        )
        session = click.Option(
            ["--session"],
            type=click.Path(dir_okay=False, path_type=Path),
            expose_value=False,
            callback=_noted,
            help="Act as the operator who logged on with `kiosk log-on`: the file `session` of the station's state folder.",
        )
        return [config, as_json, session, *super().get_params(ctx)]


class Commands(_Everywhere, click.Group):
    """A group whose commands, and itself, take the common options anywhere on the line."""

    command_class = _Everywhere
    group_class = type


def ask(context: Context, question: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
    """Put one question to the running server."""
    settings = context.settings()

    async def run() -> Any:
        async with client_of(settings, context.token()) as client:
            return await question(client)

    return asyncio.run(run())


def client_of(settings: Settings, token: Secret | None = None) -> Any:
    """Return the line to the running server; `token` is of the session of who asks."""
    from server.rpc.admin import AdminClient  # noqa: PLC0415  # only what a command needs is loaded

    return AdminClient(settings.server.admin_socket_file, token)
