"""One credential in the place of another: replacements, temporary ones, and what follows from them for the others.

What follows is derived from the records of a holder's cards, again and again, so that nothing is lost where a server dies
between two cards: whoever looks next does the rest.

- A replacement ends the credential that it replaces. Where somebody may misuse that one, it is revoked as soon as the new
  one is begun with; else when the new one is active, so that its holder always has one that works.
- A temporary credential suspends the one that it stands in for when it is active itself; it never outlives it, unless that
  one is being replaced: then it lasts until the replacement is active.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from shared.credential.lifecycle import OperationKind
from shared.credential.model import CardRecord, CredentialId, CredentialRecord, RecordId, State
from shared.credential.reasons import Cause

IN_USE: Final = frozenset({State.ISSUED, State.ACTIVE, State.SUSPENDED})
"""A credential that is in use, or may be again."""

AT_ONCE: Final = frozenset({Cause.LOST, Cause.STOLEN, Cause.COMPROMISED})
"""Causes for which the old credential is revoked as soon as the new one is begun with: somebody may misuse it."""

REPLACING: Final = (
    Cause.LOST,
    Cause.STOLEN,
    Cause.COMPROMISED,
    Cause.DAMAGED,
    Cause.NAME_CHANGED,
    Cause.REPLACED,
)
"""Why a credential is replaced. One that was forgotten will be back: a temporary one stands in for it."""

STANDING_IN: Final = (Cause.FORGOTTEN, Cause.DAMAGED, Cause.LOST)
"""Why a temporary credential stands in for another one, the usual cause first. One that is lost may be found again."""

TEMPORARY_OUT: Final = "temporary-out"
REPLACEMENT_ISSUED: Final = "replacement-issued"
TEMPORARY: Final = "temporary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What is to be decided about a card because of its holder's card `follows`; None: because its primary one ended."""

    card: CardRecord
    operation: OperationKind
    cause: Cause
    follows: RecordId | None = None


def due(cards: Sequence[CardRecord], suspending: Collection[CredentialId]) -> tuple[Due, ...]:
    """Return what follows from the credentials of one holder for each other.

    `cards` are all cards of the holder, `suspending` the temporary credentials whose templates suspend the primary one.
    Carrying it out may make more due.
    """
    used = _used(cards)
    found: list[Due] = []
    for card in cards:
        cut = card.open_operation
        begun = used.get(cut.replaces) if cut is not None and cut.replaces is not None else None
        if cut is not None and begun is not None and cut.reason in AT_ONCE:
            found.append(_due(begun[0], OperationKind.REVOKE, Cause(cut.reason), card))
    for card, new in used.values():
        replaced = used.get(new.replaces) if new.replaces is not None else None
        if replaced is not None and new.state is not State.ISSUED:
            cause = _cause(new, REPLACING, Cause.REPLACED)
            found.append(_due(replaced[0], OperationKind.REVOKE, cause, card))
        if new.primary is None:
            continue
        primary = used.get(new.primary)
        if primary is None and new.primary not in _being_replaced(cards):
            found.append(Due(card=card, operation=OperationKind.REVOKE, cause=Cause.ENDED))
        elif (
            primary is not None
            and (primary[1].state, new.state) == (State.ACTIVE, State.ACTIVE)
            and new.credential_id in suspending
        ):
            cause = _cause(new, STANDING_IN, STANDING_IN[0])
            found.append(_due(primary[0], OperationKind.SUSPEND, cause, card))
    return tuple(found)


def stands_in(cards: Sequence[CardRecord], primary: CredentialId) -> tuple[CardRecord, ...]:
    """Return the cards whose credentials in use stand in for this one."""
    return tuple(card for card, credential in _used(cards).values() if credential.primary == primary)


def notices(cards: Sequence[CardRecord], credential: CredentialRecord) -> tuple[str, ...]:
    """Return what is remarkable about a credential among all of its holder's, as keys for words."""
    used = [each for _, each in _used(cards).values()]
    found = {
        TEMPORARY: credential.ends_at is not None,
        TEMPORARY_OUT: any(each.primary == credential.credential_id for each in used),
        REPLACEMENT_ISSUED: any(each.replaces == credential.credential_id for each in used),
    }
    return tuple(key for key, shown in found.items() if shown)


def _used(cards: Sequence[CardRecord]) -> dict[CredentialId, tuple[CardRecord, CredentialRecord]]:
    return {
        card.credential.credential_id: (card, card.credential)
        for card in cards
        if card.credential is not None and card.credential.state in IN_USE
    }


def _being_replaced(cards: Sequence[CardRecord]) -> Collection[CredentialId | None]:
    """Return the credentials whose replacements are being made, or are not active yet."""
    cut = {card.open_operation.replaces for card in cards if card.open_operation is not None}
    return cut | {new.replaces for _, new in _used(cards).values() if new.state is State.ISSUED}


def _due(card: CardRecord, operation: OperationKind, cause: Cause, because: CardRecord) -> Due:
    return Due(card=card, operation=operation, cause=cause, follows=because.record_id)


def _cause(new: CredentialRecord, among: Sequence[Cause], usual: Cause) -> Cause:
    """Return why a credential was made in the place of another one; the usual cause where that is not known any more."""
    return next((cause for cause in among if cause.value == new.reason), usual)
