"""Look-ups across cards by their credentials, and the codes with which holders unblock them.

Reading needs no lease: what is found may have changed by the time its card is opened.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from server.ports.audit import AuditRecord
from shared.credential.model import CardRecord, CredentialId, HolderId, TemplateRef


class CredentialStore(Protocol):
    """Cards, found by the credentials on them.

    A card's credential is the newest one that is neither retired nor deleted; a revoked one still shows whose card it
    was. In use: issued, active or suspended.
    """

    async def of_holder(self, holder: HolderId) -> Sequence[CardRecord]:
        """Return the cards of this holder, and those that an open operation is making for them."""
        ...

    async def by_credential(self, credential_id: CredentialId) -> CardRecord | None:
        """Return the card that this credential is or was on, showing this credential, whatever came after it."""
        ...

    async def templates_in_use(self) -> AbstractSet[TemplateRef]:
        """Return the versions of templates that credentials in use were issued by."""
        ...

    async def search(self, text: str, limit: int) -> Sequence[CardRecord]:
        """Return cards whose holder's name or id contains `text`, in any case, by name."""
        ...

    async def ending(self, before: datetime) -> Sequence[CardRecord]:
        """Return cards with a temporary credential in use that ends by then, the earliest first."""
        ...

    async def succeeding(self) -> Sequence[CardRecord]:
        """Return cards with a credential in use that is temporary, or replaces one that is still in use.

        And those whose open operation makes one that replaces such a one.
        """
        ...

    async def expiring(self, before: datetime) -> Sequence[CardRecord]:
        """Return cards with a credential in use whose confirmed certificate in any slot expires by then, the earliest first.

        The newest confirmed certificate of a slot counts, not one that it took the place of.
        """
        ...

    async def stale(self, before: datetime, limit: int) -> Sequence[CardRecord]:
        """Return cards without a credential in use whose open operation began before then and left a certificate behind.

        That is one requested or issued, for which nothing is asked of its authority yet. Nobody may ever come back with
        such a card: the certificate becomes an orphan. The oldest first.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UnblockCode:
    """A right to unblock one credential once. The code itself is not kept: `digest` is what it is judged by."""

    credential_id: CredentialId
    digest: bytes = field(repr=False)
    expires_at: datetime
    attempts_left: int


class CodeStore(Protocol):
    """One-time unblock codes, at most one for a credential."""

    async def add(self, code: UnblockCode, audit: AuditRecord) -> None:
        """Store a code; the credential's earlier one no longer counts.

        Raises:
            Invalid: it leaves no attempt.
            StoreConflict: there is no such credential.
        """
        ...

    async def check(self, credential_id: CredentialId, digest: bytes, now: datetime) -> bool:
        """Return whether the code fits and is alive, and leave it; a wrong one costs an attempt, the last one the code.

        It ends with the commit that does what it is for (`CodeEnded`).
        """
        ...

    async def redeem(self, credential_id: CredentialId, digest: bytes, now: datetime) -> bool:
        """Spend the code and return True where it fits and is alive; a wrong one as in `check`."""
        ...
