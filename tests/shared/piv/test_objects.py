import uuid
from collections.abc import Callable
from datetime import date
from typing import Protocol, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import errors
from shared.iso7816.tlv import encode
from shared.piv.ccc import Ccc
from shared.piv.certificate import CERTIFICATE_MAX, CertificateContainer
from shared.piv.chuid import Chuid
from shared.piv.discovery import Discovery, Preference
from shared.piv.facial import RECORD_MAX, FacialImage
from shared.piv.fascn import FascN
from shared.piv.ids import ObjectId
from shared.piv.key_history import KeyHistory
from shared.piv.printed import PrintedInformation
from shared.piv.security_object import CONTAINER_IDS, SecurityObject

TIG_EXAMPLE = "D0439458210C2C19A0846D83685A1082108CE73984108CA3FC"
NON_FEDERAL = "D4E739DA739CED39CE739D836858210842108421C84210C3EB"
GUID = uuid.UUID("11223344-5566-4778-899a-abbccddeeff0")
PLAIN_CHUID = f"3019{NON_FEDERAL}3410{GUID.hex}350832303335303130313E00FE00"
PLAIN_CCC = (
    "F015A000000116FF020102030405060708090A0B0C0D0EF10121F20121F300F40100F50110F600F700FA00FB00FC00FD00FE00"
)


class Codec(Protocol):
    """A value with a round trip."""

    @classmethod
    def from_bytes(cls, raw: bytes, /) -> Self: ...

    def __bytes__(self) -> bytes: ...


def digits(length: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=length, max_size=length)


