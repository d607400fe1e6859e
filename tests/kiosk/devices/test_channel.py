"""The channel against wires that chain, refuse chains, split answers, ask for other lengths, or die."""

from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kiosk.devices.channel import Channel, perform
from kiosk.ports import Filled
from shared import errors
from shared.iso7816.apdu import ANY_STATUS, ColdReset, Command, Response, decode

OK = b"\x90\x00"


class Wire:
    """Answers with a function, and remembers what it was sent."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self.answer = answer
        self.sent: list[bytes] = []

    def transmit(self, apdu: bytes, /) -> bytes:
        self.sent.append(apdu)
        return self.answer(apdu)


def scripted(*answers: bytes) -> Wire:
    left = list(answers)
    return Wire(lambda _: left.pop(0))


def filled(data: bytes = b"", *, le: int | None = 0, **more: object) -> Filled:
    command = Command(ins=0xDB, p1=0x3F, p2=0xFF, label="PUT DATA", le=le, parts=(data,), **more)  # type: ignore[arg-type]
    return Filled(command=command, data=bytearray(data), masked=b"")


def test_short_commands_of_all_cases() -> None:
    for data, le, apdu in (
        (b"", None, "00DB3FFF"),
        (b"", 0, "00DB3FFF00"),
        (b"ab", None, "00DB3FFF026162"),
        (b"ab", 5, "00DB3FFF02616205"),
        (b"ab", 256, "00DB3FFF02616200"),
    ):
        wire = scripted(OK)
        assert Channel(wire).send(filled(data, le=le)) == Response(b"", 0x9000)
        assert wire.sent == [bytes.fromhex(apdu)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2000), st.sampled_from([None, 0]))
@example(255, 0)
@example(256, None)
@example(510, 0)
def test_long_data_is_chained_and_arrives_whole(size: int, le: int | None) -> None:
    data = bytes(at * 7 % 251 for at in range(size))
    wire = Wire(lambda _: OK)
    Channel(wire).send(filled(data, le=le))
    blocks = [decode(apdu) for apdu in wire.sent]
    assert b"".join(block.data for block in blocks) == data
    assert [block.cla for block in blocks[:-1]] == [0x10] * (len(blocks) - 1)
    assert (blocks[-1].cla, blocks[-1].le) == (0x00, None if le is None else 256)
    assert {block.le for block in blocks[:-1]} <= {None}
    assert len(blocks) == max(1, -(-len(data) // 255))


def test_a_refused_block_ends_the_chain() -> None:
    wire = scripted(OK, b"\x6a\x84")
    assert Channel(wire).send(filled(bytes(1000))) == Response(b"", 0x6A84)
    assert len(wire.sent) == 2


@pytest.mark.parametrize("refusal", [b"\x68\x84", b"\x6e\x00"])
def test_a_card_without_chains_gets_extended_length(refusal: bytes) -> None:
    wire = scripted(refusal, OK, OK)
    channel = Channel(wire, extended=True)
    assert channel.send(filled(bytes(300))).ok
    assert decode(wire.sent[1]).extended
    assert decode(wire.sent[1]).data == bytes(300)
    assert channel.send(filled(bytes(300))).ok
    assert len(wire.sent) == 3, "it is learned once"
    assert Channel(scripted(refusal)).send(filled(bytes(300))).sw == int.from_bytes(refusal, "big")


def test_61xx_is_fetched_to_the_end() -> None:
    wire = scripted(b"a\x61\x00", b"b\x61\x05", b"c\x90\x00")
    assert Channel(wire).send(filled()) == Response(b"abc", 0x9000)
    assert wire.sent[1:] == [bytes.fromhex("00C0000000"), bytes.fromhex("00C0000005")]


def test_a_failure_behind_61xx_is_the_answer() -> None:
    wire = scripted(b"a\x61\x05", b"\x6f\x00")
    assert Channel(wire).send(filled()) == Response(b"a", 0x6F00)


def test_6cxx_repeats_with_the_right_length() -> None:
    wire = scripted(b"\x6c\x07", b"1234567\x90\x00")
    assert Channel(wire).send(filled(b"ab")) == Response(b"1234567", 0x9000)
    assert wire.sent[1] == bytes.fromhex("00DB3FFF02616207")
    wire = scripted(b"\x6c\x07", b"1234567\x90\x00")
    assert Channel(wire).send(filled(le=None)).ok
    assert wire.sent[1] == bytes.fromhex("00DB3FFF07")
    wire = scripted(b"\x61\x09", b"\x6c\x03", b"abc\x90\x00")
    assert Channel(wire).send(filled()) == Response(b"abc", 0x9000)
    wire = scripted(b"\x6c\x07", b"\x6c\x07")
    assert Channel(wire).send(filled()).sw == 0x6C07, "once is enough"


@pytest.mark.parametrize("answer", [b"", b"\x90"])
def test_fewer_than_two_bytes_is_a_lost_card(answer: bytes) -> None:
    with pytest.raises(errors.CardLost):
        Channel(scripted(answer)).send(filled())


@pytest.mark.parametrize("piece", [b"\x61\x10", bytes(255) + b"\x61\xff"])
def test_a_card_that_never_ends_is_lost(piece: bytes) -> None:
    with pytest.raises(errors.CardLost):
        Channel(Wire(lambda _: piece)).send(filled())


def test_a_batch_stops_after_what_is_not_accepted() -> None:
    wire = scripted(OK, b"\x6a\x82", b"\x6a\x82", OK)
    items = [filled(b"1"), filled(b"2", expect=ANY_STATUS), filled(b"3"), filled(b"4")]
    spoken = perform(items, wire, reset=lambda: b"atr")
    assert [response.sw for response in spoken.responses] == [0x9000, 0x6A82, 0x6A82]
    assert not spoken.lost
    assert [item.data for item in items] == [bytearray(1)] * 4, "wiped"


def test_an_answer_that_differs_stops_the_batch() -> None:
    spoken = perform([filled(answer=b"me"), filled()], scripted(b"you\x90\x00"), reset=lambda: b"atr")
    assert spoken.responses == (Response(b"you", 0x9000),)


def test_resets_in_a_batch() -> None:
    spoken = perform([ColdReset(), filled()], scripted(OK), reset=lambda: b"\x3b\x00")
    assert spoken.responses == (Response(b"\x3b\x00", 0x9000), Response(b"", 0x9000))
    gone = perform([ColdReset(), filled()], scripted(OK), reset=lambda: b"")
    assert (gone.responses, gone.lost) == ((), True)


def test_what_was_answered_before_the_card_left_is_told() -> None:
    def lost(_: bytes) -> bytes:
        raise errors.CardLost

    spoken = perform([filled(), filled()], scripted(OK, b""), reset=lambda: b"atr")
    assert (spoken.responses, spoken.lost) == ((Response(b"", 0x9000),), True)
    assert perform([filled()], Wire(lost), reset=lambda: b"atr").lost
