"""A server that is killed in the middle of a job: `python -m tests.server.jobs.victim CONFIG before|after`.

It is the product's, but for its certificate authority, in which it dies: before a certificate is revoked, or after it was
and before anybody heard of it.
"""

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from server import wiring
from server.connectors.ca.builtin import BuiltinAuthority
from server.ports.ca import Reason
from server.settings import read_settings
from shared.clock import SystemClock


class Deadly:
    """The built-in authority, which nobody survives."""

    def __init__(self, inner: BuiltinAuthority, *, after: bool) -> None:
        """Kill this process before or `after` it has revoked."""
        self._inner = inner
        self._after = after

    def __getattr__(self, name: str) -> object:
        """Do everything else as the authority does it."""
        return getattr(self._inner, name)

    async def revoke(self, certificate: bytes, reason: Reason) -> None:
        """Revoke a certificate, if there is time for it."""
        if self._after:
            await self._inner.revoke(certificate, reason)
        os.kill(os.getpid(), signal.SIGKILL)


async def serve(config: Path, *, after: bool) -> None:
    """Serve until the first task is tried."""
    settings = read_settings(config).server
    assert settings.key_store.passphrase is not None
    parts = await wiring.open_parts(settings, settings.key_store.passphrase, SystemClock())
    inner = parts.services.authorities[wiring.BUILT_IN]
    assert isinstance(inner, BuiltinAuthority)
    deadly = Deadly(inner, after=after)
    authorities = {wiring.BUILT_IN: deadly}
    services = replace(parts.services, authorities=authorities)  # type: ignore[arg-type]  # it stands in
    server = wiring.Server(replace(parts, services=services))
    await server.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), after=sys.argv[2] == "after"))
