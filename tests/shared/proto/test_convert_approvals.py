"""Requests for approval over the wire: what is sent is what comes, or nothing."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import errors
from shared.approvals import ApprovalState, ApprovalView, ApprovalWish, Signed
from shared.credential.approval import Way
from shared.proto import approvals_pb2 as pb
from shared.proto import sessions_pb2
from shared.proto.convert_approvals import (
    decode_approval,
    decode_id,
    decode_view,
    decode_views,
    decode_wish,
    encode_approval,
    encode_view,
    encode_views,
    encode_wish,
)
from shared.sessions import LogonProof
from tests.shared.test_approval import INTENT, intents

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
texts = st.text(st.characters(exclude_categories=["C"]), max_size=20)
views = st.builds(
    ApprovalView,
    content=intents().map(bytes),
    state=st.sampled_from(ApprovalState),
    signed=st.lists(st.builds(Signed, name=texts, at=st.just(NOON)), max_size=9).map(tuple),
    why=texts,
    mine=st.booleans(),
    open_to_me=st.booleans(),
)
VIEW = ApprovalView(content=bytes(INTENT), state=ApprovalState.OPEN)
PROOF = LogonProof(text=b"text", certificate=b"certificate", signature=b"signature")


@given(views)
def test_a_request_comes_as_it_was_sent(view: ApprovalView) -> None:
    assert decode_view(encode_view(view)) == view
    assert decode_views(encode_views([view, view])) == (view, view)


@given(
    st.builds(
        ApprovalWish,
        way=st.sampled_from(Way),
        holder=texts,
        template=texts,
        card=texts,
        replaces=texts,
        primary=texts,
        roles=st.lists(texts, max_size=3).map(tuple),
        note=texts,
    )
)
def test_a_wish_comes_as_it_was_sent(wish: ApprovalWish) -> None:
    assert decode_wish(encode_wish(wish)) == wish


@pytest.mark.parametrize("card", [None, UUID(int=7)])
def test_an_approval_comes_as_it_was_sent(card: UUID | None) -> None:
    request_id = uuid4()
    assert decode_approval(encode_approval(request_id, PROOF, card)) == (request_id, PROOF, card)


def test_an_agents_proof_is_no_approval() -> None:
    proof = sessions_pb2.LogonProof(text=b"text", agent_signature=b"signature")
    with pytest.raises(errors.ApprovalRefused):
        decode_approval(pb.ApproveRequest(request_id=bytes(16), proof=proof))


@pytest.mark.parametrize(
    "changed",
    [
        {"intent": bytes(INTENT)[:-1]},
        {"intent": bytes(INTENT) + b"\0"},
        {"intent": b"x" * 40_000},
        {"state": "approved"},
        {"signed": [pb.ApprovalSigned(name="Anna", at="yesterday")]},
        {"signed": [pb.ApprovalSigned(name="Anna", at="2026-03-01T12:00:00")]},
        {"signed": [pb.ApprovalSigned(name="Anna", at=NOON.isoformat())] * 10},
    ],
)
def test_what_cannot_be_read_is_refused(changed: dict[str, object]) -> None:
    message = encode_view(VIEW)
    for name, value in changed.items():
        message.ClearField(name)  # type: ignore[arg-type]  # a field's name
        message.MergeFrom(pb.ApprovalView(**{name: value}))  # type: ignore[arg-type]  # likewise
    with pytest.raises(errors.Garbled):
        decode_view(message)


def test_ids_and_wishes_have_bounds() -> None:
    with pytest.raises(errors.Garbled):
        decode_id(b"short")
    for wish in (
        pb.RequestApprovalRequest(operation="revoke"),
        replace_note("x" * 501),
    ):
        with pytest.raises(errors.Invalid):
            decode_wish(wish)
    with pytest.raises(errors.Garbled):
        decode_wish(pb.RequestApprovalRequest(operation="issue", roles=["role"] * 101))
    with pytest.raises(errors.Garbled):
        decode_views(pb.ListApprovalsReply(approvals=[encode_view(VIEW)] * 1001))


def replace_note(note: str) -> pb.RequestApprovalRequest:
    message = encode_wish(replace(ApprovalWish(way=Way.ISSUE), holder="8d3f"))
    message.note = note
    return message
