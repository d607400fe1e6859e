"""A certificate authority that says nothing, does what it is asked and is not heard, takes its time, or forgets.

It signs with the keys and into the book of the built-in one, so that the judge sees everything that was signed.
"""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum, unique
from typing import Final, TypeVar
from uuid import uuid4

from server.connectors.ca.builtin import BuiltinAuthority
from server.ports.ca import Abilities, Issued, Outcome, Pending, Reason, SignRequest, Unanswered
from shared import errors
from shared.credential.model import RequestId


@unique
class Mood(StrEnum):
    """What becomes of a call."""

    ANSWERS = "answers"
    SILENT = "silent"
    """It is not reached: nothing happens."""
    UNHEARD = "unheard"
    """It does what it is asked, and the answer is lost."""
    LATE = "late"
    """A person there has to agree: every request waits, and is granted when it is asked about for the second time."""
    TWICE = "twice"
    """It signs as often as it is asked, and the first answer about each key is lost; it is found by the key."""
    NEVER = "never"
    """It signs what it is asked first, and nobody will ever hear of that: it cannot be searched, no key comes back."""


ODD: Final = (Mood.LATE, Mood.TWICE, Mood.NEVER)
"""How a certificate authority may be for good; the others come and go."""


T = TypeVar("T")


class MoodyAuthority:
    """The built-in authority, in a mood."""

    def __init__(self, authority: BuiltinAuthority) -> None:
        """Begin with answering."""
        self._authority = authority
        self.mood = Mood.ANSWERS
        self._waiting: dict[str, int] = {}
        self._asked: set[bytes] = set()
        self._lost: set[bytes] = set()
        self._heard = False
        self.sent_again = 0
        """How often a key came back whose answer was lost for ever."""

    def begin(self, mood: Mood) -> None:
        """Be in a mood from now on, and know of nothing that was asked before."""
        self.mood = mood
        self._waiting, self._asked, self._lost, self._heard = {}, set(), set(), False
        self.sent_again = 0

    @property
    def abilities(self) -> Abilities:
        """What it can do; one that takes its time, or cannot be searched, does not know at once."""
        own = self._authority.abilities
        return replace(own, find=self.mood is not Mood.NEVER, knows_at_once=self.mood not in ODD)

    async def trust(self) -> Sequence[bytes]:
        """Return the issuers."""
        return await self._authority.trust()

    async def issue(self, requests: Sequence[SignRequest]) -> Sequence[Outcome]:
        """Do what the mood says."""
        self._reach()
        match self.mood:
            case Mood.LATE:
                self._waiting.update((str(request.request_id), 0) for request in requests)
                return [Pending(str(request.request_id)) for request in requests]
            case Mood.TWICE:
                return [await self._twice(request) for request in requests]
            case Mood.NEVER:
                return await self._never(requests)
            case _:
                return self._said(await self._authority.issue(requests))

    async def find(self, request: SignRequest) -> Outcome | None:
        """Do what the mood says."""
        self._reach()
        match self.mood:
            case Mood.LATE:
                return await self._late(request)
            case Mood.TWICE:
                signed = await self._authority._ledger.by_public_key(request.public_key)
                valid = [entry for entry in signed if entry.revoked_at is None]
                return Issued(valid[-1].certificate, tuple(await self.trust())) if valid else None
            case Mood.NEVER:
                return None
            case _:
                return self._said(await self._authority.find(request))

    async def greet(self) -> None:
        """Be there, as the mood lets it."""
        self._reach()

    async def revoke(self, certificate: bytes, reason: Reason) -> None:
        """Revoke, as the mood lets it."""
        self._reach()
        await self._authority.revoke(certificate, reason)
        self._said(None)

    async def hold(self, certificate: bytes) -> None:
        """Put on hold, as the mood lets it."""
        self._reach()
        await self._authority.hold(certificate)
        self._said(None)

    async def release(self, certificate: bytes) -> None:
        """Lift a hold, as the mood lets it."""
        self._reach()
        await self._authority.release(certificate)
        self._said(None)

    async def _late(self, request: SignRequest) -> Outcome | None:
        number = request.reference or str(request.request_id)
        if number not in self._waiting:
            return await self._authority.find(request)
        self._waiting[number] += 1
        if self._waiting[number] < 2:
            return Pending(number)
        return (await self._authority.issue([request]))[0]

    async def _twice(self, request: SignRequest) -> Outcome:
        again = request.public_key in self._asked
        self._asked.add(request.public_key)
        asked = replace(request, request_id=RequestId(uuid4())) if again else request
        (outcome,) = await self._authority.issue([asked])
        return outcome if again else Unanswered("no answer")

    async def _never(self, requests: Sequence[SignRequest]) -> Sequence[Outcome]:
        keys = {request.public_key for request in requests}
        self.sent_again += len(keys & self._lost)
        outcomes = await self._authority.issue(requests)
        heard, self._heard = self._heard, True
        if heard:
            return outcomes
        self._lost |= keys
        return [Unanswered("no answer")] * len(requests)

    def _reach(self) -> None:
        if self.mood is Mood.SILENT:
            raise errors.ConnectorUnreachable(connection="built-in")

    def _said(self, answer: T) -> T:
        if self.mood is Mood.UNHEARD:
            raise errors.ConnectorUnreachable(connection="built-in")
        return answer
