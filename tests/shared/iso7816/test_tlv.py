import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import errors
from shared.iso7816.tlv import DEPTH_MAX, Reader, Tlv, encode, parse, unwrap

TAGS = st.sampled_from([0x01, 0x53, 0x7C, 0x80, 0xFE, 0x5F2F, 0x7F49, 0x5FC102, 0x5FFF01])


@pytest.mark.parametrize(
    ("tag", "length", "header"),
    [
        (0x53, 0, "5300"),
        (0x53, 127, "537F"),
        (0x53, 128, "538180"),
        (0x53, 255, "5381FF"),
        (0x53, 256, "53820100"),
        (0x53, 65535, "5382FFFF"),
        (0x53, 65536, "5383010000"),
        (0x7F49, 1, "7F4901"),
        (0x5FC102, 3, "5FC10203"),
    ],
)
def test_tags_and_lengths_are_written_as_the_standard_prints_them(tag: int, length: int, header: str) -> None:
    raw = encode(tag, bytes(length))
    assert raw.hex().upper().startswith(header)
    assert parse(raw) == (Tlv(tag, bytes(length)),)


@given(st.lists(st.tuples(TAGS, st.binary(max_size=300)), max_size=6))
def test_what_was_written_is_read(elements: list[tuple[int, bytes]]) -> None:
    raw = b"".join(encode(tag, value) for tag, value in elements)
    read = parse(raw)
    assert [(element.tag, element.value) for element in read] == elements
    assert b"".join(map(bytes, read)) == raw


@given(st.binary(max_size=200))
def test_any_bytes_are_read_whole_or_refused(raw: bytes) -> None:
    try:
        elements = parse(raw)
    except errors.CardMalformed:
        return
    assert sum(len(element.value) for element in elements) <= len(raw)
    assert parse(b"".join(map(bytes, elements))) == elements


@given(st.binary(min_size=1, max_size=200), st.integers(min_value=0))
def test_a_cut_element_is_refused(value: bytes, at: int) -> None:
    raw = encode(0x53, value)
    with pytest.raises(errors.CardMalformed):
        parse(raw[: 1 + at % (len(raw) - 1)])


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("5F", "a tag without its second byte"),
        ("5FC1", "a tag without its third byte"),
        ("5FC1C102", "a tag of four bytes"),
        ("0000", "the tag zero"),
        ("53", "no length"),
        ("5380", "the indefinite form"),
        ("538101", "a value that is not there"),
        ("5384000000010A", "a length of four bytes"),
        ("5382", "a length without its bytes"),
        ("530201", "a value cut short"),
    ],
)
def test_what_is_not_ber_tlv_is_refused(raw: str, why: str) -> None:
    with pytest.raises(errors.CardMalformed):
        pytest.fail(f"read {why}: {parse(bytes.fromhex(raw))}")


def test_a_length_that_is_longer_than_needed_is_read() -> None:
    assert unwrap(0x53, bytes.fromhex("53820001FF")) == b"\xff"


@pytest.mark.parametrize("tag", [0, -1, 0x1F, 0x5F, 0x5F81, 0x5301, 0x5FC1C102])
def test_what_is_no_tag_is_not_written(tag: int) -> None:
    with pytest.raises(errors.Garbled):
        encode(tag, b"")


def test_a_value_of_sixteen_megabytes_is_not_written() -> None:
    with pytest.raises(errors.Garbled):
        encode(0x53, bytes(0x1000000))


def test_unwrap_refuses_another_tag_and_what_follows() -> None:
    with pytest.raises(errors.CardMalformed, match="53 expected, 54 found"):
        unwrap(0x53, encode(0x54, b""))
    with pytest.raises(errors.CardMalformed, match="53 expected, the end found"):
        unwrap(0x53, b"")
    with pytest.raises(errors.CardMalformed, match="2 bytes left over"):
        unwrap(0x53, encode(0x53, b"") + encode(0x54, b""))


def test_a_reader_must_be_emptied() -> None:
    raw = encode(0x80, b"a") + encode(0x81, b"b")
    with Reader(raw, "thing") as reader:
        assert reader.expect(0x80) == b"a"
        assert reader.optional(0x82) is None
        assert reader.optional(0x81) == b"b"
        assert reader.peek() is None
    with pytest.raises(errors.CardMalformed, match="thing"), Reader(raw, "thing") as reader:
        reader.expect(0x80)
    with pytest.raises(errors.CardMalformed, match="ended early"):
        Reader(b"", "thing").element()


def test_an_error_in_the_block_is_not_covered_by_the_reader() -> None:
    with pytest.raises(KeyError), Reader(encode(0x80, b""), "thing"):
        raise KeyError


def test_nesting_is_bounded() -> None:
    raw = b""
    for _ in range(DEPTH_MAX + 2):
        raw = encode(0x30, raw)
    reader = Reader(raw, "thing")
    for _ in range(DEPTH_MAX):
        reader = reader.nested(0x30)
    with pytest.raises(errors.CardMalformed, match="too deep"):
        reader.nested(0x30)
