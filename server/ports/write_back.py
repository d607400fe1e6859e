"""What directories are told of certificates: that one is its holder's, and that it is not any more."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Protocol

from server.ports.audit import AuditRecord
from shared.credential.model import NEVER, HolderId, RecordId, RequestId


@unique
class WriteBackAction(StrEnum):
    """What is to be done with a certificate in its holder's entry."""

    PUBLISH = "publish"
    WITHDRAW = "withdraw"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteBack:
    """One certificate in its holder's entry of a directory, kept for as long as it is there or is to be.

    `done`: it was published, and is there; of one that was withdrawn nothing is kept. `failure` is what came of the last of
    the `attempts`.
    """

    request_id: RequestId
    record_id: RecordId
    connection: str
    holder: HolderId
    action: WriteBackAction
    asked_at: datetime
    next_at: datetime
    attempts: int = 0
    failure: str = ""
    done: bool = False

    @property
    def given_up(self) -> bool:
        """Whether an administrator gave it up: it is not tried any more."""
        return not self.done and self.next_at >= NEVER


class WriteBackStore(Protocol):
    """What directories still have to be told, and what they were told; asked for under a card's lease, done without one.

    Publishing is asked for by a change. Withdrawing follows on its own, in the same commit: from a revocation that is asked
    for, and from a card's being out of use for good. So no way there forgets the directory.
    """

    async def due(self, now: datetime, limit: int) -> Sequence[WriteBack]:
        """Return what waits and whose time has come, what was asked for earliest first; at most `limit` of each connection."""
        ...

    async def waiting(self) -> Sequence[WriteBack]:
        """Return everything that a directory was not told yet, in the order in which it was asked for."""
        ...

    async def of_card(self, record_id: RecordId) -> Sequence[WriteBack]:
        """Return what directories were told, or are to be, of the certificates of one card."""
        ...

    async def settle(self, entry: WriteBack, audit: AuditRecord) -> bool:
        """Keep evidence of what the directory did: remember what was published, forget what was withdrawn.

        Returns:
            Whether it was still this (the same action, asked for at the same time).
        """
        ...

    async def failed(self, entry: WriteBack, failure: str, next_at: datetime) -> bool:
        """Count an attempt and say when to try again; returns whether it was still this."""
        ...

    async def give_up(self, entry: WriteBack, why: str, audit: AuditRecord) -> bool:
        """Keep what is not tried any more, with the reason and evidence in the same commit.

        Returns:
            Whether it was still this; where not, nothing was written.
        """
        ...

    async def count(self, connection: str) -> int:
        """Count what this directory was told, and has to be told to forget one day."""
        ...
