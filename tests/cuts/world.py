"""One card, two stations that the server knows, and the card's holder. What the server is, a subclass says."""

import os
import random
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final

from kiosk.devices.virtual.reader import VirtualReaders
from kiosk.ports import Backend
from kiosk.station.faces import Outcome
from kiosk.station.relay import Relay, RelayParts
from server.ports.keystore import KeyStore
from server.ports.store import LedgerEntry
from shared.clock import SystemClock
from shared.credential.model import CardRecord, CertificateAction, RecordId, RequestId
from shared.credential.reasons import Cause
from shared.piv.chuid import Chuid
from shared.piv.ids import ObjectId, ProfileName
from shared.relay import Begin, OperationKind
from shared.virtual.card import VirtualCard
from shared.virtual.faults import Fault
from shared.virtual.memory import Memory
from tests.cuts.authority import Mood
from tests.cuts.cut import FAULTS, Counts, Cut, CutKind
from tests.cuts.holder import Holder
from tests.scenario.lab import Notes

DESKS: Final = ("Desk 1", "Desk 2")
CARD: Final = "card"
TEMPLATE: Final = "employee"


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What the server keeps: the records of all cards, the certificate authority's ledger, the means to derive."""

    records: Sequence[CardRecord]
    ledger: Sequence[LedgerEntry] = field(repr=False)
    keystore: KeyStore = field(repr=False)

    @property
    def queue(self) -> Mapping[RequestId, CertificateAction]:
        """What the certificate authority still has to do, by the request of the certificate."""
        return {task.request_id: task.action for record in self.records for task in record.tasks}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How an operation went, what it consisted of, and whether its cut happened."""

    outcome: Outcome
    counts: Counts
    cut: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The credential that is replaced, and why."""

    replaces: str
    reason: str


class World(ABC):
    """The stations' side of an installation."""

    kinds: tuple[CutKind, ...]
    """What can be cut here."""
    subject: str
    """The holder's id in the directory."""

    def __init__(self) -> None:
        """Attach two readers; there is no card yet."""
        self.readers = VirtualReaders(DESKS)
        self.holder = Holder(random.Random(0))
        self.place: Place | None = None

    @property
    def card(self) -> VirtualCard:
        """The card."""
        return self.readers.card(CARD)

    def put_on_table(self, card: VirtualCard, holder: Holder) -> None:
        """Begin with this card and its holder."""
        self.readers.add_card(CARD, card)
        self.holder = holder

    async def new_card(self, profile: ProfileName, chance: random.Random) -> None:
        """Begin with a card from the factory."""
        self.place = None
        self._factory_card(profile, chance)

    async def replace_card(self, profile: ProfileName, chance: random.Random, cause: Cause) -> None:
        """Put the card away for good, and go on with one from the factory, which is to replace it."""
        guid = Chuid.from_bytes(self.card.memory.objects[ObjectId.CHUID]).guid
        (record,) = [each for each in (await self.books()).records if each.record_id == guid]
        assert record.credential is not None
        self.place = Place(replaces=str(record.credential.credential_id), reason=cause.value)
        self._factory_card(profile, chance)

    def _factory_card(self, profile: ProfileName, chance: random.Random) -> None:
        serial = chance.randint(1, 0xFFFFFFFF)
        self.put_on_table(VirtualCard.new(profile, serial=serial, random=os.urandom), Holder(chance))

    def begin(self, mood: Mood) -> None:
        """Have the certificate authority be in a mood; a server that was started again goes on with the same cards."""
        assert mood is Mood.ANSWERS, "only where the authority is in this process"

    async def agree(self, kind: OperationKind) -> None:
        """Let the template ask for an approval of an operation, have somebody ask for it, and somebody else approve it."""
        raise AssertionError(kind)  # only where the record is in this process

    def sent_again(self) -> int:
        """Return how often a key was sent again whose answer was lost where nobody can look for it."""
        return 0

    def remember(self, name: str) -> None:
        """Keep this moment to come back to; where that cannot be done, nothing happens."""
        del name

    def recall(self, name: str, chance: random.Random) -> bool:
        """Come back to a moment; False where it was not kept."""
        del name, chance
        return False

    def alter(self, change: Callable[[Memory], Memory]) -> None:
        """Change the card behind everybody's back."""
        self.card._applet.memory = change(self.card.memory)

    async def perform(
        self, kind: OperationKind, desk: int, cut: Cut | None = None, *, reason: str = ""
    ) -> Ran:
        """Put the card into the reader of a station and do an operation there; it may be cut."""
        reader = DESKS[desk]
        await self.readers.insert(reader, CARD)
        card = self.card
        if cut is not None and cut.kind in FAULTS:
            card.faults.arm(Fault(kind=FAULTS[cut.kind], at=cut.at))
        before = card.commands
        self.holder.begins()
        async with self.line(desk, cut) as line:
            parts = RelayParts(
                readers=self.readers,
                backend=line.backend,
                clock=SystemClock(),
                random_below=secrets.randbelow,
            )
            issues = kind is OperationKind.ISSUE
            begin = Begin(
                operation=kind,
                reader=reader,
                virtual=True,
                holder=self.subject if issues else "",
                template=TEMPLATE if issues else "",
                reason=reason,
            )
            if issues and self.place is not None:
                place = self.place
                begin = Begin(
                    operation=kind, reader=reader, virtual=True, replaces=place.replaces, reason=place.reason
                )
            outcome = await Relay(parts, begin, self.holder, Notes()).run()
        if outcome.error is None:
            self.holder.done()
        happened = line.cut
        if cut is not None and cut.kind in FAULTS:
            happened = not card.faults
            card.faults.disarm()
        return Ran(outcome=outcome, counts=line.counts(card.commands - before), cut=happened)

    async def close(self) -> None:
        """End everything."""
        await self.readers.close()

    @abstractmethod
    def line(self, desk: int, cut: Cut | None) -> "AbstractAsyncContextManager[Line]":
        """Open the line of one station for one operation."""

    @abstractmethod
    async def renew_master_key(self) -> None:
        """Have the server make the next generation of its master key."""

    @abstractmethod
    async def decide(self, record_id: RecordId, kind: OperationKind, reason: str) -> None:
        """Have an operator at the second desk decide about a card that is not there."""

    @abstractmethod
    async def follow(self) -> None:
        """Have the server do what follows from one credential for others, as its job does."""

    @abstractmethod
    async def books(self) -> Books:
        """Open the server's books."""


class Line(ABC):
    """The line for one operation."""

    backend: Backend
    cut: bool = False

    @abstractmethod
    def counts(self, commands: int) -> Counts:
        """Return what went over it, beside `commands` of the card."""
