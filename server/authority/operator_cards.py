"""Credentials that carry roles: whoever makes one usable manages operators, and may do all that its roles allow.

That a second person agrees is asked for, too, and comes with approvals.

Source: card-rules section 7 (operators' own credentials).
"""

from collections.abc import Iterable
from typing import Final

from server.authority.acting import all_roles
from server.authority.policy import MORE_THAN_OWN, Needs, Principal, authorise, roles_of
from server.ports.operators import OperatorKind, OperatorRecord, OperatorStore
from server.ports.store import Store
from shared import errors
from shared.credential.lifecycle import OperationKind, reachable
from shared.credential.model import OWNERS, CardRecord, CredentialRecord, HolderId
from shared.roles import Act, Area, Level, Role, Subject

GUARDED: Final[frozenset[Subject]] = frozenset(
    {
        OperationKind.ISSUE,
        OperationKind.ACTIVATE,
        OperationKind.UNBLOCK,
        OperationKind.REISSUE,
        OperationKind.RESUME,
        *(Act.READ_OUT, Act.UNBLOCK_CODE),
    }
)
"""What makes such a credential usable, or lets somebody do so."""

_MANAGES: Final = Needs(subject=Area.OPERATORS, level=Level.EXECUTE)


async def operator_of(operators: OperatorStore, holder: HolderId) -> OperatorRecord | None:
    """Return the operator that this person is."""
    found = await operators.of_holder(holder)
    return next((each for each in found if each.kind is not OperatorKind.APPLICATION), None)


async def carried(store: Store, credential: CredentialRecord) -> tuple[Role, ...]:
    """Return the roles that a credential gives now: those of its operator, or, before there is one, of its issue."""
    known = await all_roles(store.roles)
    operator = await operator_of(store.operators, credential.holder)
    if operator is not None:
        return tuple(roles_of(operator, known))
    return tuple(known[name] for name in credential.roles if name in known)


def authorise_carried(principal: Principal, roles: Iterable[Role]) -> None:
    """Refuse a credential with these roles to whom it would give more than they have.

    Whoever makes the first start gives what nobody has yet.

    Raises:
        NotAllowed: no right to manage operators, or a role may do what the principal may not.
    """
    if principal.first_start:
        return
    authorise(principal, _MANAGES, None)
    if not all(principal.permissions.covers(role.grants) for role in roles):
        raise errors.NotAllowed(what=MORE_THAN_OWN)


# --- the System Owner's ---------------------------------------------------------------------------------

OWNERS_WAYS: Final = frozenset(
    {
        OperationKind.ACTIVATE,
        OperationKind.CHANGE_PIN,
        OperationKind.UNBLOCK,
        OperationKind.UPDATE,
        OperationKind.RENEW,
        OperationKind.REISSUE,
    }
)
"""What is done to the System Owner's card: it asks for the PIN or the code that its owner alone knows, or leaves both alone."""


def known_to_owner(record: CardRecord) -> bool:
    """Whether the card's unblock code is known to its owner alone, or may be since it was cut."""
    return OWNERS in {record.puk.proven, record.puk.pending}


def open_ways(record: CardRecord) -> tuple[OperationKind, ...]:
    """Return what may start with a card in its state, the obvious next one first; less where it is the System Owner's."""
    ways = reachable(record.state)
    if record.credential is None or not known_to_owner(record):
        return ways
    return tuple(way for way in ways if way in OWNERS_WAYS)


async def check_not_owners(operators: OperatorStore, record: CardRecord) -> None:
    """Refuse the System Owner's card: nobody takes the way back in away, or opens it.

    One whose place another one took in a first start that was opened again is a card like others.

    Raises:
        OwnersCode: it is.
    """
    credential = record.credential
    if credential is None or not known_to_owner(record):
        return
    operator = await operators.by_credential(credential.credential_id)
    if operator is None or operator.kind is not OperatorKind.SYSTEM_OWNER:
        return
    if any(key.active and key.credential_id == credential.credential_id for key in operator.keys):
        raise errors.OwnersCode
