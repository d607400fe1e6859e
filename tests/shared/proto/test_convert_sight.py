"""What was seen of a card survives the wire; what nobody can have seen is refused."""

from collections.abc import Callable

import pytest
from hypothesis import given

from shared import errors
from shared.console import CardHints, Comparison
from shared.piv.ids import ObjectId, Slot
from shared.proto import console_pb2 as pb
from shared.proto import convert_console, convert_sight
from tests.shared.proto import values


@given(values.hints, values.TEXT)
def test_questions_survive(hints: CardHints, template: str) -> None:
    message = pb.CompareCardRequest.FromString(
        convert_console.encode_question(hints, template).SerializeToString()
    )
    assert convert_console.decode_question(message) == (hints, template)


@given(values.comparisons)
def test_comparisons_survive(comparison: Comparison) -> None:
    message = pb.CompareCardReply.FromString(convert_sight.encode_comparison(comparison).SerializeToString())
    assert convert_sight.decode_comparison(message) == comparison


SLOT = Slot.AUTHENTICATION
TAG = ObjectId.CHUID
DIGEST = bytes(32)

IMPOSSIBLE: dict[str, Callable[[], pb.CardSight]] = {
    "no slot": lambda: pb.CardSight(slots=[pb.SlotSight(slot=1)]),
    "a slot twice": lambda: pb.CardSight(slots=[pb.SlotSight(slot=SLOT)] * 2),
    "many slots": lambda: pb.CardSight(slots=[pb.SlotSight(slot=SLOT)] * 1000),
    "no certificate's digest": lambda: pb.CardSight(slots=[pb.SlotSight(slot=SLOT, certificate=b"1")]),
    "no key's digest": lambda: pb.CardSight(
        slots=[pb.SlotSight(slot=SLOT, key=pb.KeySight(public_key=bytes(33)))]
    ),
    "no algorithm": lambda: pb.CardSight(slots=[pb.SlotSight(slot=SLOT, algorithm=0)]),
    "no policy": lambda: pb.CardSight(slots=[pb.SlotSight(slot=SLOT, key=pb.KeySight(pin_policy=9))]),
    "no object": lambda: pb.CardSight(objects=[pb.ObjectSight(tag=1, digest=DIGEST)]),
    "an object twice": lambda: pb.CardSight(objects=[pb.ObjectSight(tag=TAG, digest=DIGEST)] * 2),
    "an object without digest": lambda: pb.CardSight(objects=[pb.ObjectSight(tag=TAG)]),
    "many unvouched": lambda: pb.CardSight(unvouched=[TAG] * 1000),
    "no management key": lambda: pb.CardSight(management_algorithm=0x11),
}


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_what_nobody_can_have_seen_is_refused(what: str) -> None:
    with pytest.raises(errors.Garbled):
        convert_sight.decode_sight(IMPOSSIBLE[what]())


def test_a_template_of_any_length_is_not_searched_for() -> None:
    with pytest.raises(errors.Invalid):
        convert_console.decode_question(pb.CompareCardRequest(template="x" * 10_000))
