from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from shared import errors
from shared.piv.attestation import FIRMWARE, POLICY, SERIAL, Attestation, Trust, verify_attestation
from shared.piv.certificate import CertificateContainer
from shared.piv.data import read_object
from shared.piv.ids import Algorithm, ObjectId, PinPolicyId, ProfileName, Slot, TouchPolicyId
from shared.piv.keys import attest, generate_key
from shared.piv.management import authenticated_singly, factory_key
from shared.piv.publickey import PublicKey
from shared.piv.select import fresh
from shared.piv.vendor import Version
from shared.virtual.lab import lab_root
from tests.shared.piv.terminal import Terminal

NOW = datetime(2026, 11, 20, tzinfo=UTC)
LAB = Trust(roots=(lab_root(),))


@dataclass(frozen=True)
class Case:
    """A card that made a key and attested it."""

    statement: bytes
    own: bytes
    key: PublicKey


def attested(profile: ProfileName, algorithm: Algorithm = Algorithm.P256) -> Case:
    terminal = Terminal(profile)
    management = factory_key(terminal.card.profile.factory_management)
    key = terminal.drive(
        fresh(
            authenticated_singly(
                management, generate_key(Slot.SIGNATURE, algorithm, PinPolicyId.ALWAYS, TouchPolicyId.CACHED)
            )
        )
    )
    statement = terminal.drive(attest(Slot.SIGNATURE))
    own = CertificateContainer.from_bytes(terminal.drive(read_object(ObjectId.ATTESTATION_CERTIFICATE)))
    return Case(statement, own.certificate, key)


@pytest.mark.parametrize(
    ("profile", "version"),
    [
        (ProfileName.YUBIKEY_5_0, Version(5, 0, 2)),
        (ProfileName.YUBIKEY_5_4, Version(5, 4, 3)),
        (ProfileName.YUBIKEY_5_7, Version(5, 7, 1)),
    ],
)
def test_a_card_vouches_for_a_key_that_it_made(profile: ProfileName, version: Version) -> None:
    case = attested(profile)
    assert verify_attestation(
        case.statement, case.own, LAB, public_key=case.key, at=NOW, serial=20_114_501
    ) == Attestation(
        version=version,
        serial=20_114_501,
        pin_policy=PinPolicyId.ALWAYS,
        touch_policy=TouchPolicyId.CACHED,
    )


@pytest.mark.parametrize(
    "algorithm", [Algorithm.RSA_2048, Algorithm.P384, Algorithm.ED25519, Algorithm.X25519]
)
def test_every_kind_of_key_is_attested(algorithm: Algorithm) -> None:
    case = attested(ProfileName.YUBIKEY_5_7, algorithm)
    verify_attestation(case.statement, case.own, LAB, public_key=case.key, at=NOW)


CASE = attested(ProfileName.YUBIKEY_5_7)
OTHER = attested(ProfileName.YUBIKEY_5_7)


def refused(why: str, **changes: object) -> None:
    arguments = {
        "attestation": CASE.statement,
        "card_certificate": CASE.own,
        "trust": LAB,
        "public_key": CASE.key,
        "at": NOW,
    }
    with pytest.raises(errors.CardNotGenuine, match=why):
        verify_attestation(**{**arguments, **changes})  # type: ignore[arg-type]


def test_nothing_else_is_believed() -> None:
    refused("another key", public_key=OTHER.key)
    refused("another device", serial=1)
    refused("card's attestation key", card_certificate=OTHER.own)
    refused("root", trust=Trust(roots=()))
    refused("not valid now", at=datetime(2060, 1, 1, tzinfo=UTC))
    refused("no certificate", attestation=b"\x30\x00")
    refused("card's attestation key", attestation=CASE.own, public_key=public_key_of(CASE.own))


def public_key_of(raw: bytes) -> PublicKey:
    return x509.load_der_x509_certificate(raw).public_key()  # type: ignore[return-value]


KEYS = [ec.generate_private_key(ec.SECP256R1()) for _ in range(4)]
EXTENSIONS = {FIRMWARE: b"\x05\x04\x03", POLICY: b"\x02\x01", SERIAL: b"\x02\x01\x07"}


