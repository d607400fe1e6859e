"""The text that an operator's card signs: its one form, what a station lets pass, and whose signature counts."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA1, SHA3_256, SHA3_384, SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from shared import errors
from shared.iso7816.apdu import CHALLENGE_PREFIX
from shared.logon import (
    CLOCK_TOLERANCE,
    LIFETIME,
    MAX_SERVER,
    LogonPurpose,
    LogonText,
    check_logon_text,
    is_logon_text,
    logon_digest,
    read_logon_text,
    verify_logon,
)
from shared.piv.ids import Algorithm
from shared.piv.publickey import PublicKey, subject_public_key_info

NOW: Final = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TEXT: Final = LogonText(
    server="cards.example.org",
    station=b"s" * 32,
    nonce=b"n" * 32,
    expires_at=NOW + LIFETIME,
    purpose=LogonPurpose.LOG_ON,
)
AGENTS: Final = (SHA1(), SHA256(), SHA512())
P256: Final = ec.generate_private_key(ec.SECP256R1())
P384: Final = ec.generate_private_key(ec.SECP384R1())
RSA: Final = rsa.generate_private_key(65537, 2048)
ED25519: Final = ed25519.Ed25519PrivateKey.generate()


def sign(key: object, content: bytes) -> bytes:
    match key:
        case ec.EllipticCurvePrivateKey():
            return key.sign(content, ec.ECDSA(SHA3_384() if key.curve.key_size == 384 else SHA3_256()))
        case rsa.RSAPrivateKey():
            return key.sign(content, padding.PKCS1v15(), SHA384())
    raise AssertionError(key)


SIGNED: Final = [
    (subject_public_key_info(key.public_key()), sign(key, bytes(TEXT))) for key in (P256, P384, RSA)
]


@st.composite
def texts(draw: st.DrawFn) -> LogonText:
    purpose = draw(st.sampled_from(LogonPurpose))
    return LogonText(
        server=draw(st.text(min_size=1, max_size=63)),
        station=draw(st.binary(min_size=32, max_size=32)),
        nonce=draw(st.binary(min_size=32, max_size=32)),
        expires_at=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=draw(st.integers(0, 2**35))),
        purpose=purpose,
        intent=draw(st.binary(min_size=32, max_size=32)) if purpose is LogonPurpose.APPROVE else b"",
    )


@given(texts())
def test_a_text_survives(text: LogonText) -> None:
    assert bytes(text).startswith(CHALLENGE_PREFIX)
    assert is_logon_text(bytes(text))
    assert read_logon_text(bytes(text)) == text


@given(texts(), texts())
def test_two_texts_never_look_alike(one: LogonText, other: LogonText) -> None:
    assert (bytes(one) == bytes(other)) == (one == other)


@given(texts(), st.data())
def test_what_can_be_read_has_one_form(text: LogonText, data: st.DataObject) -> None:
    raw = bytearray(bytes(text))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        read = read_logon_text(bytes(raw))
    except errors.Garbled:
        return
    assert bytes(read) == bytes(raw)
    assert read != text


@given(st.binary(max_size=200))
def test_noise_is_no_text(noise: bytes) -> None:
    for content in (
        noise,
        CHALLENGE_PREFIX + noise,
        bytes(TEXT) + noise + b"x",
        bytes(TEXT)[: -1 - len(noise)],
    ):
        with pytest.raises(errors.Garbled):
            read_logon_text(content)


@pytest.mark.parametrize(
    "changes",
    [
        {"server": ""},
        {"server": "x" * (MAX_SERVER + 1)},
        {"station": b"s" * 31},
        {"nonce": b"n" * 33},
        {"expires_at": NOW + timedelta(milliseconds=1)},
        {"expires_at": datetime(1969, 12, 31, tzinfo=UTC)},
        {"intent": b"i" * 32},
        {"purpose": LogonPurpose.APPROVE},
    ],
)
def test_a_field_that_makes_no_sense_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(errors.Garbled):
        dataclasses.replace(TEXT, **changes)  # type: ignore[arg-type]  # each is of its field's type


# --- what the station compares --------------------------------------------------------------------------


def check(content: bytes, *, now: datetime = NOW, purpose: LogonPurpose = LogonPurpose.LOG_ON) -> LogonText:
    return check_logon_text(content, server=TEXT.server, station=TEXT.station, purpose=purpose, now=now)


def test_a_station_signs_what_it_asked_for() -> None:
    assert check(bytes(TEXT)) == TEXT
    approval = dataclasses.replace(TEXT, purpose=LogonPurpose.APPROVE, intent=b"i" * 32)
    read = check_logon_text(
        bytes(approval),
        server=TEXT.server,
        station=TEXT.station,
        purpose=LogonPurpose.APPROVE,
        intent=b"i" * 32,
        now=NOW,
    )
    assert read == approval


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"server": "evil.example.org"}, "server"),
        ({"station": b"t" * 32}, "station"),
        ({"purpose": LogonPurpose.STEP_UP}, "purpose"),
        ({"purpose": LogonPurpose.APPROVE, "intent": b"i" * 32}, "purpose"),
        ({"expires_at": NOW - CLOCK_TOLERANCE}, "expiry"),
        ({"expires_at": NOW + LIFETIME + CLOCK_TOLERANCE + timedelta(seconds=1)}, "expiry"),
    ],
)
def test_a_station_signs_nothing_else(changes: dict[str, object], field: str) -> None:
    with pytest.raises(errors.ChallengeRefused) as refused:
        check(bytes(dataclasses.replace(TEXT, **changes)))  # type: ignore[arg-type]  # each is of its field's type
    assert refused.value.facts == {"why": field}


def test_a_station_signs_no_other_intent() -> None:
    approval = dataclasses.replace(TEXT, purpose=LogonPurpose.APPROVE, intent=b"i" * 32)
    with pytest.raises(errors.ChallengeRefused) as refused:
        check_logon_text(
            bytes(approval),
            server=TEXT.server,
            station=TEXT.station,
            purpose=LogonPurpose.APPROVE,
            intent=b"j" * 32,
            now=NOW,
        )
    assert refused.value.facts == {"why": "intent"}


def test_a_station_signs_no_other_challenge() -> None:
    with pytest.raises(errors.ChallengeRefused):
        check(CHALLENGE_PREFIX + bytes(32))


# --- whose signature counts -----------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "signature"), SIGNED, ids=range(len(SIGNED)))
def test_a_signature_counts_for_its_key(key: bytes, signature: bytes) -> None:
    verify_logon(key, bytes(TEXT), signature)


@pytest.mark.parametrize(("key", "signature"), SIGNED, ids=range(len(SIGNED)))
@given(data=st.data())
def test_a_text_altered_in_one_byte_verifies_nowhere(
    key: bytes, signature: bytes, data: st.DataObject
) -> None:
    altered = bytearray(bytes(TEXT))
    altered[data.draw(st.integers(0, len(altered) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(InvalidSignature):
        verify_logon(key, bytes(altered), signature)


@pytest.mark.parametrize(("key", "signature"), SIGNED, ids=range(len(SIGNED)))
def test_a_signature_counts_for_no_other_key(key: bytes, signature: bytes) -> None:
    for other, _ in SIGNED:
        if other != key:
            with pytest.raises(InvalidSignature):
                verify_logon(other, bytes(TEXT), signature)


def spki(key: PublicKey | ed448.Ed448PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_what_an_agent_signs_is_no_card() -> None:
    """Whoever an agent is forwarded to has any bytes signed by it, with the digests that it makes."""
    content = bytes(TEXT)
    agents = [
        (spki(P256.public_key()), P256.sign(content, ec.ECDSA(SHA256()))),
        (spki(P384.public_key()), P384.sign(content, ec.ECDSA(SHA384()))),
        *((spki(RSA.public_key()), RSA.sign(content, padding.PKCS1v15(), kind)) for kind in AGENTS),
        (spki(ED25519.public_key()), ED25519.sign(content)),
    ]
    for key, signature in agents:
        with pytest.raises(InvalidSignature):
            verify_logon(key, content, signature)


def test_a_card_signs_the_digest_that_counts() -> None:
    content = bytes(TEXT)
    digest = logon_digest(Algorithm.P256, content)
    verify_logon(spki(P256.public_key()), content, P256.sign(digest, ec.ECDSA(Prehashed(SHA3_256()))))
    digest = logon_digest(Algorithm.P384, content)
    verify_logon(spki(P384.public_key()), content, P384.sign(digest, ec.ECDSA(Prehashed(SHA3_384()))))
    digest = logon_digest(Algorithm.RSA_2048, content)
    verify_logon(spki(RSA.public_key()), content, RSA.sign(digest, padding.PKCS1v15(), Prehashed(SHA384())))


@pytest.mark.parametrize("algorithm", [Algorithm.ED25519, Algorithm.X25519])
def test_keys_whose_signatures_an_agent_makes_too_sign_nothing(algorithm: Algorithm) -> None:
    with pytest.raises(errors.NotSupportedByCard):
        logon_digest(algorithm, bytes(TEXT))


def test_keys_of_other_kinds_log_nobody_on() -> None:
    content = bytes(TEXT)
    short = rsa.generate_private_key(65537, 1024)
    foreign = ec.generate_private_key(ec.SECP521R1())
    edwards = ed448.Ed448PrivateKey.generate()
    refused = [
        (spki(short.public_key()), short.sign(content, padding.PKCS1v15(), SHA256())),
        (spki(foreign.public_key()), foreign.sign(content, ec.ECDSA(SHA256()))),
        (spki(edwards.public_key()), edwards.sign(content)),
        (spki(x25519.X25519PrivateKey.generate().public_key()), b""),
        (b"no key", b""),
    ]
    for key, signature in refused:
        with pytest.raises(InvalidSignature):
            verify_logon(key, content, signature)
