"""A lab with several cards, one of them in the reader at a time."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from kiosk.station.faces import Outcome
from server.operations.services import Services
from server.store.memory_cards import whole
from shared.clock import Clock
from shared.credential.model import CardRecord, CredentialRecord
from shared.piv.ids import ObjectId, ProfileName
from shared.relay import OperationKind
from tests.scenario.lab import BOB, Holder, Lab
from tests.scenario.templates import EMPLOYEE

PIN = "739154"


@dataclass
class Cabinet:
    """A lab, and its cards by their names."""

    lab: Lab
    cards: list[str] = field(default_factory=list)

    async def put(self, name: str, profile: ProfileName = ProfileName.YUBIKEY_5_7) -> None:
        """Put a card into the reader in the place of the one that is there; a name that is new is a new card."""
        if self.cards:
            await self.lab.readers.pull("Reader 1")
        if name in self.cards:
            await self.lab.readers.insert("Reader 1", name)
        else:
            await self.lab.insert(profile, serial=2001 + len(self.cards), name=name)
            self.cards.append(name)
        await self.lab.settle()

    async def issue(self, name: str, **asked: str) -> Outcome:
        """Issue the card `name`: as asked, else as an employee's badge for Bob."""
        await self.put(name)
        if not asked:
            asked = {"subject": BOB.holder, "template": "employee"}
        return await self.lab.perform(OperationKind.ISSUE, **asked)  # type: ignore[arg-type]  # texts only

    async def activate(self, name: str) -> Outcome:
        await self.put(name)
        return await self.lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))

    async def active(self, name: str, **asked: str) -> CredentialRecord:
        """Issue the card `name` and have it activated; return its credential."""
        issued = await self.issue(name, **asked)
        assert issued.error is None, issued.error
        activated = await self.activate(name)
        assert activated.error is None, activated.error
        return self.credential(name)

    def record(self, name: str) -> CardRecord:
        """Return the record of the card `name`."""
        serial = 2001 + self.cards.index(name)
        book = self.lab.store._book.state
        (record_id,) = [each.record_id for each in book.cards.values() if each.serial == serial]
        return whole(book, book.cards[record_id])

    def blank(self, name: str) -> bool:
        """Whether nothing was written to the card `name`."""
        return ObjectId.CHUID not in self.lab.readers.card(name).memory.objects

    def credential(self, name: str) -> CredentialRecord:
        found = self.record(name).credential
        assert found is not None
        return found

    def revoked(self, name: str) -> dict[str, int]:
        """Count the reasons for which certificates of the card `name` are revoked or on hold; `""`: they are good."""
        requests = {each.request_id for each in self.record(name).certificates}
        counts: dict[str, int] = {}
        for entry in self.lab.store._book.state.ledger.values():
            if entry.request_id in requests:
                counts[entry.reason] = counts.get(entry.reason, 0) + 1
        return counts


@asynccontextmanager
async def cabinet(
    *templates: str,
    clock: Clock | None = None,
    adapt: Callable[[Services], Services] = lambda services: services,
) -> AsyncIterator[Cabinet]:
    """Start a lab that issues by these templates, or employees' badges."""
    first, *others = templates or (EMPLOYEE,)
    lab = await Lab.start(template=first, clock=clock, adapt=adapt)
    try:
        for other in others:
            await lab.apply(other)
        yield Cabinet(lab)
    finally:
        await lab.close()