def issued(
    number: int,
    by: int,
    *,
    ca: bool | None = None,
    extensions: dict[x509.ObjectIdentifier, bytes] | None = None,
) -> x509.Certificate:
    """Issue a certificate for key `number` under key `by`."""

    def name(which: int) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Key {which}")])

    builder = (
        x509.CertificateBuilder()
        .subject_name(name(number))
        .issuer_name(name(by))
        .public_key(KEYS[number].public_key())
        .serial_number(number + 1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2050, 1, 1, tzinfo=UTC))
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    for oid, value in (extensions or {}).items():
        builder = builder.add_extension(x509.UnrecognizedExtension(oid, value), critical=False)
    return builder.sign(KEYS[by], hashes.SHA256())


def judged(
    *, extensions: dict[x509.ObjectIdentifier, bytes] = EXTENSIONS, own_ca: bool | None = True
) -> Attestation:
    """Judge a statement of key 3 by 2, which 1 issued, which root 0 issued."""
    return verify_attestation(
        issued(3, 2, extensions=extensions).public_bytes(Encoding.DER),
        issued(2, 1, ca=own_ca).public_bytes(Encoding.DER),
        Trust(roots=(issued(0, 0, ca=True),), intermediates=(issued(1, 0, ca=True),)),
        public_key=KEYS[3].public_key(),
        at=NOW,
    )


def test_a_chain_may_have_intermediates() -> None:
    assert judged().version == Version(5, 4, 3)
    assert judged(own_ca=None).serial == 7
    without = {oid: value for oid, value in EXTENSIONS.items() if oid != SERIAL}
    assert judged(extensions=without).serial is None


def test_who_may_not_sign_does_not_vouch() -> None:
    with pytest.raises(errors.CardNotGenuine, match="may not sign"):
        judged(own_ca=False)


def test_extensions_that_nobody_can_read_vouch_for_nothing() -> None:
    garbage = {x509.ObjectIdentifier("2.5.29.19"): b"garbage"}
    with pytest.raises(errors.CardNotGenuine, match="malformed extensions"):
        judged(extensions={**EXTENSIONS, **garbage})
    with pytest.raises(errors.CardNotGenuine, match="malformed extensions"):
        verify_attestation(
            issued(3, 2, extensions=EXTENSIONS).public_bytes(Encoding.DER),
            issued(2, 0, extensions=garbage).public_bytes(Encoding.DER),
            Trust(roots=(issued(0, 0, ca=True),)),
            public_key=KEYS[3].public_key(),
            at=NOW,
        )


def test_loops_of_intermediates_end() -> None:
    with pytest.raises(errors.CardNotGenuine, match="root"):
        verify_attestation(
            issued(3, 2, extensions=EXTENSIONS).public_bytes(Encoding.DER),
            issued(2, 1, ca=True).public_bytes(Encoding.DER),
            Trust(roots=(), intermediates=(issued(1, 0, ca=True), issued(0, 1, ca=True))),
            public_key=KEYS[3].public_key(),
            at=NOW,
        )


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({FIRMWARE: None}, "nothing of firmware"),
        ({POLICY: None}, "nothing of firmware"),
        ({POLICY: b"\x02"}, "nothing of firmware"),
        ({POLICY: b"\x09\x09"}, "malformed"),
        ({FIRMWARE: b"\x05"}, "malformed"),
        ({SERIAL: b"\x04\x01\x07"}, "malformed"),
        ({FIRMWARE: b"\x04\x02\x06"}, "factored"),
        ({FIRMWARE: b"\x04\x03\x04"}, "factored"),
    ],
)
def test_what_the_vendor_says_is_read_strictly(
    changes: dict[x509.ObjectIdentifier, bytes | None], why: str
) -> None:
    extensions = {oid: value for oid, value in {**EXTENSIONS, **changes}.items() if value is not None}
    with pytest.raises(errors.CardNotGenuine, match=why):
        judged(extensions=extensions)
