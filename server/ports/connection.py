"""Connections: what every connector of an outside system says of itself, whatever its port.

A *connector* is code for one product (`server.connectors.PORT.PRODUCT`); a *connection* is one of them, named and
configured. Each product's file exports one `Kind`: its fields, from which commands, forms and documents are made, what it
can do at the most, and how it is built. A connection's test says step by step what works and what does not.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Any, Final, Protocol, runtime_checkable

from server.ports.line import Line
from shared.clock import Clock
from shared.secret import Secret

CONNECTION_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")
"""How a connection may be called; templates name it."""


@unique
class Port(StrEnum):
    """What a connection is for."""

    CA = "ca"
    DIRECTORY = "directory"


@unique
class Ability(StrEnum):
    """What a connection may be able to do; a template that needs more is refused when it is checked."""

    # certificate authorities
    ISSUE = "issue"
    PENDING = "pending"
    """A request may wait for a person; the server asks again, also after a restart."""
    FIND = "find"
    """What became of a request whose answer was lost can be found out."""
    REVOKE = "revoke"
    REASONS = "reasons"
    """Revocation carries a reason of RFC 5280."""
    HOLD = "hold"
    RELEASE = "release"
    PROFILES = "profiles"
    """Profiles can be asked for."""
    ESCROW = "escrow"
    """It makes and keeps keys for encryption."""
    SUBJECT_OVERRIDE = "subject-override"
    """Subject and names come from us, not from its own record of the person."""
    ON_BEHALF_OF = "on-behalf-of"
    """It takes the signature of a registration authority for somebody else's request."""
    PROOF_BY_SERVER = "proof-by-server"
    """It takes our word that a key is held that cannot sign a request."""
    # directories
    SEARCH = "search"
    PHOTO = "photo"
    AUTHENTICATE = "authenticate"
    """It can say whether somebody is this holder: by password, or by a code on another device."""
    LEAVERS = "leavers"
    """It says that a person has gone or is disabled."""
    WRITE_BACK = "write-back"


@unique
class FieldKind(StrEnum):
    """What a configuration field holds, and how it is written in TOML."""

    TEXT = "text"
    NUMBER = "number"
    FLAG = "flag"
    CHOICE = "choice"
    URL = "url"
    SECRET = "secret"  # noqa: S105  # the word, not one
    """Sealed in the record, never shown again: a password, a token, a private key in PEM."""
    CERTIFICATES = "certificates"
    """Certificates in PEM: trust roots, a client's own chain."""
    TEXTS = "texts"
    """A list of texts."""
    MAP = "map"
    """Names of ours to texts of theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a connection's configuration. `name` is as in TOML; `help` one sentence for forms and documents."""

    name: str
    kind: FieldKind
    title: str
    help: str = ""
    required: bool = False
    default: str | int | bool | None = None
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None


Value = str | int | bool | tuple[str, ...] | Mapping[str, str] | Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """A connection's name and its values, checked against its kind's fields; defaults are filled in, secrets opened."""

    name: str
    kind: str
    values: Mapping[str, Value]

    def text(self, name: str) -> str:
        """Return a text field; empty where it was left out."""
        value = self.values.get(name, "")
        assert isinstance(value, str), name
        return value

    def number(self, name: str) -> int:
        """Return a number field, which has a value or a default."""
        value = self.values[name]
        assert isinstance(value, int), name
        return value

    def flag(self, name: str) -> bool:
        """Return a flag; false where it was left out."""
        return self.values.get(name, False) is True

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts; empty where it was left out."""
        value = self.values.get(name, ())
        assert isinstance(value, tuple), name
        return value

    def mapping(self, name: str) -> Mapping[str, str]:
        """Return a table of texts; empty where it was left out."""
        value = self.values.get(name, {})
        assert isinstance(value, Mapping), name
        return value

    def secret(self, name: str) -> Secret | None:
        """Return a secret; None where it was left out."""
        value = self.values.get(name)
        assert value is None or isinstance(value, Secret), name
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a connector may use besides its configuration. `others` finds another connection of the same port by name.

    A connection that revokes for another, and a chain of directories, name others; a ring of them is refused before
    anything is built. Whatever is asked of the outside goes through `line`.
    """

    clock: Clock
    line: Line
    others: Callable[[str], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One product's connector, described. `page` is its document below docs/connectors/, `abilities` the most it can do.

    `build` makes the connector and does no I/O. `extra` names what has to be installed besides (an extra of the
    package); a connection of a kind whose extra is missing is refused when it is configured and at start-up.
    """

    name: str
    port: Port
    title: str
    fields: tuple[Field, ...]
    abilities: frozenset[Ability]
    build: Callable[[Configured, Surroundings], Any]
    page: str
    extra: str = ""
    refers: tuple[str, ...] = ()
    """Fields that name other connections."""


# --- testing a connection -------------------------------------------------------------------------------


@unique
class Aspect(StrEnum):
    """What a test looks at, in this order; each needs the ones before it on its way."""

    CONFIGURATION = "configuration"
    RESOLUTION = "name resolution"
    CONNECTION = "connection"
    TLS = "TLS"
    CREDENTIALS = "credentials"
    CLOCK = "clock"
    SEARCH = "right to search"
    PROFILES = "profiles"
    ENROL = "right to enrol"
    REVOKE = "right to revoke"
    EXPIRY = "expiry of our credential"


@unique
class Verdict(StrEnum):
    """How one aspect stands."""

    WORKS = "works"
    FAILS = "fails"
    UNKNOWN = "unknown"
    """It cannot be found out without doing it."""
    NOT_THERE = "not there"
    """The product has no such thing."""
    SKIPPED = "skipped"
    """Something before it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of a test; `detail` says exactly what was found, and what to do where it fails. Never a secret."""

    aspect: Aspect
    verdict: Verdict
    detail: str = ""


@runtime_checkable
class CanTest(Protocol):
    """Say what works. Changes nothing at the other end, and raises nothing: what fails is a finding."""

    async def test(self) -> Sequence[Finding]:
        """Return findings in the order of `Aspect`."""
        ...


@runtime_checkable
class CanClose(Protocol):
    """Let go of lines that are held open."""

    async def close(self) -> None:
        """Close; the connector is not used after that."""
        ...


@runtime_checkable
class HoldsCredential(Protocol):
    """Has a credential of its own at the other end (a registration authority's certificate) that expires."""

    async def credential_ends(self) -> datetime | None:
        """Return until when it is good; None where that cannot be told."""
        ...
