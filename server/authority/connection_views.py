"""Connections as administrators see them, and what is asked about them: values in and out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, unique
from typing import Any, Protocol

from server.authority.connection_values import secrets_of
from server.ports.ca import Abilities
from server.ports.connection import Ability, Configured, Finding, HoldsCredential, Kind, Port, Value
from server.ports.line import Line, LineState
from shared import errors


@unique
class Source(StrEnum):
    """Where a connection comes from."""

    SERVER = "server"
    """It is part of the server."""
    SETTINGS = "settings"
    """`kiosk.toml` gives it; it changes there, with a restart."""
    RECORD = "record"
    """An administrator added it."""


class LinkedConnection(Protocol):
    """A connection as it stands (`server.switchboard.Linked`)."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def kind(self) -> Kind:
        """Its kind."""
        ...

    @property
    def connector(self) -> Any | None:
        """What was built; None where it does not work."""
        ...

    @property
    def line(self) -> Line | None:
        """The way out."""
        ...

    @property
    def configured(self) -> Configured | None:
        """What it was built from."""
        ...

    @property
    def problem(self) -> errors.KioskError | None:
        """Why it does not work."""
        ...


class Live(Protocol):
    """Whatever holds the connections that are in use (`server.switchboard.Switchboard`)."""

    @property
    def linked(self) -> Sequence[LinkedConnection]:
        """Every connection by port and name."""
        ...

    def named(self, name: str) -> LinkedConnection | None:
        """Return one by its name."""
        ...

    def try_out(self, kind: Kind, configured: Configured) -> LinkedConnection:
        """Build one without using it."""
        ...

    def connect(self, kind: Kind, configured: Configured) -> None:
        """Build one and use it from now on."""
        ...

    def restore(self, kind: Kind, configured: Configured) -> None:
        """Connect, or keep what is wrong."""
        ...

    def fail(
        self, name: str, kind: Kind, problem: errors.KioskError, configured: Configured | None = None
    ) -> None:
        """Keep one that does not work."""
        ...

    def drop(self, name: str) -> None:
        """Forget one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionView:
    """A connection as administrators see it: everything but its secrets, of which only the names are told."""

    name: str
    kind: str
    port: Port
    source: Source
    abilities: tuple[Ability, ...]
    version: int = 0
    changed_at: datetime | None = None
    changed_by: str = ""
    values: Mapping[str, Value] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    """Templates whose newest version names it."""
    line: LineState | None = None
    credential_ends: datetime | None = None
    problem: errors.KioskError | None = None


class ConnectionsService(Protocol):
    """What administrators ask about connections. Who may ask was judged before (`access`)."""

    async def all(self) -> Sequence[ConnectionView]:
        """Return every connection, by port and name."""
        ...

    async def add(self, name: str, kind: str, values: Mapping[str, Value]) -> ConnectionView:
        """Add a connection and use it at once.

        Raises:
            Invalid: the name or a value cannot be used, or the name is taken.
            NotSupported: there is no such kind, or an extra is not installed.
        """
        ...

    async def edit(self, name: str, values: Mapping[str, Value], unset: Sequence[str]) -> ConnectionView:
        """Set these values and take those `unset` away; all others stay, secrets too. Raises as `add`."""
        ...

    async def remove(self, name: str) -> None:
        """Forget a connection and its secrets.

        Raises:
            Invalid: there is none of this name, or it is not kept here.
            NotAllowed: a template, a credential or another connection needs it; `what` says which.
        """
        ...

    async def test(self, name: str) -> Sequence[Finding]:
        """Return what works of a connection and what does not; `Invalid` where there is none."""
        ...


def secret_fields(linked: LinkedConnection) -> tuple[str, ...]:
    """Return the names of the fields that hold secrets."""
    values = linked.configured.values if linked.configured else {}
    return tuple(sorted(secrets_of(values)))


async def credential_ends(linked: LinkedConnection) -> datetime | None:
    """Return until when the credential is good by which the other end knows us; None where that cannot be told."""
    if not isinstance(linked.connector, HoldsCredential):
        return None
    try:
        return await linked.connector.credential_ends()
    except errors.ConnectorError:
        return None


def abilities_of(linked: LinkedConnection) -> tuple[Ability, ...]:
    """Return what a connection can do as it is configured; at the most what its kind can."""
    own = getattr(linked.connector, "abilities", linked.kind.abilities)
    if isinstance(own, Abilities):
        lacking = {
            Ability.REVOKE: own.revoke,
            Ability.REASONS: own.revoke,
            Ability.HOLD: own.hold,
            Ability.RELEASE: own.hold,
            Ability.PROOF_BY_SERVER: own.proof_by_server,
        }
        own = {each for each in linked.kind.abilities if lacking.get(each, True)}
    return tuple(each for each in Ability if each in own)
