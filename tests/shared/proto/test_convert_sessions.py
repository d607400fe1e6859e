"""Log-ons survive the wire; what no value could have made is refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from shared import errors
from shared.logon import LogonPurpose
from shared.proto import convert_sessions as convert
from shared.proto import sessions_pb2 as pb
from shared.roles import SUBJECTS, Grant, Level
from shared.secret import Secret
from shared.sessions import (
    AgentProof,
    Leaving,
    LogonMethod,
    LogonProof,
    LogonReply,
    Proof,
    RoleName,
    SessionView,
)
from shared.ssh.sshsig import MAX_SIGNATURE as MAX_AGENT_SIGNATURE

TEXT = st.text(max_size=40)
TIMES = st.integers(0, 2**32).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
grants = st.builds(
    Grant,
    subject=st.sampled_from(list(SUBJECTS.values())),
    level=st.sampled_from([Level.VIEW, Level.EXECUTE]),
    templates=st.none() | st.frozensets(TEXT, max_size=3),
)
proofs = st.builds(
    LogonProof,
    text=st.binary(min_size=1, max_size=200),
    certificate=st.binary(min_size=1, max_size=200),
    signature=st.binary(min_size=1, max_size=80),
) | st.builds(
    AgentProof,
    text=st.binary(min_size=1, max_size=200),
    signature=st.binary(min_size=1, max_size=MAX_AGENT_SIGNATURE),
)
sessions = st.builds(
    SessionView,
    operator_id=st.uuids(),
    name=TEXT,
    began_at=TIMES,
    ends_at=TIMES,
    idle=st.builds(timedelta, seconds=st.integers(0, 2**20)),
    stepped_up_until=st.none() | TIMES,
    roles=st.lists(st.builds(RoleName, name=TEXT, title=TEXT), max_size=3).map(tuple),
    grants=st.lists(grants, max_size=3).map(tuple),
    failed_logons=st.integers(0, 1000),
    last_logon_at=st.none() | TIMES,
    method=st.sampled_from(LogonMethod),
    possession_only=st.booleans(),
)


def over_the_wire(message: Message) -> Any:
    copy = type(message)()
    copy.ParseFromString(message.SerializeToString())
    return copy


@given(proofs)
def test_a_proof_survives(proof: Proof) -> None:
    assert convert.decode_proof(over_the_wire(convert.encode_proof(proof))) == proof


@given(sessions, st.binary(min_size=32, max_size=32))
def test_a_log_on_survives(view: SessionView, token: bytes) -> None:
    reply = LogonReply(token=Secret(token), session=view)
    assert convert.decode_logged_on(over_the_wire(convert.encode_logged_on(reply))) == reply
    assert "token" not in repr(reply)


@pytest.mark.parametrize("why", Leaving)
def test_why_a_session_ends_survives(why: Leaving) -> None:
    assert convert.decode_leaving(over_the_wire(convert.encode_leaving(why))) is why


def test_a_session_ends_for_a_reason_that_nobody_knows() -> None:
    assert convert.decode_leaving(pb.LogOffRequest()) is Leaving.LOGGED_OFF


@pytest.mark.parametrize("more", [{"certificate": b"c"}, {"signature": b"s"}])
def test_a_proof_is_by_a_card_or_by_an_agent(more: dict[str, bytes]) -> None:
    with pytest.raises(errors.Garbled):
        convert.decode_proof(pb.LogonProof(text=b"t", agent_signature=b"a", **more))
    with pytest.raises(errors.Garbled):
        convert.decode_proof(pb.LogonProof(text=b"t", agent_signature=bytes(MAX_AGENT_SIGNATURE + 1)))


@pytest.mark.parametrize("purpose", [LogonPurpose.LOG_ON, LogonPurpose.STEP_UP])
def test_a_question_survives(purpose: LogonPurpose) -> None:
    message = over_the_wire(convert.encode_question(purpose, "cards.example.org"))
    assert convert.decode_question(message) == (purpose, "cards.example.org")


def session(**changes: Any) -> pb.SessionView:
    fields = {
        "operator_id": bytes(16),
        "method": pb.LOGON_METHOD_CARD,
        "began_at": "2026-11-20T12:00:00+00:00",
        "ends_at": "2026-11-21T00:00:00Z",
    }
    return pb.SessionView(**{**fields, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"operator_id": bytes(15)},
        {"began_at": ""},
        {"method": pb.LOGON_METHOD_UNSPECIFIED},
        {"ends_at": "tomorrow"},
        {"ends_at": "2026-11-21T00:00:00"},
        {"roles": [pb.RoleName(name="a")] * 101},
        {"grants": [pb.Grant(subject="issue", level="execute", templates=["a"], all_templates=True)]},
    ],
)
def test_a_session_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    convert.decode_session(session())
    with pytest.raises(errors.Garbled):
        convert.decode_session(session(**changes))


@pytest.mark.parametrize(
    "grant", [pb.Grant(subject="fly", level="execute"), pb.Grant(subject="issue", level="x")]
)
def test_a_permission_that_nobody_knows_is_refused(grant: pb.Grant) -> None:
    with pytest.raises(errors.Invalid):
        convert.decode_session(session(grants=[grant]))


def test_what_is_too_long_or_missing_is_refused() -> None:
    good = {"text": b"t", "certificate": b"c", "signature": b"s"}
    for field in good:
        for bad in (b"", bytes(33_000)):
            with pytest.raises(errors.Garbled):
                convert.decode_proof(pb.LogonProof(**{**good, field: bad}))
    for token in (b"", bytes(31), bytes(33)):
        with pytest.raises(errors.Garbled):
            convert.decode_logged_on(pb.LogOnReply(token=token, session=session()))
    with pytest.raises(errors.Garbled):
        convert.decode_challenge(pb.ChallengeReply())
    with pytest.raises(errors.Garbled):
        convert.decode_question(pb.ChallengeRequest())
