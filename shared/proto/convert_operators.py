"""Operators as a desk shows them: message → value."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from shared import errors
from shared.operators import LoggedOnAt, OperatorSummary, RoleSummary
from shared.proto import operators_pb2 as pb
from shared.proto.convert_facts import member
from shared.proto.convert_sessions import METHOD_OF, decode_grant
from shared.roles import Role

ID_LENGTH: Final = 16

_KINDS: Final = {
    pb.OPERATOR_KIND_SYSTEM_OWNER: "system-owner",
    pb.OPERATOR_KIND_OPERATOR: "operator",
    pb.OPERATOR_KIND_APPLICATION: "application",
}


def decode_operator(message: pb.Operator) -> OperatorSummary:
    """Read an operator; `Garbled` for a kind or a method that nobody knows, or an id of another length."""
    if len(message.operator_id) != ID_LENGTH:
        raise errors.Garbled(why="an operator's id")
    return OperatorSummary(
        operator_id=UUID(bytes=message.operator_id),
        name=message.name,
        kind=member(_KINDS, message.kind, "operator's kind"),
        active=message.active,
        roles=frozenset(message.roles),
        keys=message.keys,
        usable_keys=message.usable_keys,
        last_logon_at=_moment(message.last_logon_at) if message.HasField("last_logon_at") else None,
        failed_logons=message.failed_logons,
        locked_until=_moment(message.locked_until) if message.HasField("locked_until") else None,
        sessions=tuple(
            LoggedOnAt(
                method=member(METHOD_OF, each.method, "method"),
                possession_only=each.possession_only,
                station=each.station,
                began_at=_moment(each.began_at),
            )
            for each in message.sessions
        ),
    )


def decode_roles(messages: Sequence[pb.Role]) -> tuple[RoleSummary, ...]:
    """Read roles; raises as `decode_grant`."""
    return tuple(
        RoleSummary(
            role=Role(
                name=each.name,
                title=each.title,
                grants=tuple(decode_grant(grant) for grant in each.grants),
                preset=each.preset,
            ),
            operators=each.operators,
        )
        for each in messages
    )


def _moment(stamp: Timestamp) -> datetime:
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as cause:
        raise errors.Garbled(why="a time") from cause
