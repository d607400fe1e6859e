"""What one credential means for its holder's others is decided here: what is due is derived, and then carried out.

Each decision is a commit of its own, on its own card. Whoever does something that has consequences carries them out at
once; where that fails, or the server dies between two cards, a job does it later.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from server.authority.access import ITSELF, Caller
from server.operations.away import Decided, Decisions
from server.operations.services import Services
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.credential.model import CardRecord, CredentialId, HolderId, RecordId
from shared.credential.reasons import Cause
from shared.credential.succession import Due, due, stands_in
from shared.credential.template_reading import parse_template

log = logging.getLogger(__name__)

LATER: Final = "later"


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What followed from a credential for its holder's others; `failure` is why something is left for later."""

    done: tuple[Due, ...] = ()
    waiting: int = 0
    failure: errors.KioskError | None = None

    @property
    def facts(self) -> dict[str, errors.Fact]:
        """What faces are told of it: keys for words."""
        keys = [each.operation.value if each.follows else "temporary" for each in self.done]
        keys += [LATER] if self.failure is not None else []
        return {"followed": " ".join(dict.fromkeys(keys))} if keys else {}


class Succession:
    """Carry out what follows from replacements and temporary credentials."""

    def __init__(self, services: Services) -> None:
        """Work with `services`."""
        self._services = services
        self._decisions = Decisions(services)

    async def decide(
        self, caller: Caller, record_id: RecordId, operation: OperationKind, reason: str
    ) -> Decided:
        """Take a decision about a credential whose card is not here, with all that follows; raises as `Decisions.decide`.

        A credential is resumed after the temporary one that stands in for it has ended, so that there never are two.
        """
        record = await self._services.store.cards.card(record_id)
        before = partial(self._make_way, caller, operation)
        decided = await self._decisions.decide(caller, record_id, operation, reason, before=before)
        holder = holder_of(record)
        followed = await self.follow(caller, holder) if holder else Followed()
        waiting = decided.waiting + followed.waiting
        facts = {**decided.facts, **followed.facts, "waiting": waiting}
        return Decided(state=decided.state, facts=facts, waiting=waiting)

    async def follow(self, caller: Caller, holder: HolderId) -> Followed:
        """Carry out whatever is due among the credentials of a holder. What fails is left for later, and logged."""
        done: list[Due] = []
        waiting = 0
        tried: set[RecordId] = set()
        failure: errors.KioskError | None = None
        while True:
            cards = await self._services.store.credentials.of_holder(holder)
            found = due(cards, await self._suspending(cards))
            item = next((each for each in found if each.card.record_id not in tried), None)
            if item is None:
                return Followed(done=tuple(done), waiting=waiting, failure=failure)
            tried.add(item.card.record_id)
            try:
                decided = await self._decide(caller, item)
            except (errors.CardLeased, errors.StoreConflict) as error:
                log.warning("%s of another credential of its holder waits: %s", item.operation, error.code)
                failure = failure or error
            else:
                done.append(item)
                waiting += decided.waiting

    async def follow_all(self) -> int:
        """Carry out whatever is due among the credentials of all holders; return how much that was."""
        cards = await self._services.store.credentials.succeeding()
        holders = {holder: None for card in cards if (holder := holder_of(card))}
        return sum([len((await self.follow(ITSELF, holder)).done) for holder in holders])

    async def make_way(self, caller: Caller, record: CardRecord) -> None:
        """End the temporary credential that stands in for one that is about to be resumed.

        Raises:
            CardLeased, StoreConflict: it is not ended.
        """
        if record.credential is None:
            return
        cards = await self._services.store.credentials.of_holder(record.credential.holder)
        for card in stands_in(cards, record.credential.credential_id):
            await self._decide(caller, Due(card=card, operation=OperationKind.REVOKE, cause=Cause.ENDED))

    async def _make_way(self, caller: Caller, operation: OperationKind, record: CardRecord) -> None:
        if operation is OperationKind.RESUME:
            await self.make_way(caller, record)

    async def _decide(self, caller: Caller, item: Due) -> Decided:
        credential = item.card.credential
        because: dict[str, errors.Fact] = {}
        if item.follows is not None:
            because = {"follows": str(item.follows)}
        elif credential is not None and credential.primary is not None:
            because = {"primary": str(credential.primary)}
        return await self._decisions.follow(caller, item.card, item.operation, item.cause, because)

    async def _suspending(self, cards: Sequence[CardRecord]) -> frozenset[CredentialId]:
        """Return the temporary credentials whose templates suspend the primary one."""
        found = set()
        for card in cards:
            credential = card.credential
            if credential is None or credential.primary is None:
                continue
            stored = await self._services.store.templates.version(credential.template)
            temporary = parse_template(stored.text).temporary if stored is not None else None
            if temporary is None or temporary.suspend_primary:
                found.add(credential.credential_id)
        return frozenset(found)


def holder_of(record: CardRecord | None) -> HolderId | None:
    """Return whose a card is, or whose it is about to be."""
    if record is not None and record.credential is not None:
        return record.credential.holder
    if record is not None and record.open_operation is not None:
        return record.open_operation.holder or None
    return None
