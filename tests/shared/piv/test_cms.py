import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from shared import errors
from shared.piv import cms, security_object
from shared.piv.ccc import Ccc
from shared.piv.der import algorithm, integer, octet_string, oid, read_integer, sequence
from shared.piv.ids import ObjectId
from shared.piv.security_object import Digests, SecurityObject
from tests.shared.piv.terminal import rsa_key

Signer = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | Ed25519PrivateKey
CONTENT = b"everything but the signature"
SIGNERS: dict[str, Signer] = {
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "rsa": rsa_key(2048),
}


def certificate_of(key: Signer, name: str = "Content signing") -> x509.Certificate:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Müller & Co"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(0x8000_0000_0000_0001)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2050, 1, 1, tzinfo=UTC))
        .sign(key, None if isinstance(key, Ed25519PrivateKey) else hashes.SHA256())
    )


def signed_by(key: Signer, message: bytes) -> bytes:
    """Sign as the key store does: DER for ECDSA, PKCS#1 v1.5 for RSA."""
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key.sign(message, ec.ECDSA(hashes.SHA384() if key.key_size == 384 else hashes.SHA256()))


def sign(
    key: Signer, *, detached: bool, with_certificate: bool = True, content: bytes = CONTENT
) -> tuple[bytes, x509.Certificate]:
    certificate = certificate_of(key)
    message = cms.to_be_signed(content_type=cms.CHUID_CONTENT, content=content, certificate=certificate)
    signed = cms.assemble(
        content_type=cms.CHUID_CONTENT,
        content=content,
        certificate=certificate,
        signature=signed_by(key, message),
        detached=detached,
        with_certificate=with_certificate,
    )
    return signed, certificate


@pytest.mark.parametrize("name", SIGNERS)
@pytest.mark.parametrize("detached", [True, False])
def test_what_was_signed_verifies(name: str, detached: bool) -> None:  # noqa: FBT001  # a parameter of the test
    raw, certificate = sign(SIGNERS[name], detached=detached)
    verified = cms.verify(raw, content_type=cms.CHUID_CONTENT, content=CONTENT if detached else None)
    assert verified.content == CONTENT
    assert verified.certificate == certificate
    bare, _ = sign(SIGNERS[name], detached=detached, with_certificate=False)
    with pytest.raises(errors.CardMalformed, match="no certificate"):
        cms.verify(bare, content_type=cms.CHUID_CONTENT, content=CONTENT if detached else None)
    cms.verify(
        bare,
        content_type=cms.CHUID_CONTENT,
        content=CONTENT if detached else None,
        certificate=certificate,
    )


