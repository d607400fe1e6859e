"""An operator's credential: the roles that it carries from its issue on, and the key that logs its holder on once it is active.

The roles are chosen when a person becomes an operator. Whoever is one already keeps what they have: another card, or one in
the place of a lost one, gives them another key and nothing else.
"""

import hashlib
from collections.abc import Iterable
from uuid import uuid4

from server.authority.acting import all_roles
from server.authority.operator_cards import GUARDED, carried, operator_of
from server.authority.operator_keys import public_key_of
from server.authority.policy import roles_of
from server.operations.operation import Operation
from server.operations.system_owner import check_turn, owners_roles
from server.ports.audit import AuditKind
from server.ports.operators import (
    LogonMethod,
    OperatorId,
    OperatorKey,
    OperatorKind,
    OperatorRecord,
)
from server.ports.store import OperatorRegistered
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.credential.model import CertificateRecord, CredentialRecord, Person, State
from shared.credential.template import Template
from shared.first_start import SYSTEM_OWNER
from shared.piv.ids import Slot
from shared.roles import Area, Level, union


async def settle_roles(op: Operation, template: Template, person: Person) -> None:
    """Settle what roles a new credential carries, and who may therefore issue it; see `Operation.roles`.

    Raises:
        Invalid: roles for a credential that is not an operator's, none for one that is, unknown ones, or others than the
            person has already.
        OperationInterrupted: the issue that was cut began with other roles.
        NotAllowed: who asks does not manage operators, or may not do what the roles allow.
    """
    cut = op.record.open_operation if op.record else None
    asked = tuple(sorted(set(op.begin.roles)))
    if cut is not None and cut.kind == OperationKind.ISSUE:
        if asked and asked != cut.roles:
            raise errors.OperationInterrupted(operation=cut.kind)
        asked = cut.roles
    await check_turn(op, template, person)
    asked = owners_roles(template) or asked
    if not template.operator:
        if asked:
            raise errors.Invalid(field="role", why="only a credential of an operator carries roles")
        return
    store = op.services.store
    known = await all_roles(store.roles)
    operator = await operator_of(store.operators, person.holder)
    if operator is not None:
        present = tuple(sorted(role.name for role in roles_of(operator, known)))
        if op.begin.roles and asked != present:
            why = f"{person.name} is an operator already, with {', '.join(present) or 'none'}"
            raise errors.Invalid(field="role", why=why)
        asked = present
    unknown = [name for name in asked if name not in known]
    if unknown or not asked:
        why = f"no role {unknown[0]}" if unknown else "an operator's credential carries one at least"
        raise errors.Invalid(field="role", why=f"{why}; there are {', '.join(known)}")
    roles = tuple(known[name] for name in asked)
    manages = union(roles).allowed(Area.OPERATORS, None) is Level.EXECUTE
    starting = op.caller.principal is not None and op.caller.principal.first_start
    if not manages and (starting or not await store.operators.exist()):
        raise errors.Invalid(field="role", why="the first operator has to manage operators")
    op.roles = asked
    op.carries = roles
    await op.permit()


async def check_carried(op: Operation) -> None:
    """Refuse to make an operator's credential usable to whom it would give more than they have.

    Raises:
        NotAllowed: who asks does not manage operators, or may not do what the roles allow.
        Invalid: a role that its holder was to get is no more; it has to be issued again.
    """
    credential = op.record.credential if op.record else None
    if credential is None or not credential.roles or op.begin.operation not in GUARDED:
        return
    store = op.services.store
    op.carries = await carried(store, credential)
    await op.permit()
    if op.begin.operation is OperationKind.ACTIVATE:
        known = await all_roles(store.roles)
        gone = [name for name in credential.roles if name not in known]
        if gone and await operator_of(store.operators, credential.holder) is None:
            raise errors.Invalid(
                field="role", why=f"there is no role {gone[0]} any more; issue the card again"
            )


def register_operator(
    op: Operation, credential: CredentialRecord, certificates: Iterable[CertificateRecord]
) -> bool:
    """Note that the key in 9A logs the holder on, for the commit that makes the credential active or gives it the key.

    Returns:
        Whether it does: the credential may carry no roles.
    """
    assert op.record is not None
    found = [each for each in certificates if each.slot is Slot.AUTHENTICATION and each.certificate]
    if not credential.roles or credential.state is not State.ACTIVE or not found:
        return False
    digest = hashlib.sha256(public_key_of(found[-1].certificate)).digest()
    operator = OperatorRecord(
        operator_id=OperatorId(uuid4()),
        name=credential.holder_name,
        kind=OperatorKind.SYSTEM_OWNER if credential.holder == SYSTEM_OWNER else OperatorKind.OPERATOR,
        registered_at=op.services.clock.now(),
        holder=credential.holder,
        roles=frozenset(credential.roles),
        keys=(OperatorKey(digest=digest, method=LogonMethod.CARD, credential_id=credential.credential_id),),
    )
    op.journal.note(OperatorRegistered(operator=operator, replaces=credential.replaces))
    op.journal.evidence(
        AuditKind.OPERATOR,
        "operator-card",
        op.record.record_id,
        credential=str(credential.credential_id),
        holder=credential.holder,
        roles=" ".join(credential.roles),
    )
    return True
