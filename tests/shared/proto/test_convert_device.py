"""Log-ons on another device survive the wire; what no value could have made is refused."""

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import errors
from shared.proto import convert_device as convert
from shared.proto import self_service_pb2 as pb
from shared.secret import Secret
from shared.self_service import DeviceCode, DeviceWaits, HolderReply, HolderView
from tests.shared.proto.test_convert_self_service import TEXT, TIMES, views

INTERVALS = st.integers(1, convert.MAX_INTERVAL_S)
WORDS = st.text(min_size=1, max_size=40)
codes = st.builds(
    DeviceCode,
    logon_id=st.uuids(),
    code=WORDS,
    address=WORDS,
    whole_address=TEXT,
    ends_at=TIMES,
    interval_s=INTERVALS,
)


@given(codes)
def test_what_somebody_does_elsewhere(code: DeviceCode) -> None:
    message = pb.HolderDeviceCode.FromString(convert.encode_device(code).SerializeToString())
    assert convert.decode_device(message) == code


@given(TEXT, st.uuids())
def test_who_and_which(name: str, logon_id: UUID) -> None:
    assert convert.decode_device_name(convert.encode_device_name(name)) == name
    assert convert.decode_device_question(convert.encode_device_question(logon_id)) == logon_id


@given(INTERVALS)
def test_it_waits(seconds: int) -> None:
    waits = DeviceWaits(interval_s=seconds)
    assert convert.decode_device_reply(convert.encode_device_reply(waits)) == waits


@given(views, st.binary(min_size=32, max_size=32))
def test_it_logs_somebody_on(view: HolderView, token: bytes) -> None:
    reply = convert.decode_device_reply(
        convert.encode_device_reply(HolderReply(token=Secret(token), session=view))
    )
    assert isinstance(reply, HolderReply)
    assert (reply.token.reveal(), reply.session) == (token, view)


GOOD = pb.HolderDeviceCode(
    logon_id=bytes(16), code="c", address="a", ends_at="2026-01-01T00:00:00+00:00", interval_s=5
)


@pytest.mark.parametrize(
    "wrong",
    [
        {"logon_id": b"short"},
        {"code": ""},
        {"address": ""},
        {"ends_at": "soon"},
        {"ends_at": "2026-01-01T00:00:00"},
        {"interval_s": 0},
        {"interval_s": 100_000},
    ],
)
def test_what_no_server_says_is_refused(wrong: dict[str, object]) -> None:
    message = pb.HolderDeviceCode()
    message.CopyFrom(GOOD)
    assert convert.decode_device(message).ends_at.utcoffset() == timedelta()
    for name, value in wrong.items():
        setattr(message, name, value)
    with pytest.raises(errors.Garbled):
        convert.decode_device(message)


def test_an_outcome_that_says_nothing_is_refused() -> None:
    for message in (pb.HolderDeviceReply(), pb.HolderDeviceReply(waits_s=0)):
        with pytest.raises(errors.Garbled):
            convert.decode_device_reply(message)
