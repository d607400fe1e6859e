import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import errors
from shared.iso7816.apdu import (
    ANY_STATUS,
    EXTENDED_LE_MAX,
    SHORT_LE_MAX,
    Apdu,
    Command,
    Digest,
    Hole,
    Response,
    ToBeSigned,
    decode,
    encode,
)
from shared.iso7816.status import SW, error_for, tries_left

SHORT = [
    ("0020008000"[:8], Apdu(0x00, 0x20, 0x00, 0x80, b"", None)),
    ("00FD000000", Apdu(0x00, 0xFD, 0x00, 0x00, b"", 256)),
    ("00FD000003", Apdu(0x00, 0xFD, 0x00, 0x00, b"", 3)),
    ("0020008008313233343536FFFF", Apdu(0x00, 0x20, 0x00, 0x80, b"123456\xff\xff", None)),
    ("00CB3FFF055C035FC10200", Apdu(0x00, 0xCB, 0x3F, 0xFF, bytes.fromhex("5C035FC102"), 256)),
    ("00A4040005A00000030800", Apdu(0x00, 0xA4, 0x04, 0x00, bytes.fromhex("A000000308"), 256)),
]
EXTENDED = [
    ("00FD0000000000", Apdu(0x00, 0xFD, 0x00, 0x00, b"", 65536, extended=True)),
    ("00DB3FFF000002ABCD", Apdu(0x00, 0xDB, 0x3F, 0xFF, b"\xab\xcd", None, extended=True)),
    ("00CB3FFF000002ABCD0000", Apdu(0x00, 0xCB, 0x3F, 0xFF, b"\xab\xcd", 65536, extended=True)),
]


@pytest.mark.parametrize(("raw", "apdu"), SHORT + EXTENDED)
def test_every_case_is_read_and_written_as_in_the_standard(raw: str, apdu: Apdu) -> None:
    assert decode(bytes.fromhex(raw)) == apdu
    header = bytes([apdu.cla, apdu.ins, apdu.p1, apdu.p2])
    assert encode(header=header, data=apdu.data, le=apdu.le, extended=apdu.extended).hex().upper() == raw


@given(
    st.binary(min_size=4, max_size=4),
    st.binary(max_size=400),
    st.none() | st.integers(1, EXTENDED_LE_MAX),
    st.booleans(),
)
def test_what_was_framed_is_read(header: bytes, data: bytes, le: int | None, extended: bool) -> None:  # noqa: FBT001  # hypothesis gives it
    if not extended:
        data, le = data[:255], le and min(le, SHORT_LE_MAX)
    apdu = decode(encode(header=header, data=data, le=le, extended=extended))
    assert (apdu.data, apdu.le) == (data, le)
    assert apdu.extended == (extended and (bool(data) or le is not None))


@pytest.mark.parametrize(
    "raw", ["002000", "0020008005AA", "002000800002", "00200080020102030405", "00200080000000AA"]
)
def test_lengths_that_do_not_add_up_are_refused(raw: str) -> None:
    with pytest.raises(errors.Garbled):
        decode(bytes.fromhex(raw))


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        apdu = decode(raw)
    except errors.Garbled:
        return
    header = bytes([apdu.cla, apdu.ins, apdu.p1, apdu.p2])
    assert encode(header=header, data=apdu.data, le=apdu.le, extended=apdu.extended) == raw


def test_what_does_not_fit_is_not_framed() -> None:
    with pytest.raises(errors.Garbled):
        encode(header=bytes(4), data=bytes(256), le=None)
    with pytest.raises(errors.Garbled):
        encode(header=bytes(4), data=b"", le=257)
    with pytest.raises(errors.Garbled):
        encode(header=bytes(3), data=b"", le=None)


def test_a_command_knows_its_length_and_its_holes() -> None:
    hole = Hole(name="pin")
    text = ToBeSigned(content=b"text", digest=Digest.SHA256, length=32)
    command = Command(ins=0x20, label="VERIFY", parts=(b"ab", hole, text))
    assert command.length == 42
    assert command.holes == (hole,)
    with pytest.raises(errors.Garbled):
        assert command.plain
    assert Command(ins=0x20, label="VERIFY", parts=(b"ab", b"c")).plain == b"abc"


def test_what_a_batch_may_go_on_after() -> None:
    strict = Command(ins=0xCB, label="GET DATA", answer=b"chuid")
    assert strict.accepts(Response(b"chuid", SW.OK))
    assert not strict.accepts(Response(b"other", SW.OK))
    assert not strict.accepts(Response(b"chuid", SW.FILE_NOT_FOUND))
    assert Command(ins=0xCB, label="probe", expect=ANY_STATUS).accepts(Response(b"", 0x6D00))


@pytest.mark.parametrize(
    ("sw", "error"),
    [
        (0x6982, errors.NotAuthorised),
        (0x6A82, errors.ObjectMissing),
        (0x6A88, errors.ObjectMissing),
        (0x6A84, errors.CardFull),
        (0x6D00, errors.NotSupportedByCard),
        (0x6E00, errors.NotSupportedByCard),
        (0x6985, errors.UnexpectedStatus),
    ],
)
def test_a_status_without_a_meaning_of_its_own_has_a_general_error(
    sw: int, error: type[errors.CardError]
) -> None:
    assert type(error_for(sw, "COMMAND")) is error


def test_tries_are_read_from_63cx_alone() -> None:
    assert tries_left(0x63C2) == 2
    assert tries_left(0x6983) is None
    assert tries_left(0x6300) is None
