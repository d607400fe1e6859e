"""What a certificate authority returned is checked, whatever it returned."""

import datetime as dt
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from shared import errors
from shared.credential.certificates import Usage, check_certificate, check_names, needed_usage
from shared.credential.names import alternative_names, sid_extension
from shared.piv.ids import Slot

NOW = dt.datetime(2031, 5, 17, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
SUBJECT = "CN=Anna Berg,O=Example"
CARD = "urn:uuid:8d6b3a52-9a0e-4b8c-b7a7-0d6a40a1f0d3"
SID = "S-1-5-21-1-2-3-1001"
REQUIRED, ALLOWED = check_names(upn="anna@x.test", mail="anna@x.test", card=CARD)


def key_usage(*names: str) -> x509.KeyUsage:
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: name in names for name in every})


@dataclass
class Ca:
    """A certificate authority that returns whatever a test wants."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    def sign(
        self,
        *extensions: x509.ExtensionType,
        subject: str = SUBJECT,
        begin: dt.datetime = NOW - DAY,
        end: dt.datetime = NOW + DAY,
    ) -> bytes:
        builder = x509.CertificateBuilder(
            issuer_name=self.certificate.subject,
            subject_name=x509.Name.from_rfc4514_string(subject),
            public_key=HOLDER.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=begin,
            not_valid_after=end,
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.DER)


def make_ca(name: str, issuer: Ca | None = None, **changes: Any) -> Ca:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name.from_rfc4514_string(f"CN={name}")
    builder = x509.CertificateBuilder(
        issuer_name=issuer.certificate.subject if issuer else subject,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=NOW - 9 * DAY,
        not_valid_after=changes.get("end", NOW + 9 * DAY),
    ).add_extension(x509.BasicConstraints(ca=changes.get("ca", True), path_length=None), critical=True)
    return Ca(key, builder.sign(issuer.key if issuer else key, hashes.SHA256()))


HOLDER = ec.generate_private_key(ec.SECP256R1())
SPKI = HOLDER.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
ROOT = make_ca("Root")
ISSUING = make_ca("Issuing", ROOT)
STRANGER = make_ca("Issuing", make_ca("Root"))
"""Of the same names as the right one."""

GOOD = (
    x509.SubjectAlternativeName(list(ALLOWED)),
    key_usage("digital_signature"),
    x509.BasicConstraints(ca=False, path_length=None),
    sid_extension(SID),
)


def check(certificate: bytes, trust: Sequence[bytes] = (ISSUING.der, ROOT.der), **changes: Any) -> None:
    values: dict[str, Any] = {
        "public_key": SPKI,
        "subject": SUBJECT,
        "now": NOW,
        "usage": Usage.DIGITAL_SIGNATURE,
        "required": REQUIRED,
        "allowed": ALLOWED,
        "sid": SID,
    }
    check_certificate(certificate, connection="main", trust=trust, **(values | changes))


def why(certificate: bytes, trust: Sequence[bytes] = (ISSUING.der, ROOT.der), **changes: Any) -> str:
    with pytest.raises(errors.CertificateRejected) as caught:
        check(certificate, trust, **changes)
    assert caught.value.facts["connection"] == "main"
    assert "Anna" not in str(caught.value)
    return str(caught.value.facts["why"])


def test_what_was_asked_for() -> None:
    check(ISSUING.sign(*GOOD))
    check(ROOT.sign(*GOOD), (ROOT.der,))


def test_the_least_that_is_checked() -> None:
    check(ISSUING.sign(), usage=None, required=(), allowed=None, sid=None)


def without(kind: type) -> list[x509.ExtensionType]:
    return [extension for extension in GOOD if not isinstance(extension, kind)]


def names(*more: x509.GeneralName, **changes: str) -> bytes:
    given: dict[str, Any] = {"upn": "anna@x.test", "mail": "anna@x.test", "card": CARD} | changes
    alternatives = x509.SubjectAlternativeName([*alternative_names(**given), *more])
    return ISSUING.sign(alternatives, *without(x509.SubjectAlternativeName))


def test_another_key() -> None:
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    spki = other.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert why(ISSUING.sign(*GOOD), public_key=spki) == "another public key"


@pytest.mark.parametrize(
    "subject", ["CN=Anna Berg", "CN=Bob,O=Example", "O=Example,CN=Anna Berg", "CN=Anna Berg,O=Example,C=DE"]
)
def test_another_subject(subject: str) -> None:
    assert why(ISSUING.sign(*GOOD, subject=subject)) == "another subject"


@pytest.mark.parametrize(
    ("certificate", "expected"),
    [
        (names(upn="bob@x.test"), "an alternative name is missing"),
        (names(upn=""), "an alternative name is missing"),
        (names(mail=""), "an alternative name is missing"),
        (ISSUING.sign(*without(x509.SubjectAlternativeName)), "an alternative name is missing"),
        (names(*alternative_names(upn="root@x.test")), "an alternative name that was not asked for"),
        (names(*alternative_names(mail="root@x.test")), "an alternative name that was not asked for"),
        (names(x509.DNSName("dc1.x.test")), "an alternative name that was not asked for"),
        (
            names(x509.UniformResourceIdentifier("tag:microsoft.com,2022-09-14:sid:S-1-5-21-500")),
            "an alternative name that was not asked for",
        ),
    ],
    ids=["upn", "no upn", "no mail", "none", "second upn", "second mail", "host", "sid as uri"],
)
def test_other_names(certificate: bytes, expected: str) -> None:
    assert why(certificate) == expected


def test_a_profile_may_leave_the_cards_name_out() -> None:
    check(names(card=""))


def test_the_security_identifier() -> None:
    plain = [extension for extension in GOOD if not isinstance(extension, x509.UnrecognizedExtension)]
    assert why(ISSUING.sign(*plain)) == "the security identifier is missing"
    wrong = ISSUING.sign(*plain, sid_extension("S-1-5-21-1-2-3-500"))
    assert why(wrong) == "another security identifier"
    assert why(ISSUING.sign(*GOOD), sid="") == "another security identifier"
    check(ISSUING.sign(*plain), sid="")
    check(wrong, sid=None)


def test_usages() -> None:
    rest = without(x509.KeyUsage)
    assert why(ISSUING.sign(*rest)) == "no key usage digital signature"
    assert why(ISSUING.sign(*rest, key_usage("key_agreement"))) == "no key usage digital signature"
    signer = ISSUING.sign(*rest, key_usage("digital_signature", "key_cert_sign"))
    assert why(signer) == "a certificate authority's key usage"
    ca = x509.BasicConstraints(ca=True, path_length=None)
    assert why(ISSUING.sign(ca, *without(x509.BasicConstraints))) == "a certificate authority's certificate"


def test_validity() -> None:
    assert why(ISSUING.sign(*GOOD, begin=NOW + DAY, end=NOW + 2 * DAY)) == "not valid now"
    assert why(ISSUING.sign(*GOOD, begin=NOW - 2 * DAY, end=NOW - DAY)) == "not valid now"
    expired = make_ca("Old", end=NOW - DAY)
    assert "itself is not valid now" in why(expired.sign(*GOOD), (expired.der,))


def test_other_issuers() -> None:
    assert "not signed by" in why(STRANGER.sign(*GOOD))
    assert "not signed by" in why(ROOT.sign(*GOOD))
    forged = bytearray(ISSUING.sign(*GOOD))
    forged[-1] ^= 1
    assert "not signed by" in why(bytes(forged))


@pytest.mark.parametrize(
    "trust",
    [
        (),
        (ISSUING.der,),
        (ROOT.der, ISSUING.der),
        (ISSUING.der, STRANGER.der),
        (make_ca("No CA", ROOT, ca=False).der, ROOT.der),
        (ROOT.der,) * 6,
    ],
    ids=["none", "no root", "wrong order", "two issuing ones", "no certificate authority", "too long"],
)
def test_configured_issuers_that_are_no_chain(trust: Sequence[bytes]) -> None:
    assert "no chain" in why(ISSUING.sign(*GOOD), trust)


def test_a_configured_issuer_that_cannot_be_read() -> None:
    assert why(ISSUING.sign(*GOOD), (b"junk",)) == "cannot be read"


def test_a_certificate_without_extensions_is_of_an_old_version(tmp_path: Path) -> None:
    """OpenSSL makes version 1 where no extensions are asked for."""
    files = {name: str(tmp_path / name) for name in ("csr", "ca", "key", "out")}
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name.from_rfc4514_string(SUBJECT))
    Path(files["csr"]).write_bytes(csr.sign(HOLDER, hashes.SHA256()).public_bytes(Encoding.PEM))
    Path(files["ca"]).write_bytes(ROOT.certificate.public_bytes(Encoding.PEM))
    Path(files["key"]).write_bytes(ROOT.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    command = ["openssl", "x509", "-req", "-in", files["csr"], "-CA", files["ca"], "-CAkey", files["key"]]
    command += ["-set_serial", "7", "-outform", "DER", "-out", files["out"]]
    subprocess.run(command, check=True, capture_output=True)
    assert why(Path(files["out"]).read_bytes()) == "not of version 3"


def test_size() -> None:
    certificate = ISSUING.sign(*GOOD)
    assert "bytes, more than" in why(certificate, max_length=len(certificate) - 1)


@given(st.binary(max_size=300))
def test_no_bytes_pass_or_crash(junk: bytes) -> None:
    assert why(junk)


@pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")
@pytest.mark.filterwarnings("ignore:Attribute's length must be")
@pytest.mark.parametrize("change", [0x01, 0x02, 0x05, 0x10, 0x20, 0x7F, 0x80, 0xFF])
def test_no_altered_byte_passes(change: int) -> None:
    for place in range(len(GOOD_DER)):
        altered = bytearray(GOOD_DER)
        altered[place] ^= change
        assert why(bytes(altered)), place


GOOD_DER = ISSUING.sign(*GOOD)


def test_the_usage_that_a_slot_needs() -> None:
    rsa_key = rsa.generate_private_key(65537, 2048).public_key()
    x_key = x25519.X25519PrivateKey.generate().public_key()
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert needed_usage(Slot.AUTHENTICATION, SPKI) is Usage.DIGITAL_SIGNATURE
    assert needed_usage(Slot.KEY_MANAGEMENT, SPKI) is Usage.KEY_AGREEMENT
    assert needed_usage(Slot.KEY_MANAGEMENT, rsa_key.public_bytes(*form)) is Usage.KEY_ENCIPHERMENT
    assert needed_usage(Slot.RETIRED_3, x_key.public_bytes(*form)) is Usage.KEY_AGREEMENT
