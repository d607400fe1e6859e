"""Dry runs survive the wire; what no dry run could have made is refused."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import errors
from shared.console import CardHints
from shared.proto import rehearsals_pb2 as pb
from shared.proto.convert_rehearsal import (
    decode_rehearsal,
    decode_request,
    encode_rehearsal,
    encode_request,
)
from shared.rehearsal import Rehearsal, RehearsalRequest, RehearsedCommand, RehearsedStep, RoundTrip
from shared.relay import StepLine
from tests.shared.proto.values import TEXT, U32, facts

commands = st.builds(
    RehearsedCommand,
    header=st.one_of(st.just(b""), st.binary(min_size=4, max_size=4)),
    label=TEXT,
    data_max=U32,
    response_max=U32,
    expected_ms=U32,
)
trips = st.builds(RoundTrip, commands=st.lists(commands, max_size=4).map(tuple), expected_ms=U32)
steps = st.builds(RehearsedStep, line=st.builds(StepLine, key=TEXT, facts=facts), expected_ms=U32)
rehearsals = st.builds(
    Rehearsal,
    profile=TEXT,
    product=TEXT,
    new=st.booleans(),
    holder=TEXT,
    holder_name=TEXT,
    template=TEXT,
    template_title=TEXT,
    template_version=U32,
    steps=st.lists(steps, max_size=4).map(tuple),
    round_trips=st.lists(trips, max_size=4).map(tuple),
    figures=st.dictionaries(TEXT, U32, max_size=4),
)


@given(rehearsals)
def test_rehearsals_survive(rehearsal: Rehearsal) -> None:
    message = pb.Rehearsal.FromString(encode_rehearsal(rehearsal).SerializeToString())
    assert decode_rehearsal(message) == rehearsal


@pytest.mark.parametrize(
    "card", [CardHints(profile="yubikey-5.7"), CardHints(profile="unknown", serial=7, guid=UUID(int=9))]
)
def test_requests_survive(card: CardHints) -> None:
    request = RehearsalRequest(holder="42", template="badge", card=card)
    assert (
        decode_request(pb.RehearsalRequest.FromString(encode_request(request).SerializeToString())) == request
    )


def test_a_header_has_four_bytes() -> None:
    trip = pb.RoundTrip(commands=[pb.RehearsedCommand(header=b"\x00\xa4\x04")])
    with pytest.raises(errors.Garbled):
        decode_rehearsal(pb.Rehearsal(round_trips=[trip]))


@pytest.mark.parametrize("field", ["holder", "template"])
def test_texts_have_an_end(field: str) -> None:
    with pytest.raises(errors.Invalid):
        decode_request(pb.RehearsalRequest(**{field: "x" * 257}))  # type: ignore[arg-type]  # the test names fields
