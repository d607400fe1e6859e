"""What holders may do to their own credentials, and how they have to prove who they are: the table `[self-service]`.

Nothing is allowed that the table does not name. A credential that carries roles is no matter of self-service at all.

Source: card-rules section 7 (operators' own credentials).
"""

from collections.abc import Mapping
from enum import StrEnum, unique
from types import MappingProxyType
from typing import Final

from shared.credential.lifecycle import OperationKind
from shared.credential.model import State


@unique
class HolderProof(StrEnum):
    """How a holder proves who they are."""

    PASSWORD = "password"  # noqa: S105  # a word for a kind of proof
    """The directory's."""
    CARD = "card"
    """A card with an active credential of theirs, and its PIN."""
    CODE = "code"
    """What an operator made for one credential, good once."""
    DEVICE = "device"
    """A log-on at the directory, finished on another device ([RFC 8628])."""


SelfService = Mapping[OperationKind, frozenset[HolderProof]]
"""Operations, and the proofs that each takes; what is not in it is not allowed."""

NO_SELF_SERVICE: Final[SelfService] = MappingProxyType({})

_ALL: Final = frozenset(HolderProof)

PROOFS: Final[SelfService] = MappingProxyType(
    {
        OperationKind.ISSUE: frozenset({HolderProof.PASSWORD, HolderProof.CARD, HolderProof.DEVICE}),
        OperationKind.ACTIVATE: _ALL,
        OperationKind.CHANGE_PIN: _ALL,
        OperationKind.UNBLOCK: _ALL,
        OperationKind.RENEW: _ALL,
        OperationKind.REISSUE: _ALL,
        OperationKind.SUSPEND: _ALL,
        OperationKind.REVOKE: _ALL,
        OperationKind.RETIRE: _ALL,
    }
)
"""What a template may allow at all: every other operation is one of operators. A code is for one credential, so that it
issues none."""

NOT_BY_ITSELF: Final = frozenset({OperationKind.ACTIVATE, OperationKind.UNBLOCK})
"""What a card does not prove for itself: whoever has to set a PIN that was never set, or is blocked, shows something else."""

FOR_CODES: Final[Mapping[State, OperationKind]] = MappingProxyType(
    {State.ISSUED: OperationKind.ACTIVATE, State.ACTIVE: OperationKind.UNBLOCK}
)
"""What a code that an operator makes for a credential in this state is for."""
