"""Log-ons of holders survive the wire; what no value could have made is refused."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import errors
from shared.credential.self_service import HolderProof
from shared.proto import convert_self_service as convert
from shared.proto import self_service_pb2 as pb
from shared.proto import sessions_pb2
from shared.secret import Secret
from shared.self_service import CardShown, CodeGiven, HolderGiven, HolderReply, HolderView, PasswordGiven
from shared.sessions import LogonProof

TEXT = st.text(max_size=40)
TIMES = st.integers(0, 2**32).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
views = st.builds(
    HolderView,
    holder=TEXT,
    name=TEXT,
    proof=st.sampled_from(HolderProof),
    began_at=TIMES,
    ends_at=TIMES,
    idle=st.builds(timedelta, seconds=st.integers(0, 2**20)),
)
proofs = st.builds(
    LogonProof,
    text=st.binary(min_size=1, max_size=200),
    certificate=st.binary(min_size=1, max_size=200),
    signature=st.binary(min_size=1, max_size=80),
)
VIEW = pb.HolderView(
    holder="1",
    name="x",
    proof="card",
    began_at="2026-01-01T00:00:00+00:00",
    ends_at="2026-01-01T00:00:00+00:00",
)


@given(views)
def test_who_is_logged_on(view: HolderView) -> None:
    message = pb.HolderView.FromString(convert.encode_holder(view).SerializeToString())
    assert convert.decode_holder(message) == view


@given(views, st.binary(min_size=32, max_size=32))
def test_a_log_on_that_succeeded(view: HolderView, token: bytes) -> None:
    message = convert.encode_holder_reply(HolderReply(token=Secret(token), session=view))
    reply = convert.decode_holder_reply(message)
    assert (reply.token.reveal(), reply.session) == (token, view)
    assert repr(token) not in repr(reply)


def sent(value: HolderGiven) -> HolderGiven:
    return convert.decode_given(
        pb.HolderLogOnRequest.FromString(convert.encode_given(value).SerializeToString())
    )


@given(TEXT, st.binary(min_size=1, max_size=100))
def test_a_password(name: str, password: bytes) -> None:
    came = sent(PasswordGiven(name=name, password=Secret(password)))
    assert isinstance(came, PasswordGiven)
    assert (came.name, came.password.reveal()) == (name, password)


@given(st.uuids(), proofs)
def test_a_card(card: UUID, proof: LogonProof) -> None:
    shown = CardShown(card=card, proof=proof)
    assert sent(shown) == shown


@given(st.uuids(), st.binary(min_size=1, max_size=convert.MAX_CODE))
def test_a_code(card: UUID, code: bytes) -> None:
    came = sent(CodeGiven(card=card, code=Secret(code)))
    assert isinstance(came, CodeGiven)
    assert (came.card, came.code.reveal()) == (card, code)


@pytest.mark.parametrize(
    "message",
    [
        pb.HolderLogOnRequest(),
        pb.HolderLogOnRequest(password=pb.HolderPassword(name="x")),
        pb.HolderLogOnRequest(password=pb.HolderPassword(name="x", password=bytes(convert.MAX_PASSWORD + 1))),
        pb.HolderLogOnRequest(password=pb.HolderPassword(name="x" * 400, password=b"x")),
        pb.HolderLogOnRequest(code=pb.HolderCode(card=bytes(15), code=b"x")),
        pb.HolderLogOnRequest(code=pb.HolderCode(card=bytes(16), code=bytes(convert.MAX_CODE + 1))),
        pb.HolderLogOnRequest(card=pb.HolderCard(card=bytes(16))),
        pb.HolderLogOnRequest(
            card=pb.HolderCard(card=bytes(16), proof=sessions_pb2.LogonProof(text=b"t", signature=b"s"))
        ),
    ],
)
def test_what_is_no_proof_is_refused(message: pb.HolderLogOnRequest) -> None:
    with pytest.raises((errors.Garbled, errors.Invalid)):
        convert.decode_given(message)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("proof", "fingerprint"),
        ("began_at", ""),
        ("began_at", "yesterday"),
        ("ends_at", "2026-01-01T00:00:00"),
        ("name", "x" * 100_000),
    ],
)
def test_what_is_no_session_is_refused(field: str, value: str) -> None:
    message = pb.HolderView()
    message.CopyFrom(VIEW)
    setattr(message, field, value)
    with pytest.raises((errors.Garbled, errors.Invalid)):
        convert.decode_holder(message)


def test_texts_to_sign_and_tokens_have_a_size() -> None:
    assert convert.decode_holder_question(convert.encode_holder_question("lab")) == "lab"
    assert convert.decode_holder_challenge(pb.HolderChallengeReply(text=b"x")) == b"x"
    with pytest.raises(errors.Garbled):
        convert.decode_holder_challenge(pb.HolderChallengeReply())
    with pytest.raises(errors.Garbled):
        convert.decode_holder_reply(pb.HolderLogOnReply(token=bytes(31), session=VIEW))
