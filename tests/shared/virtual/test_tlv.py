"""The card's own TLV reader."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.virtual.security import Refused
from shared.virtual.tlv import fields, only, put, walk
from tests.shared.virtual.talk import parse, tlv

TAGS = st.sampled_from([0x53, 0x7C, 0x81, 0x5F2F, 0x7F49, 0x7F61, 0x5FC102, 0x5F8102])


@given(st.lists(st.tuples(TAGS, st.binary(max_size=400)), max_size=4))
def test_what_is_put_is_walked(elements: list[tuple[int, bytes]]) -> None:
    raw = b"".join(put(tag, value) for tag, value in elements)
    assert raw == b"".join(tlv(tag, value) for tag, value in elements)
    assert list(walk(raw)) == elements == list(parse(raw))


@given(st.binary(max_size=60))
def test_whatever_comes_is_read_or_refused(raw: bytes) -> None:
    with suppress(Refused):
        assert sum(2 + len(value) for _, value in walk(raw)) <= len(raw)


@pytest.mark.parametrize(
    "raw", ["53", "5302AA", "5381", "538201", "5380", "53830000AA", "1F", "1F81", "1F818181", "5F2F"]
)
def test_what_is_cut_short_or_out_of_bounds_is_refused(raw: str) -> None:
    with pytest.raises(Refused):
        list(walk(bytes.fromhex(raw)))


def test_fields_and_only() -> None:
    assert fields(put(0x80, b"a") + put(0x81, b"b")) == {0x80: b"a", 0x81: b"b"}
    assert only(put(0x7C, b"x"), 0x7C) == b"x"
    for raw in (put(0x80, b"a") * 2,):
        with pytest.raises(Refused):
            fields(raw)
        with pytest.raises(Refused):
            only(raw, 0x80)
    with pytest.raises(Refused):
        only(put(0x7D, b"x"), 0x7C)
    assert len(put(0x53, bytes(65000))) == 65000 + 4
    assert put(0x53, bytes(200))[:3] == b"\x53\x81\xc8"
