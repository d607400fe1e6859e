"""Directories: where people come from, and what some of them can do besides being searched."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from server.ports.connection import Ability
from shared.credential.model import HolderId, Person
from shared.secret import Secret


class Directory(Protocol):
    """Find people. Read only. Raises `ConnectorUnreachable` and `ConnectorRefused`.

    Attribute names of a `Person` are the ones that templates use: `user`, `upn`, `mail`, `name`, `given-name`,
    `surname`, `department`, `title`, `employee-id`, `sid`, `photo`, `birth-date`; the connector maps its own names to
    them.
    """

    async def search(self, text: str, limit: int) -> Sequence[Person]:
        """Return at most `limit` people whose name, log-on name, mail or number matches `text`."""
        ...

    async def get(self, holder: HolderId) -> Person | None:
        """Return the person with this immutable id, or None."""
        ...


@runtime_checkable
class HasAbilities(Protocol):
    """Says what it can do as it is configured: less, perhaps, than its kind can."""

    @property
    def abilities(self) -> frozenset[Ability]:
        """Those of the abilities of a directory that it has."""
        ...


@runtime_checkable
class CanMatch(Protocol):
    """Find people by one attribute that has exactly this value; a chain of directories needs it."""

    async def match(self, attribute: str, value: str, limit: int) -> Sequence[Person]:
        """Return at most `limit` people. `attribute` is a name that templates use; raises as `search`."""
        ...


@runtime_checkable
class CanAuthenticate(Protocol):
    """Say whether somebody is this holder, by the password that the directory knows."""

    async def authenticate(self, holder: HolderId, password: Secret) -> bool:
        """Return whether it is the holder's password; false for a wrong or empty one, and for nobody.

        The directory counts what fails: whoever calls this counts first, and stops before the account is locked.

        Raises:
            ConnectorUnreachable: it was not asked, or did not answer.
            ConnectorRefused: the password cannot count now: locked, disabled, expired, has to be changed.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeLogon:
    """A log-on that is finished on another device ([RFC 8628]).

    The person opens `address` there and types `code`; `whole_address` has the code in it, for a picture, and may be
    empty. `handle` is what asks for the outcome, not more often than every `interval_s` seconds, until `ends_at`.
    """

    code: str
    address: str
    whole_address: str = ""
    ends_at: datetime
    interval_s: int = 5
    handle: Secret = field(repr=False)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nobody has typed the code yet. Ask again after `interval_s` seconds."""

    interval_s: int


@dataclass(frozen=True, slots=True)
class Known:
    """Somebody logged on, and it is this holder."""

    holder: HolderId


@dataclass(frozen=True, slots=True)
class NotKnown:
    """Nobody logged on in time, somebody said no, or it is another person: `reason` says which."""

    reason: str


CodeOutcome = Waiting | Known | NotKnown


@runtime_checkable
class CanAuthenticateByCode(Protocol):
    """Say whether somebody is this holder, by a log-on on another device. Raises as `Directory`."""

    async def begin(self, holder: HolderId) -> CodeLogon:
        """Ask for a code that this holder may log on with."""
        ...

    async def outcome(self, holder: HolderId, logon: CodeLogon) -> CodeOutcome:
        """Ask once what became of it; only `holder`, by their immutable id, is `Known`."""
        ...


@runtime_checkable
class CanWriteBack(Protocol):
    """Tell the directory which certificates a person has: to be found by, and to log on with.

    Called for certificates that were written to the card and proven there. Doing either again is no error, and nothing
    but what was written for this certificate is taken away.
    """

    async def publish(self, holder: HolderId, certificate: bytes) -> None:
        """Add a certificate (DER), or what maps it to the account.

        Raises:
            ConnectorUnreachable: no answer; it may have been done.
            ConnectorRefused: no such person, no right to, or no room for another one.
        """
        ...

    async def withdraw(self, holder: HolderId, certificate: bytes) -> None:
        """Take it away; raises as `publish`, but a person who is gone needs nothing."""
        ...
