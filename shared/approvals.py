"""Requests for approval, as values on both ends of the wire."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Final
from uuid import UUID

from shared.approval import Intent, read_intent
from shared.credential.approval import Way

MAX_NOTE: Final = 500
"""Characters of what the requester, or who declines, has to say."""


@unique
class ApprovalState(StrEnum):
    """What became of a request."""

    OPEN = "open"
    """It waits for approvals, or to be spent."""
    SPENT = "spent"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalWish:
    """What somebody wants to have approved, in the words of whoever will do it; the server makes an intent of it.

    An issue names a holder and a template, and perhaps what it `replaces`, or its `primary` credential; everything else
    names the `card` by its record, or a credential by its id. `note` is for who approves.
    """

    way: Way
    holder: str = ""
    template: str = ""
    card: str = ""
    replaces: str = ""
    primary: str = ""
    roles: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """Who approved, and when."""

    name: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalView:
    """A request as somebody may see it. `content` is the intent in the form whose digest is signed.

    What is shown of it is read from there (`intent`), so that what is approved is what was read. `mine`: who looks asked for
    it; `open_to_me`: who looks may approve it.
    """

    content: bytes
    state: ApprovalState
    signed: tuple[Signed, ...] = ()
    why: str = ""
    mine: bool = False
    open_to_me: bool = False

    @property
    def intent(self) -> Intent:
        """What is asked for; `Garbled` where it is not in the one form."""
        return read_intent(self.content)

    @property
    def request_id(self) -> UUID:
        """Which request it is."""
        return self.intent.request_id

    @property
    def left(self) -> int:
        """How many approvals it still takes."""
        return max(0, self.intent.count - len(self.signed))
