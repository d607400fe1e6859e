"""What the commands of `kiosk-server` share: settings, the line to the running server, the form of results."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import click

from server.settings import Settings, read_settings
from shared.display import json_line, visible, visible_lines


@dataclass(slots=True)
class Context:
    """What every command shares."""

    config: Path | None = None
    as_json: bool = False

    def settings(self) -> Settings:
        """Read `kiosk.toml`."""
        return read_settings(self.config)

    def result(self, values: dict[str, Any], text: str, *, ok: bool = True) -> None:
        """Print the result: one object, or words."""
        click.echo(json_line({"ok": ok, **values}) if self.as_json else visible_lines(text))


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
        setattr(options, "as_json" if param.name == "json" else "config", value)


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
        return [config, as_json, *super().get_params(ctx)]


class Commands(_Everywhere, click.Group):
    """A group whose commands, and itself, take the common options anywhere on the line."""

    command_class = _Everywhere
    group_class = type


def ask(context: Context, question: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
    """Put one question to the running server."""
    settings = context.settings()

    async def run() -> Any:
        async with client_of(settings) as client:
            return await question(client)

    return asyncio.run(run())


def client_of(settings: Settings) -> Any:
    """Return the line to the running server."""
    from server.rpc.admin import AdminClient  # noqa: PLC0415  # only what a command needs is loaded

    return AdminClient(settings.server.admin_socket_file)
