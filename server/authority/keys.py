"""Generations of the master key: how many cards each serves, who made it and why.

Making one is evidence before it happens and after: a generation whose maker was cut keeps its reason.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from server.authority.acts import Acts
from server.authority.services import KeyGeneration
from server.ports.keystore import MasterKeys
from server.ports.store import AuditKind, AuditRecord, AuditStore, CardStore
from shared import errors
from shared.credential.approval import Way
from shared.errors import Fact

SUBJECT: Final = "master-key"
WHY_MAX: Final = 500


class MasterKeyGenerations:
    """List the generations, and make the next one."""

    def __init__(
        self, keys: MasterKeys, cards: CardStore, audit: AuditStore, acts: Acts | None = None
    ) -> None:
        """Work on the key store that holds the master key; reasons are kept as evidence in `audit`.

        `acts` judges whether a new one takes a second person.
        """
        self._acts = acts
        self._keys = keys
        self._cards = cards
        self._audit = audit
        self._making = asyncio.Lock()

    async def all(self) -> Sequence[KeyGeneration]:
        """Return every generation, the oldest first."""
        cards = await self._cards.generations()
        reasons = {
            entry.record.facts.get("generation"): entry.record for entry in await self._audit.about(SUBJECT)
        }
        found = []
        for each in self._keys.generations:
            record = reasons.get(each.generation)
            found.append(
                KeyGeneration(
                    generation=each.generation,
                    created_at=each.created_at,
                    cards=cards.get(each.generation, 0),
                    why=str(record.facts.get("why", "")) if record else "",
                    actor=record.actor if record else "",
                )
            )
        return found

    async def make(self, why: str, actor: str) -> KeyGeneration:
        """Make the next generation; cards of older ones go on working and are updated when they appear.

        Raises:
            Invalid: there is no reason, or a very long one.
            ApprovalNeeded: a second person has to approve it first.
        """
        why = " ".join(why.split())
        if not 0 < len(why) <= WHY_MAX:
            raise errors.Invalid(field="why", why=f"1 to {WHY_MAX} characters")
        async with self._making:
            generation = self._keys.generations[-1].generation + 1
            if self._acts is not None:
                await self._acts.clear(Way.NEW_KEY_GENERATION, actor, detail=f"generation {generation}")
            facts: dict[str, Fact] = {"generation": generation, "why": why}
            await self._note("master key asked for", actor, facts)
            await self._keys.add_generation()
            await self._note("master key made", actor, facts)
            return (await self.all())[-1]

    async def _note(self, event: str, actor: str, facts: dict[str, Fact]) -> None:
        record = AuditRecord(kind=AuditKind.SERVER, event=event, actor=actor, subject=SUBJECT, facts=facts)
        await self._audit.append([record])
