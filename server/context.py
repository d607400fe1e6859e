"""What the commands of `kiosk-server` share: settings, the line to the running server, the form of results."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from server.settings import Settings, read_settings
from shared.display import visible_lines


@dataclass(slots=True)
class Context:
    """What every command shares."""

    config: Path | None
    as_json: bool

    def settings(self) -> Settings:
        """Read `kiosk.toml`."""
        return read_settings(self.config)

    def result(self, values: dict[str, Any], text: str) -> None:
        """Print the result: one object, or words."""
        click.echo(json.dumps(values, sort_keys=True) if self.as_json else visible_lines(text))


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