def text(longest: int) -> st.SearchStrategy[str]:
    return st.text(st.characters(codec="utf-8"), max_size=longest // 4)


FASC_NS = st.builds(
    FascN,
    agency=digits(4),
    system=digits(4),
    credential=digits(6),
    series=digits(1),
    issue=digits(1),
    person=digits(10),
    category=digits(1),
    organisation=digits(4),
    association=digits(1),
)
CHUIDS = st.builds(
    Chuid,
    fasc_n=FASC_NS,
    guid=st.uuids(),
    expires=st.dates(min_value=date(2000, 1, 1)),
    holder_uuid=st.none() | st.uuids(),
    signature=st.binary(max_size=300),
)
CCCS = st.builds(
    Ccc,
    card_id=st.binary(min_size=14, max_size=14),
    manufacturer=st.integers(0, 255),
    card_type=st.integers(0, 255),
    applications=st.binary(max_size=40),
)
DISCOVERIES = st.builds(
    Discovery,
    global_pin=st.booleans(),
    on_card_comparison=st.booleans(),
    virtual_contact=st.booleans(),
    pairing_code=st.booleans(),
    preference=st.sampled_from(Preference),
)
HISTORIES = st.one_of(
    st.builds(KeyHistory, on_card=st.integers(0, 20)),
    st.builds(
        KeyHistory,
        on_card=st.integers(0, 10),
        off_card=st.integers(1, 10),
        url=st.text("abc/.:", min_size=1, max_size=118),
    ),
)
PRINTED = st.builds(
    PrintedInformation,
    name=text(125),
    affiliation=text(20),
    expires=st.just("2031JAN24"),
    serial=text(20),
    issuer=text(15),
    organisation_1=st.none() | text(20),
    organisation_2=st.none() | text(20),
)
SECURITY = st.builds(
    SecurityObject,
    groups=st.lists(st.sampled_from(list(CONTAINER_IDS)), max_size=16, unique=True).map(
        lambda objects: dict(enumerate(objects, start=1))
    ),
    signed=st.binary(max_size=300),
)
CONTAINERS = st.builds(CertificateContainer, certificate=st.binary(max_size=2000), compressed=st.booleans())
ANYTHING: st.SearchStrategy[Codec] = st.one_of(
    FASC_NS, CHUIDS, CCCS, DISCOVERIES, HISTORIES, PRINTED, SECURITY, CONTAINERS,
    st.builds(FacialImage, st.binary(max_size=300)),
)  # fmt: skip
KINDS: list[Callable[[bytes], Codec]] = [
    FascN.from_bytes,
    Chuid.from_bytes,
    Ccc.from_bytes,
    Discovery.from_bytes,
    KeyHistory.from_bytes,
    PrintedInformation.from_bytes,
    FacialImage.from_bytes,
    CertificateContainer.from_bytes,
    SecurityObject.from_bytes,
]


@given(ANYTHING)
def test_reading_undoes_writing(value: Codec) -> None:
    raw = bytes(value)
    again = type(value).from_bytes(raw)
    assert again == value
    assert bytes(again) == raw


@given(ANYTHING, st.binary(min_size=1, max_size=5))
def test_what_is_left_over_is_refused(value: Codec, more: bytes) -> None:
    with pytest.raises(errors.CardMalformed):
        type(value).from_bytes(bytes(value) + more)


@pytest.mark.parametrize("read", KINDS)
@given(raw=st.binary(max_size=120))
def test_any_bytes_are_read_or_malformed(read: Callable[[bytes], Codec], raw: bytes) -> None:
    try:
        read(raw)
    except errors.CardMalformed:
        return


@given(ANYTHING, st.data())
def test_a_damaged_object_is_read_or_malformed(value: Codec, data: st.DataObject) -> None:
    raw = bytearray(bytes(value))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        type(value).from_bytes(bytes(raw))
    except errors.CardMalformed:
        return


def test_the_fasc_n_of_the_guide() -> None:
    number = FascN(
        agency="0032",
        system="0001",
        credential="092446",
        series="0",
        issue="1",
        person="1112223333",
        category="1",
        organisation="1223",
        association="2",
    )
    assert bytes(number).hex().upper() == TIG_EXAMPLE
    assert FascN.from_bytes(bytes.fromhex(TIG_EXAMPLE)) == number


def test_the_fasc_n_of_those_without_one() -> None:
    number = FascN.from_bytes(bytes.fromhex(NON_FEDERAL))
    assert (number.agency, number.system, number.credential) == ("9999", "9999", "999999")
    assert bytes(number).hex().upper() == NON_FEDERAL
    assert FascN() == number


@pytest.mark.parametrize("at", range(200))
def test_every_flipped_bit_of_a_fasc_n_is_noticed(at: int) -> None:
    raw = int(TIG_EXAMPLE, 16) ^ 1 << at
    with pytest.raises(errors.CardMalformed):
        FascN.from_bytes(raw.to_bytes(25, "big"))


def fasc_n(characters: list[int]) -> bytes:
    """Encode 39 characters with parity, and their check behind them."""
    check = 0
    for character in characters:
        check ^= character
    bits = ""
    for character in [*characters, check]:
        value = f"{character:04b}"[::-1]
        bits += value + str((value.count("1") + 1) % 2)
    return int(bits, 2).to_bytes(25, "big")


CHARACTERS = [0xB, *[1] * 4, 0xD, *[2] * 4, 0xD, *[3] * 6, 0xD, 4, 0xD, 5, 0xD, *[6] * 16, 0xF]


@pytest.mark.parametrize(
    ("at", "character", "why"),
    [(0, 0xF, "sentinels"), (38, 0xB, "sentinels"), (1, 0xA, "agency"), (5, 0xE, "separator after agency")],
)
def test_a_fasc_n_with_the_right_check_is_still_read_strictly(at: int, character: int, why: str) -> None:
    assert FascN.from_bytes(fasc_n(CHARACTERS)).person == "6666666666"
    wrong = [*CHARACTERS[:at], character, *CHARACTERS[at + 1 :]]
    with pytest.raises(errors.CardMalformed, match=why):
        FascN.from_bytes(fasc_n(wrong))
    with pytest.raises(errors.CardMalformed, match="redundancy check"):
        FascN.from_bytes((int.from_bytes(fasc_n(CHARACTERS), "big") ^ 0x18).to_bytes(25, "big"))


@pytest.mark.parametrize("field", ["agency", "person"])
@pytest.mark.parametrize("value", ["", "12", "abcd", "١٢٣٤"])
def test_a_fasc_n_is_made_of_digits(field: str, value: str) -> None:
    with pytest.raises(errors.Garbled):
        FascN(**{field: value})


def test_a_chuid_as_tools_write_it() -> None:
    chuid = Chuid.from_bytes(bytes.fromhex(PLAIN_CHUID))
    assert (chuid.guid, chuid.expires, chuid.signature) == (GUID, date(2035, 1, 1), b"")
    assert bytes(chuid).hex().upper() == PLAIN_CHUID.upper()


def test_the_signature_covers_all_but_itself() -> None:
    chuid = Chuid.from_bytes(bytes.fromhex(PLAIN_CHUID))
    assert chuid.signed_content.hex().upper() == PLAIN_CHUID.upper().replace("3E00", "")
    assert chuid.with_signature(b"CMS").signed_content == chuid.signed_content
    assert Chuid.from_bytes(bytes(chuid.with_signature(b"CMS"))).signature == b"CMS"


def test_a_chuid_of_an_old_issuer_is_kept_byte_for_byte() -> None:
    raw = bytes.fromhex(PLAIN_CHUID)
    old = encode(0xEE, b"\x01\x00") + raw[:27] + encode(0x32, b"1234") + encode(0x33, b"123456789") + raw[27:]
    chuid = Chuid.from_bytes(old)
    assert bytes(chuid) == old
    assert chuid.signed_content == old[4:].replace(b"\x3e\x00", b"")


@pytest.mark.parametrize(
    "change",
    [
        (f"3410{GUID.hex}", "34021122"),
        ("35083230333530313031", "35083230333531333031"),
        ("35083230333530313031", "350720333530313031"),
        ("35083230333530313031", "350820203335303130" + "20"),
        ("FE00", "FE0101"),
        ("3E00", ""),
        ("3E00", "3F00"),
    ],
)
def test_a_wrong_chuid_is_malformed(change: tuple[str, str]) -> None:
    raw = PLAIN_CHUID.upper().replace(change[0].upper(), change[1])
    assert raw != PLAIN_CHUID.upper()
    with pytest.raises(errors.CardMalformed):
        Chuid.from_bytes(bytes.fromhex(raw))


def test_a_chuid_without_error_detection_code_is_read() -> None:
    assert Chuid.from_bytes(bytes.fromhex(PLAIN_CHUID)[:-2]).guid == GUID


def test_a_ccc_as_tools_write_it() -> None:
    ccc = Ccc.from_bytes(bytes.fromhex(PLAIN_CCC))
    assert ccc == Ccc(card_id=bytes(range(1, 15)))
    assert bytes(ccc).hex().upper() == PLAIN_CCC
    with pytest.raises(errors.CardMalformed):
        Ccc.from_bytes(bytes.fromhex(PLAIN_CCC.replace("A000000116", "A000000117")))
    with pytest.raises(errors.CardMalformed):
        Ccc.from_bytes(bytes.fromhex(PLAIN_CCC.replace("FE00", "FE0100")))
    with pytest.raises(errors.Garbled):
        Ccc(card_id=b"")
    extended = PLAIN_CCC.replace("FE00", "E30141FE00")
    assert bytes(Ccc.from_bytes(bytes.fromhex(extended))).hex().upper() == extended


def test_a_discovery_object_as_cards_have_it() -> None:
    raw = "4F0BA0000003080000100001005F2F024000"
    assert Discovery.from_bytes(bytes.fromhex(raw)) == Discovery()
    assert bytes(Discovery()).hex().upper() == raw
    both = Discovery.from_bytes(bytes.fromhex(raw.replace("4000", "6020")))
    assert (both.global_pin, both.preference) == (True, Preference.GLOBAL_PIN)
    for policy in ("2000", "C000", "4030"):
        with pytest.raises(errors.CardMalformed):
            Discovery.from_bytes(bytes.fromhex(raw.replace("4000", policy)))


def test_a_key_history_counts_twenty_keys() -> None:
    for wrong in (
        {"on_card": 21},
        {"on_card": 15, "off_card": 6, "url": "http://x"},
        {"off_card": 1},
        {"url": "x"},
    ):
        with pytest.raises(errors.Garbled):
            KeyHistory(**wrong)
    for raw in ("C10115C20100FE00", "C10100C20101FE00", "C102000AC20100FE00", "C10100C20101F301FFFE00"):
        with pytest.raises(errors.CardMalformed):
            KeyHistory.from_bytes(bytes.fromhex(raw))


def test_printed_texts_have_their_lengths() -> None:
    good = PrintedInformation(
        name="Bob Smith", affiliation="R&D", expires="2031JAN24", serial="1", issuer="1"
    )
    with pytest.raises(errors.Garbled):
        PrintedInformation(name="x" * 126, affiliation="", expires="", serial="", issuer="")
    raw = bytes(good)
    for wrong in (
        raw.replace(b"\x01\x09Bob", b"\x01\x09\xffob"),
        raw.replace(b"\x05\x011", encode(0x05, b"1" * 21)),
        raw[:-2] + b"\xfe\x01\x00",
    ):
        assert wrong != raw
        with pytest.raises(errors.CardMalformed):
            PrintedInformation.from_bytes(wrong)


def test_a_facial_image_has_its_length() -> None:
    with pytest.raises(errors.Garbled):
        FacialImage(bytes(RECORD_MAX + 1))
    with pytest.raises(errors.CardMalformed):
        FacialImage.from_bytes(encode(0xBC, bytes(RECORD_MAX + 1)) + encode(0xFE, b""))


def test_a_certificate_is_compressed_only_where_it_must_be() -> None:
    small, repetitive = b"x" * 100, b"certificate " * 200
    assert not CertificateContainer.fitting(small, object_max=200).compressed
    squeezed = CertificateContainer.fitting(repetitive, object_max=200)
    assert squeezed.compressed
    assert len(bytes(squeezed)) <= 200
    assert CertificateContainer.from_bytes(bytes(squeezed)).certificate == repetitive
    with pytest.raises(errors.CardFull):
        CertificateContainer.fitting(bytes(range(256)), object_max=200)


def test_a_bomb_is_not_unpacked() -> None:
    bomb = CertificateContainer(certificate=bytes(CERTIFICATE_MAX + 1), compressed=True)
    with pytest.raises(errors.CardMalformed, match="too large"):
        CertificateContainer.from_bytes(bytes(bomb))
    largest = CertificateContainer(certificate=bytes(CERTIFICATE_MAX), compressed=True)
    assert len(CertificateContainer.from_bytes(bytes(largest)).certificate) == CERTIFICATE_MAX


@pytest.mark.parametrize(
    "raw",
    ["7003FFFFFF710101FE00", "70017871010FFE00", "70017871020000FE00", "700178710101FE00", "700178FE00"],
)
def test_a_container_that_nobody_can_read_is_malformed(raw: str) -> None:
    with pytest.raises(errors.CardMalformed):
        CertificateContainer.from_bytes(bytes.fromhex(raw))


def test_a_container_of_older_issuers_is_read() -> None:
    assert CertificateContainer.from_bytes(bytes.fromhex("700178710100720141")).certificate == b"x"


@pytest.mark.parametrize(
    "mapping", ["01300001DB00", "001000", "113000", "019999", "0130000230" + "00", "0130"]
)
def test_a_mapping_without_sense_is_malformed(mapping: str) -> None:
    raw = encode(0xBA, bytes.fromhex(mapping)) + encode(0xBB, b"") + encode(0xFE, b"")
    with pytest.raises(errors.CardMalformed):
        SecurityObject.from_bytes(raw)


def test_every_standard_object_has_a_container_of_its_own() -> None:
    assert len(set(CONTAINER_IDS.values())) == len(CONTAINER_IDS)
    assert set(ObjectId) - set(CONTAINER_IDS) == {ObjectId.SECURITY, ObjectId.ATTESTATION_CERTIFICATE}