@pytest.mark.parametrize("name", SIGNERS)
def test_openssl_verifies_it_too(name: str, tmp_path: Path) -> None:
    raw, certificate = sign(SIGNERS[name], detached=True)
    (tmp_path / "signed.der").write_bytes(raw)
    (tmp_path / "content").write_bytes(CONTENT)
    (tmp_path / "signer.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    command = "openssl cms -verify -binary -inform DER -in signed.der -content content -CAfile signer.pem -purpose any"
    done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == CONTENT
    (tmp_path / "content").write_bytes(CONTENT + b"!")
    done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode != 0


@pytest.mark.parametrize("name", SIGNERS)
def test_nothing_can_be_changed(name: str) -> None:
    key = SIGNERS[name]
    raw, _ = sign(key, detached=True)
    with pytest.raises(errors.CardMalformed, match="content was changed"):
        cms.verify(raw, content_type=cms.CHUID_CONTENT, content=CONTENT + b"!")
    with pytest.raises(errors.CardMalformed, match="not of type"):
        cms.verify(raw, content_type=cms.LDS_CONTENT, content=CONTENT)
    with pytest.raises(errors.CardMalformed, match="another one than expected"):
        cms.verify(
            raw,
            content_type=cms.CHUID_CONTENT,
            content=CONTENT,
            certificate=certificate_of(key, "Somebody else"),
        )
    with pytest.raises(errors.CardMalformed, match="twice or not at all"):
        cms.verify(raw, content_type=cms.CHUID_CONTENT)
    bare, _ = sign(key, detached=True, with_certificate=False)
    with pytest.raises(errors.CardMalformed, match="somebody else"):
        cms.verify(
            bare,
            content_type=cms.CHUID_CONTENT,
            content=CONTENT,
            certificate=certificate_of(key, "Somebody else"),
        )


@given(st.data())
def test_no_byte_of_signed_data_can_be_changed_unnoticed(data: st.DataObject) -> None:
    raw, certificate = SAMPLE
    damaged = bytearray(raw)
    damaged[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        verified = cms.verify(bytes(damaged), content_type=cms.CHUID_CONTENT, certificate=certificate)
    except errors.CardMalformed:
        return
    # the set of digest algorithms before the content is a hint that nobody signs
    assert verified.content == CONTENT


SAMPLE = sign(SIGNERS["p256"], detached=False, with_certificate=False)


@pytest.mark.parametrize(
    ("name", "old", "new", "why"),
    [
        ("p256", "020103310d", "020102310d", "version"),
        ("p256", "2a8648ce3d040302", "2a8648ce3d040303", "do not go together"),
        ("rsa", "2a864886f70d01010b", "2a864886f70d01010c", "do not go together"),
        ("p256", "608648016503040201", "608648016503040204", "not SHA-2"),
        ("p256", "2a864886f70d010904", "2a864886f70d010903", "attribute twice"),
        ("p256", "02010130", "02010330", "issuer and serial"),
    ],
)
def test_other_structures_are_refused(name: str, old: str, new: str, why: str) -> None:
    raw, certificate = sign(SIGNERS[name], detached=False, with_certificate=False)
    text = raw.hex().replace(old, new)
    assert text != raw.hex()
    with pytest.raises(errors.CardMalformed, match=why):
        cms.verify(bytes.fromhex(text), content_type=cms.CHUID_CONTENT, certificate=certificate)


def test_another_certificate_or_key_is_refused() -> None:
    raw, certificate = sign(SIGNERS["p256"], detached=False)
    inside = certificate.public_bytes(Encoding.DER)
    with pytest.raises(errors.CardMalformed, match="no single certificate"):
        cms.verify(raw.replace(inside, b"\x31" + inside[1:]), content_type=cms.CHUID_CONTENT)
    bare, _ = sign(SIGNERS["p256"], detached=False, with_certificate=False)
    for key, why in (
        (Ed25519PrivateKey.generate(), "not known"),
        (ec.generate_private_key(ec.SECP256R1()), "verify"),
    ):
        with pytest.raises(errors.CardMalformed, match=why):
            cms.verify(bare, content_type=cms.CHUID_CONTENT, certificate=certificate_of(key))


def test_a_content_type_that_was_not_signed_is_refused() -> None:
    """The outer content type is not signed itself: the attribute is."""
    certificate = certificate_of(SIGNERS["p256"])
    message = cms.to_be_signed(content_type=cms.LDS_CONTENT, content=CONTENT, certificate=certificate)
    raw = cms.assemble(
        content_type=cms.LDS_CONTENT,
        content=CONTENT,
        certificate=certificate,
        signature=signed_by(SIGNERS["p256"], message),
        detached=True,
        with_certificate=True,
    )
    at = raw.index(oid(cms.LDS_CONTENT))
    other = "1.3.27.1.1.2"
    changed = raw[:at] + oid(other) + raw[at + len(oid(other)) :]
    with pytest.raises(errors.CardMalformed, match="content type was changed"):
        cms.verify(changed, content_type=other, content=CONTENT)


def test_a_key_that_readers_do_not_know_does_not_sign() -> None:
    certificate = certificate_of(Ed25519PrivateKey.generate())
    with pytest.raises(errors.NotSupportedByCard):
        cms.digest_for(certificate)


@pytest.mark.parametrize(
    ("dotted", "raw"),
    [
        (cms.CHUID_CONTENT, "0608608648016503 0601"),
        (cms.LDS_CONTENT, "06052B1B010101"),
        ("1.2.840.113549.1.7.2", "06092A864886F70D010702"),
        ("2.16.840.1.101.3.4.2.1", "0609608648016503040201"),
    ],
)
def test_object_identifiers_are_der(dotted: str, raw: str) -> None:
    assert oid(dotted) == bytes.fromhex(raw)


@given(st.integers(0, 2**200))
def test_integers_are_der(value: int) -> None:
    raw = integer(value)
    assert read_integer(raw[2:]) == value
    assert raw[1] == 1 or raw[2] or raw[3] & 0x80
    with pytest.raises(errors.CardMalformed):
        read_integer(b"")
    with pytest.raises(errors.Garbled):
        integer(-1 - value)


OBJECTS = {
    ObjectId.CCC: bytes(Ccc(card_id=bytes(14))),
    ObjectId.PRINTED_INFORMATION: b"printed",
    ObjectId.KEY_HISTORY: b"history",
}


def security(name: str) -> tuple[SecurityObject, x509.Certificate]:
    certificate = certificate_of(SIGNERS[name])
    digests = Digests(objects=OBJECTS, certificate=certificate)
    return digests.assemble(signed_by(SIGNERS[name], digests.to_be_signed())), certificate


@pytest.mark.parametrize("name", SIGNERS)
def test_a_security_object_vouches_for_its_objects(name: str) -> None:
    made, certificate = security(name)
    read = SecurityObject.from_bytes(bytes(made))
    assert list(read.groups.values()) == list(OBJECTS)
    security_object.verify(read, {**OBJECTS, ObjectId.CHUID: b"not covered"}, certificate)
    for changed in ({**OBJECTS, ObjectId.CCC: b"changed"}, {ObjectId.CCC: OBJECTS[ObjectId.CCC]}):
        with pytest.raises(errors.CardMalformed, match="missing or was changed"):
            security_object.verify(read, changed, certificate)
    with pytest.raises(errors.CardMalformed):
        security_object.verify(read, OBJECTS, certificate_of(SIGNERS[name], "Somebody else"))
    fewer = SecurityObject(groups={1: ObjectId.CCC}, signed=read.signed)
    with pytest.raises(errors.CardMalformed, match="different groups"):
        security_object.verify(fewer, OBJECTS, certificate)


@pytest.mark.parametrize("name", SIGNERS)
def test_objects_are_compared_with_a_security_object_whoever_signed_it(name: str) -> None:
    made, _ = security(name)
    assert security_object.digests_differ(made, OBJECTS) == frozenset()
    changed = {ObjectId.CCC: b"changed", ObjectId.PRINTED_INFORMATION: b"printed", ObjectId.CHUID: b"more"}
    assert security_object.digests_differ(made, changed) == {ObjectId.CCC, ObjectId.KEY_HISTORY}
    fewer = SecurityObject(groups={1: ObjectId.CCC}, signed=made.signed)
    with pytest.raises(errors.CardMalformed, match="different groups"):
        security_object.digests_differ(fewer, OBJECTS)
    other = SecurityObject(groups=made.groups, signed=sign(SIGNERS[name], detached=False)[0])
    with pytest.raises(errors.CardMalformed):
        security_object.digests_differ(other, OBJECTS)


def test_what_is_stated_is_read_without_a_signer() -> None:
    raw, _ = sign(SIGNERS["p256"], detached=False)
    assert cms.stated(raw, content_type=cms.CHUID_CONTENT) == CONTENT
    raw, _ = sign(SIGNERS["p256"], detached=True)
    with pytest.raises(errors.CardMalformed, match="no content"):
        cms.stated(raw, content_type=cms.CHUID_CONTENT)


def test_a_security_object_covers_one_to_sixteen_objects() -> None:
    certificate = certificate_of(SIGNERS["p256"])
    for objects in (
        {},
        dict.fromkeys(list(security_object.CONTAINER_IDS)[:17], b""),
        {ObjectId.SECURITY: b""},
    ):
        with pytest.raises(errors.Garbled):
            Digests(objects=objects, certificate=certificate)


@pytest.mark.parametrize(
    ("version", "numbers", "why"),
    [(1, [1, 2], "version"), (0, [1, 1], "twice"), (0, [1], "different groups")],
)
def test_other_digests_are_refused(version: int, numbers: list[int], why: str) -> None:
    groups = (sequence(integer(number), octet_string(bytes(32))) for number in numbers)
    content = sequence(integer(version), algorithm("2.16.840.1.101.3.4.2.1"), sequence(*groups))
    certificate = certificate_of(SIGNERS["p256"])
    message = cms.to_be_signed(content_type=cms.LDS_CONTENT, content=content, certificate=certificate)
    signed = cms.assemble(
        content_type=cms.LDS_CONTENT,
        content=content,
        certificate=certificate,
        signature=signed_by(SIGNERS["p256"], message),
        detached=False,
        with_certificate=False,
    )
    made = SecurityObject(groups={1: ObjectId.CCC, 2: ObjectId.KEY_HISTORY}, signed=signed)
    with pytest.raises(errors.CardMalformed, match=why):
        security_object.verify(made, OBJECTS, certificate)
