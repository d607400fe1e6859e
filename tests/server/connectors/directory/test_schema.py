"""Ids and identifiers in the forms of products."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.connectors.directory.entry import person_from
from server.connectors.directory.schema import (
    ACTIVE_DIRECTORY,
    EPOCH,
    OPENLDAP,
    IdForm,
    Schema,
    decode_sid,
    is_enabled,
    valid_until,
)


def encode_sid(authority: int, parts: list[int]) -> bytes:
    return (
        bytes([1, len(parts)])
        + authority.to_bytes(6, "big")
        + b"".join(part.to_bytes(4, "little") for part in parts)
    )


def test_well_known_identifiers() -> None:
    """[MS-DTYP] 2.4.2.4: BUILTIN\\Administrators and the world."""
    assert decode_sid(bytes.fromhex("01020000000000052000000020020000")) == "S-1-5-32-544"
    assert decode_sid(bytes.fromhex("010100000000000100000000")) == "S-1-1-0"


@given(
    authority=st.integers(0, 2**48 - 1),
    parts=st.lists(st.integers(0, 2**32 - 1), max_size=15),
)
def test_an_identifier_keeps_its_numbers(authority: int, parts: list[int]) -> None:
    text = decode_sid(encode_sid(authority, parts))
    assert text.split("-")[2:] == [str(authority), *map(str, parts)]


@pytest.mark.parametrize("raw", ["", "0101", "0102000000000005", "02010000000000050000000000", "01" * 40])
def test_identifiers_of_a_wrong_length(raw: str) -> None:
    with pytest.raises(ValueError, match="bytes"):
        decode_sid(bytes.fromhex(raw))


def test_a_guid_is_little_endian_in_active_directory() -> None:
    """[MS-DTYP] 2.3.4: the first three fields are little-endian."""
    raw = bytes.fromhex("00112233445566778899aabbccddeeff")
    text = "33221100-5544-7766-8899-aabbccddeeff"
    assert ACTIVE_DIRECTORY.id_value(raw) == text
    wanted = ACTIVE_DIRECTORY.id_filter(text)
    assert wanted is not None
    assert r"(objectGUID=\00\11\22\33\44\55\66\77\88\99\aa\bb\cc\dd\ee\ff)" in wanted


@given(st.text(max_size=60))
def test_no_id_gets_into_a_filter_unescaped(holder: str) -> None:
    text = Schema(id_attribute="uid", id_form=IdForm.TEXT, person_filter="(a=b)").id_filter(holder)
    if text is not None:
        value = text.removeprefix("(&(a=b)(uid=").removesuffix("))")
        assert bytes.fromhex(value.replace("\\", "")) == holder.encode()
        assert len(value) == 3 * len(holder.encode())
    for schema in (OPENLDAP, ACTIVE_DIRECTORY):
        try:
            UUID(holder)
        except ValueError:
            assert schema.id_filter(holder) is None


@pytest.mark.parametrize(
    ("control", "enabled"),
    [(b"512", True), (b"514", False), (b"66048", True), (b"junk", False), (b"", False)],
)
def test_user_account_control(control: bytes, *, enabled: bool) -> None:
    assert is_enabled({"useraccountcontrol": [control]}) is enabled


def test_one_bad_attribute_hides_nobody() -> None:
    person = person_from(
        {
            "entryUUID": [b"8d6b3a52-9a0e-4b8c-b7a7-0d6a40a1f0d3"],
            "CN": [b"Anna", b"Second"],
            "title": [b"\xff\xfe"],
            "mail": [],
        },
        OPENLDAP,
    )
    assert person is not None
    assert person.attributes == {"name": "Anna"}


@pytest.mark.parametrize("entry", [{}, {"entryUUID": [b"no uuid"]}, {"entryUUID": []}])
def test_an_entry_without_an_id_is_nobody(entry: dict[str, list[bytes]]) -> None:
    assert person_from(entry, OPENLDAP) is None


NEVER = str(0x7FFF_FFFF_FFFF_FFFF).encode()


@pytest.mark.parametrize(
    ("values", "end"),
    [
        ({}, None),
        ({"accountexpires": [b"0"]}, None),
        ({"accountexpires": [NEVER]}, None),
        ({"accountexpires": [b"133857792000000000"]}, datetime(2025, 3, 7, tzinfo=UTC)),
        ({"accountexpires": [b"soon"]}, EPOCH),
        ({"accountexpires": [b"-1"]}, datetime(1600, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        ({"accountexpires": [b"9" * 30]}, EPOCH),
        ({"pwdendtime": [b"20260302120000Z"]}, datetime(2026, 3, 2, 12, tzinfo=UTC)),
        ({"pwdendtime": [b"20260302120000.123456Z"]}, datetime(2026, 3, 2, 12, tzinfo=UTC)),
        ({"pwdendtime": [b"tomorrow"]}, EPOCH),
        ({"shadowexpire": [b"20514"]}, datetime(2026, 3, 2, tzinfo=UTC)),
        ({"shadowexpire": [b"-1"]}, None),
        ({"shadowexpire": [b"20514"], "pwdendtime": [b"20250101000000Z"]}, datetime(2025, 1, 1, tzinfo=UTC)),
        ({"shadowexpire": []}, None),
    ],
)
def test_accounts_end(values: dict[str, list[bytes]], end: datetime | None) -> None:
    assert valid_until(values) == end


def test_somebody_whose_account_is_over_may_not_have_a_credential() -> None:
    entry = {
        "entryUUID": [b"8d6b3a52-9a0e-4b8c-b7a7-0d6a40a1f0d3"],
        "accountExpires": [b"133857792000000000"],
    }
    person = person_from(entry, OPENLDAP)
    assert person is not None
    assert person.enabled
    end = datetime(2025, 3, 7, tzinfo=UTC)
    assert not person.is_valid(end)
    assert person.is_valid(end - timedelta(seconds=1))
    assert not replace(person, enabled=False).is_valid(end - timedelta(seconds=1))
