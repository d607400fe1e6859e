"""Requests for approval: message ↔ value."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from shared import errors
from shared.approval import MAX_INTENT, read_intent
from shared.approvals import MAX_NOTE, ApprovalState, ApprovalView, ApprovalWish, Signed
from shared.credential.approval import MOST_APPROVALS, Way
from shared.proto import approvals_pb2 as pb
from shared.proto.convert_facts import bounded
from shared.proto.convert_items import MAX_TEXT
from shared.proto.convert_sessions import ID_LENGTH, MAX_ROLES, decode_proof, encode_proof
from shared.sessions import LogonProof

MOST: Final = 1000
"""Requests in one answer."""


def encode_wish(wish: ApprovalWish) -> pb.RequestApprovalRequest:
    """Turn what is asked for into a message."""
    return pb.RequestApprovalRequest(
        operation=wish.way.value,
        holder=wish.holder,
        template=wish.template,
        card=wish.card,
        replaces=wish.replaces,
        primary=wish.primary,
        roles=wish.roles,
        note=wish.note,
    )


def decode_wish(message: pb.RequestApprovalRequest) -> ApprovalWish:
    """Read what is asked for.

    Raises:
        Invalid: nothing that is approved, or a text that is too long.
        Garbled: more roles than there are.
    """
    known = {way.value: way for way in Way}
    if message.operation not in known:
        raise errors.Invalid(field="operation", why=f"one of {', '.join(known)}")
    if len(message.roles) > MAX_ROLES:
        raise errors.Garbled(why="more roles than there are")
    return ApprovalWish(
        way=known[message.operation],
        holder=bounded(message.holder, MAX_TEXT, "holder"),
        template=bounded(message.template, MAX_TEXT, "template"),
        card=bounded(message.card, MAX_TEXT, "card"),
        replaces=bounded(message.replaces, MAX_TEXT, "replaces"),
        primary=bounded(message.primary, MAX_TEXT, "primary"),
        roles=tuple(bounded(role, MAX_TEXT, "role") for role in message.roles),
        note=bounded(message.note, MAX_NOTE, "note"),
    )


def encode_id(request_id: UUID) -> bytes:
    """Return a request's id as it travels."""
    return request_id.bytes


def decode_id(raw: bytes) -> UUID:
    """Read a request's id; `Garbled` where it has another length."""
    if len(raw) != ID_LENGTH:
        raise errors.Garbled(why=f"an id has {ID_LENGTH} bytes")
    return UUID(bytes=raw)


def encode_approval(request_id: UUID, proof: LogonProof, card: UUID | None) -> pb.ApproveRequest:
    """Turn an approval into a message."""
    return pb.ApproveRequest(
        request_id=request_id.bytes, proof=encode_proof(proof), card=card.bytes if card else b""
    )


def decode_approval(message: pb.ApproveRequest) -> tuple[UUID, LogonProof, UUID | None]:
    """Read an approval.

    Raises:
        Garbled: an id of another length, or a proof that is none.
        ApprovalRefused: it is no card's: an agent approves nothing.
    """
    proof = decode_proof(message.proof)
    if not isinstance(proof, LogonProof):
        raise errors.ApprovalRefused(why="it takes a card in a reader")
    return decode_id(message.request_id), proof, decode_id(message.card) if message.card else None


def encode_view(view: ApprovalView) -> pb.ApprovalView:
    """Turn a request into a message."""
    return pb.ApprovalView(
        intent=view.content,
        state=view.state.value,
        signed=[pb.ApprovalSigned(name=each.name, at=each.at.isoformat()) for each in view.signed],
        why=view.why,
        mine=view.mine,
        open_to_me=view.open_to_me,
    )


def decode_view(message: pb.ApprovalView) -> ApprovalView:
    """Read a request.

    Raises:
        Garbled: its intent is not in the one form, a state that this version does not know, or a time that is none.
    """
    if len(message.intent) > MAX_INTENT or len(message.signed) > MOST_APPROVALS:
        raise errors.Garbled(why="a request for approval is longer than any")
    read_intent(message.intent)
    try:
        state = ApprovalState(message.state)
        signed = tuple(
            Signed(name=bounded(each.name, MAX_TEXT, "name"), at=_time(each.at)) for each in message.signed
        )
    except ValueError as cause:
        raise errors.Garbled(why="a state or a time of a request for approval") from cause
    return ApprovalView(
        content=message.intent,
        state=state,
        signed=signed,
        why=bounded(message.why, MAX_NOTE, "why"),
        mine=message.mine,
        open_to_me=message.open_to_me,
    )


def encode_views(views: Sequence[ApprovalView]) -> pb.ListApprovalsReply:
    """Turn requests into a message."""
    return pb.ListApprovalsReply(approvals=map(encode_view, views))


def decode_views(message: pb.ListApprovalsReply) -> Sequence[ApprovalView]:
    """Read requests; raises as `decode_view`."""
    if len(message.approvals) > MOST:
        raise errors.Garbled(why="more requests than are listed")
    return tuple(map(decode_view, message.approvals))


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(bounded(text, MAX_TEXT, "time"))
    if at.tzinfo is None:
        raise errors.Garbled(why="a time without its zone")
    return at.astimezone(UTC)
