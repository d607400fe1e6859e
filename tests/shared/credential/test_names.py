"""Names in certificates, byte by byte."""

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from shared import errors
from shared.credential.names import (
    alternative_names,
    card_name,
    fascn_name,
    mail_name,
    parse_subject,
    sid_extension,
    upn_name,
)

# [MS-WCCE] 2.2.2.7.7.4 by its structure; the first bytes as seen in certificates of AD CS (19-character identifier)
SHORT_SID = "S-1-5-21-1234567890"


def test_the_security_extension_byte_by_byte() -> None:
    value = sid_extension(SHORT_SID)
    assert len(SHORT_SID) == 19
    assert value.oid.dotted_string == "1.3.6.1.4.1.311.25.2"
    assert (
        value.value.hex().upper()
        == "3025A023060A2B060104018237190201A0150413" + SHORT_SID.encode().hex().upper()
    )


def lengths(der: bytes, *tags: int) -> bytes:
    """Go down one tag after another with a reader of this test's own; return the innermost content."""
    for tag in tags:
        assert der[0] == tag
        if der[1] < 0x80:
            start, length = 2, der[1]
        else:
            start = 2 + (der[1] & 0x7F)
            length = int.from_bytes(der[2:start], "big")
            assert length >= 0x80  # the shortest form ([X.690] 10.1)
        assert len(der) == start + length
        der = der[start:]
    return der


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=15))
def test_security_identifiers_of_every_length(parts: list[int]) -> None:
    sid = "-".join(["S-1-5", *map(str, parts)])
    inner = lengths(sid_extension(sid).value, 0x30, 0xA0)
    oid, value = inner[:12], inner[12:]
    assert oid.hex() == "060a2b060104018237190201"
    assert lengths(value, 0xA0, 0x04) == sid.encode()


@given(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=400))
def test_user_principal_names_of_every_length(user: str) -> None:
    upn = upn_name(f"{user}@example.test")
    assert lengths(upn.value, 0x0C).decode() == f"{user}@example.test"
    x509.SubjectAlternativeName([upn]).public_bytes()


def test_a_fascn() -> None:
    fascn = bytes(range(25))
    assert fascn_name(fascn).value == b"\x04\x19" + fascn
    assert fascn_name(fascn).type_id.dotted_string == "2.16.840.1.101.3.6.6"


@pytest.mark.parametrize("upn", ["", "a", "a@", "@b", "a@b@c", "a b@c", "a\0@b", "a@b\n", "a" * 1024 + "@b"])
def test_what_is_no_user_principal_name(upn: str) -> None:
    with pytest.raises(errors.Invalid):
        upn_name(upn)


@pytest.mark.parametrize("mail", ["a", "a@", "ä@b.test", "a@ä.test", "a b@c", "a@b\n", "<a@b>,c@d"])
def test_what_is_no_mail_address(mail: str) -> None:
    with pytest.raises(errors.Invalid):
        mail_name(mail)


@pytest.mark.parametrize(
    "urn",
    [
        "8d6b3a52-9a0e-4b8c-b7a7-0d6a40a1f0d3",
        "urn:uuid:8D6B3A52-9A0E-4B8C-B7A7-0D6A40A1F0D3",
        "urn:uuid:8d6b3a529a0e4b8cb7a70d6a40a1f0d3",
        "urn:uuid:",
        "urn:uuid:{8d6b3a52-9a0e-4b8c-b7a7-0d6a40a1f0d3}",
        "http://x",
    ],
)
def test_what_is_no_card(urn: str) -> None:
    with pytest.raises(errors.Invalid):
        card_name(urn)


@pytest.mark.parametrize(
    "sid", ["", "S-1", "S-1-5-", "S-2-5-21", "s-1-5-21", "S-1-5-21 ", "S-1-5-٣", "S-1-5-21\n"]
)
def test_what_is_no_security_identifier(sid: str) -> None:
    with pytest.raises(errors.Invalid):
        sid_extension(sid)


@pytest.mark.parametrize("text", ["", "Anna", "CN=", "CN=a,,O=b", "C=DEU", "XX=1", f"CN={'a' * 65}"])
def test_what_is_no_subject(text: str) -> None:
    with pytest.raises(errors.Invalid):
        parse_subject(text)


def test_a_subject_keeps_its_escapes() -> None:
    name = parse_subject("CN=Smith\\, Bob+UID=x\\+y,O=Ex\\=ample")
    assert name.rfc4514_string() == "CN=Smith\\, Bob+UID=x\\+y,O=Ex=ample"


def test_only_the_names_that_are_given() -> None:
    assert alternative_names() == ()
    assert alternative_names(mail="a@b.test") == (x509.RFC822Name("a@b.test"),)
