"""Operators and roles: message ↔ value."""

from collections.abc import Sequence
from typing import Final

from server.authority.operator_admin import OperatorView
from server.authority.operators import OperatorSession, RoleView
from server.ports.operators import OperatorId, OperatorKind
from server.rpc.admin_messages import decode_id, moment, timestamp
from shared import errors
from shared.proto import operators_pb2 as pb
from shared.proto.convert_facts import MAX_NAME, bounded, inverse, member
from shared.proto.convert_sessions import METHOD_OF, METHODS, decode_grant, encode_grant
from shared.roles import SUBJECTS, Grant, Role

MAX_ROLES: Final = 100
"""Of one operator."""
MAX_GRANTS: Final = 3 * len(SUBJECTS)
"""In one change: every subject at every level."""

_KINDS: Final = {
    OperatorKind.SYSTEM_OWNER: pb.OPERATOR_KIND_SYSTEM_OWNER,
    OperatorKind.OPERATOR: pb.OPERATOR_KIND_OPERATOR,
    OperatorKind.APPLICATION: pb.OPERATOR_KIND_APPLICATION,
}
_KIND_OF: Final = inverse(_KINDS)


def encode_operator(view: OperatorView) -> pb.Operator:
    """Turn an operator into a message."""
    return pb.Operator(
        operator_id=view.operator_id.bytes,
        name=view.name,
        kind=_KINDS[view.kind],
        active=view.active,
        roles=sorted(view.roles),
        keys=view.keys,
        usable_keys=view.usable_keys,
        registered_at=timestamp(view.registered_at),
        last_logon_at=None if view.last_logon_at is None else timestamp(view.last_logon_at),
        failed_logons=view.failed_logons,
        locked_until=None if view.locked_until is None else timestamp(view.locked_until),
        sessions=[
            pb.OperatorSession(
                method=METHODS[each.method],
                possession_only=each.possession_only,
                station=each.station,
                began_at=timestamp(each.began_at),
                last_seen_at=timestamp(each.last_seen_at),
            )
            for each in view.sessions
        ],
    )


def decode_operator(message: pb.Operator) -> OperatorView:
    """Read an operator; `Garbled` for a kind or a method that nobody knows, or an id of another length."""
    return OperatorView(
        operator_id=OperatorId(decode_id(message.operator_id)),
        name=message.name,
        kind=member(_KIND_OF, message.kind, "operator's kind"),
        active=message.active,
        roles=frozenset(message.roles),
        keys=message.keys,
        usable_keys=message.usable_keys,
        registered_at=moment(message.registered_at),
        last_logon_at=moment(message.last_logon_at) if message.HasField("last_logon_at") else None,
        failed_logons=message.failed_logons,
        locked_until=moment(message.locked_until) if message.HasField("locked_until") else None,
        sessions=tuple(
            OperatorSession(
                method=member(METHOD_OF, each.method, "method"),
                possession_only=each.possession_only,
                station=each.station,
                began_at=moment(each.began_at),
                last_seen_at=moment(each.last_seen_at),
            )
            for each in message.sessions
        ),
    )


def decode_names(names: Sequence[str]) -> frozenset[str]:
    """Read the names of roles; `Invalid` for too many or too long ones."""
    if len(names) > MAX_ROLES:
        raise errors.Invalid(field="roles", why=f"more than {MAX_ROLES}")
    return frozenset(bounded(name, MAX_NAME, "role") for name in names)


def encode_role(view: RoleView) -> pb.Role:
    """Turn a role into a message."""
    return pb.Role(
        name=view.role.name,
        title=view.role.title,
        preset=view.role.preset,
        edited=view.edited,
        grants=[encode_grant(grant) for grant in view.role.grants],
        operators=view.operators,
    )


def decode_role(message: pb.Role) -> RoleView:
    """Read a role; raises as `decode_grant`."""
    return RoleView(
        role=Role(
            name=message.name,
            title=message.title,
            grants=tuple(decode_grant(grant) for grant in message.grants),
            preset=message.preset,
        ),
        edited=message.edited,
        operators=message.operators,
    )


def decode_grants(message: pb.EditRoleRequest) -> tuple[Grant, ...]:
    """Read the grants of a change; raises as `decode_grant`, and `Invalid` for too many."""
    if len(message.grants) > MAX_GRANTS:
        raise errors.Invalid(field="grants", why=f"more than {MAX_GRANTS}")
    return tuple(decode_grant(grant) for grant in message.grants)
