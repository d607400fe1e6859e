"""What every store holds to, whatever it is made of."""

from typing import Final

from server.ports.ca import Reason
from server.ports.store import Opening
from shared import errors
from shared.credential.model import State

LEASE_UNPROVEN_S: Final = 30
"""How long a lease lives under which nothing was written yet."""

LEASE_PROVEN_S: Final = 120
"""How long it lives after a write: longer than the slowest key generation on a card."""

DONE: Final = "done"
"""The code with which an operation ends well."""

CLOSED_CREDENTIAL: Final = frozenset({State.REVOKED, State.RETIRED, State.DELETED})
"""A card has at most one credential in any other state."""

FORGOTTEN_CREDENTIAL: Final = frozenset({State.RETIRED, State.DELETED})
"""A card's record does not show a credential in one of these."""

ON_HOLD: Final = Reason.CERTIFICATE_HOLD.value
"""The reason in the certificate authority's book of what may still be released."""


def check_revocation(reason: str) -> None:
    """Refuse to revoke for good for a reason that says it is not.

    Raises:
        Invalid: it is a hold's.
    """
    if reason == ON_HOLD:
        raise errors.Invalid(field="reason", why="a hold is not a revocation")


def check_opening(opening: Opening) -> None:
    """Refuse an opening that contradicts itself.

    Raises:
        Invalid: the new card has another record id.
    """
    if opening.new_card is not None and opening.new_card.record_id != opening.record_id:
        raise errors.Invalid(field="new_card", why="another record id")
