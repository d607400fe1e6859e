"""What services of their own need of a station's line: questions over the present channel, and who speaks with whom."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import grpc.aio

from kiosk.ports import LineEnds

R = TypeVar("R")


class Asking(Protocol):
    """A line to the server, as `kiosk.backend.client.GrpcBackend` is one."""

    @property
    def ends(self) -> LineEnds:
        """Who speaks with whom, as TLS has proven it."""
        ...

    @property
    def of_holder(self) -> bool:
        """Whether a holder is logged on, who asks a service of their own."""
        ...

    async def ask(
        self, question: Callable[[grpc.aio.Channel, float, Sequence[tuple[str, str | bytes]]], Awaitable[R]]
    ) -> R:
        """Put one question over the present channel, with the time it may take and what goes with every call."""
        ...
