"""The connections that are live: built from what is configured, exchanged while the server runs.

Operations find them by name in `authorities` and `directories`, which always show what is live now. One that cannot be built is
kept with what is wrong, so that it is seen (`connections list`, `doctor`) and nothing else stops working. One that others refer
to is exchanged together with them.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from server.connectors.calling import GuardedLine, Limits
from server.connectors.kinds import missing
from server.ports.ca import CertificateAuthority
from server.ports.connection import CanClose, Configured, Kind, Port, Surroundings
from server.ports.directory import Directory
from shared import errors
from shared.clock import Clock

log = logging.getLogger(__name__)

T = TypeVar("T")

LEAVE_AFTER_S: Final = 120.0
"""How long calls that are under way may keep a connection that was exchanged."""
LOOK_AGAIN_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """One connection as it stands. Without `connector` it does not work, and `problem` says why.

    `configured` is None for one that comes with the server or from its settings.
    """

    name: str
    kind: Kind
    connector: Any | None = None
    line: GuardedLine | None = None
    configured: Configured | None = None
    problem: errors.KioskError | None = None


class Switchboard:
    """Hold the live connections, and exchange them."""

    def __init__(self, clock: Clock) -> None:
        """Begin with none."""
        self._clock = clock
        self._linked: dict[tuple[Port, str], Linked] = {}
        self._leaving: dict[asyncio.Task[None], Linked] = {}
        self.authorities: Final[Mapping[str, CertificateAuthority]] = _Live(self._linked, Port.CA)
        self.directories: Final[Mapping[str, Directory]] = _Live(self._linked, Port.DIRECTORY)

    @property
    def linked(self) -> Sequence[Linked]:
        """Every connection by port and name, those that do not work included."""
        return [linked for _, linked in sorted(self._linked.items())]

    def named(self, name: str) -> Linked | None:
        """Return a connection by its name; of two that come with the server, the certificate authority."""
        return next((each for each in self.linked if each.name == name), None)

    def line(self, name: str, *, timeout_s: float = 15.0, at_once: int = 64) -> GuardedLine:
        """Return a line for a connection that is made elsewhere."""
        return GuardedLine(name, self._clock, Limits(timeout_s=timeout_s, at_once=at_once))

    def fix(self, name: str, kind: Kind, connector: Any, line: GuardedLine | None = None) -> None:
        """Add one that comes with the server or from its settings; it is never exchanged."""
        self._linked[kind.port, name] = Linked(name=name, kind=kind, connector=connector, line=line)

    def try_out(self, kind: Kind, configured: Configured) -> Linked:
        """Build a connection without using it.

        Raises:
            Invalid: a value cannot be used; or it refers to itself, to another port, or to what is not there.
            NotSupported: an extra is not installed, or there can be no other of this kind.
            ConfigMissing, ConfigInvalid: a file on the server is not there, or is wrong.
        """
        if lacking := missing(kind):
            what = f"the kind {kind.name} without the extra {kind.extra} ({', '.join(lacking)})"
            raise errors.NotSupported(what=what)
        self._check_references(kind, configured)
        values = configured.values
        limits = Limits(
            timeout_s=float(str(values.get("timeout-s", 15))), at_once=int(str(values.get("at-once", 64)))
        )
        line = GuardedLine(configured.name, self._clock, limits)
        around = Surroundings(clock=self._clock, line=line, others=self._finder(kind.port))
        connector = kind.build(configured, around)
        return Linked(name=configured.name, kind=kind, connector=connector, line=line, configured=configured)

    def connect(self, kind: Kind, configured: Configured) -> None:
        """Build a connection and use it from now on, in the place of one of its name; raises as `try_out`."""
        built = self.try_out(kind, configured)
        self._exchange(built)
        for each in self._referring(configured.name):
            self.restore(each.kind, each.configured)  # type: ignore[arg-type]  # only those that were configured refer

    def restore(self, kind: Kind, configured: Configured) -> None:
        """Connect, or keep what is wrong: one connection that cannot be built does not keep a server from starting."""
        try:
            self.connect(kind, configured)
        except errors.KioskError as problem:
            log.error("the connection %s does not work: %s", configured.name, problem)  # noqa: TRY400
            self.fail(configured.name, kind, problem, configured)

    def fail(
        self, name: str, kind: Kind, problem: errors.KioskError, configured: Configured | None = None
    ) -> None:
        """Keep a connection that does not work, with what is wrong."""
        self._exchange(Linked(name=name, kind=kind, configured=configured, problem=problem))

    def drop(self, name: str) -> None:
        """Forget a connection."""
        for place in [(port, name) for port in Port]:
            old = self._linked.pop(place, None)
            if old is not None:
                self._leave(old)

    async def close(self) -> None:
        """Let go of all of them."""
        leaving = dict(self._leaving)
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
        for linked in (*leaving.values(), *self._linked.values()):
            await _close(linked)

    def _exchange(self, built: Linked) -> None:
        place = (built.kind.port, built.name)
        old = self._linked.get(place)
        self._linked[place] = built
        if old is not None:
            self._leave(old)

    def _leave(self, old: Linked) -> None:
        """Close one that is not used any more, once its calls have ended."""
        if old.connector is None:
            return
        task = asyncio.get_running_loop().create_task(self._left(old))
        self._leaving[task] = old
        task.add_done_callback(self._leaving.pop)

    async def _left(self, old: Linked) -> None:
        ends = self._clock.monotonic() + LEAVE_AFTER_S
        while old.line and old.line.state.running and self._clock.monotonic() < ends:  # noqa: ASYNC110  # a line counts, and wakes nobody
            await asyncio.sleep(LOOK_AGAIN_S)
        await _close(old)

    def _finder(self, port: Port) -> Callable[[str], Any]:
        def find(name: str) -> Any:
            linked = self._linked.get((port, name))
            if linked is None or linked.connector is None:
                raise errors.Invalid(field="connection", why=f"there is no {port} {name} that works")
            return linked.connector

        return find

    def _check_references(self, kind: Kind, configured: Configured) -> None:
        """Refuse a ring of connections that refer to each other, however long."""
        seen: set[str] = set()
        waiting = list(references(kind, configured))
        while waiting:
            name = waiting.pop()
            if name == configured.name:
                raise errors.Invalid(field=kind.refers[0], why="it would refer to itself in the end")
            if name in seen:
                continue
            seen.add(name)
            other = self._linked.get((kind.port, name))
            if other is not None and other.configured is not None:
                waiting += references(other.kind, other.configured)

    def _referring(self, name: str) -> list[Linked]:
        return [
            each
            for each in self._linked.values()
            if each.configured is not None and name in references(each.kind, each.configured)
        ]


def references(kind: Kind, configured: Configured) -> tuple[str, ...]:
    """Return the names of the connections that this one refers to."""
    return tuple(name for field in kind.refers if (name := configured.text(field)))


async def _close(linked: Linked) -> None:
    if isinstance(linked.connector, CanClose):
        with contextlib.suppress(errors.ConnectorError):  # it is gone already
            await linked.connector.close()


class _Live(Mapping[str, T]):
    """The connectors of one port that work, as they are at each look."""

    def __init__(self, linked: Mapping[tuple[Port, str], Linked], port: Port) -> None:
        self._linked = linked
        self._port = port

    def __getitem__(self, name: str) -> T:
        linked = self._linked[self._port, name]
        if linked.connector is None:
            raise KeyError(name)
        connector: T = linked.connector
        return connector

    def __iter__(self) -> Iterator[str]:
        return iter(
            [
                name
                for (port, name), linked in self._linked.items()
                if port is self._port and linked.connector is not None
            ]
        )

    def __len__(self) -> int:
        return len(list(iter(self)))
