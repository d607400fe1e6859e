"""The keys of a rehearsal: worthless, the same every time, and as long as keys can be."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from server.connectors.keystore.scratch import LongestSignatures, ScratchKeyStore, Stream
from shared.clock import SystemClock
from shared.secret import Secret
from tests.contract.test_keystore import derivation


def store(generations: int = 2) -> ScratchKeyStore:
    return ScratchKeyStore(generations, ("ca/root",), Stream(), SystemClock())


async def test_derived_values_are_the_same_every_time() -> None:
    one, other = store(), store()
    assert one.generation == other.generation == 2
    for generation in (1, 2):
        wanted = derivation(generation=generation)
        assert await one.derive(wanted) == await other.derive(wanted)
    assert await one.derive(derivation(generation=1)) != await one.derive(derivation(generation=2))


def test_random_bytes_are_the_same_every_time_and_never_the_same_twice() -> None:
    one, other = store(), store()
    drawn = [one.random(16) for _ in range(100)]
    assert drawn == [other.random(16) for _ in range(100)]
    assert len(set(drawn)) == 100
    assert all(each[0] & 0x80 and len(each) == 16 for each in drawn)
    assert Stream()(0) == b""


@pytest.mark.parametrize(("curve", "length"), [(ec.SECP256R1(), 72), (ec.SECP384R1(), 104)])
def test_signatures_have_the_greatest_length(curve: ec.EllipticCurve, length: int) -> None:
    plain = ec.generate_private_key(curve)
    key = LongestSignatures(plain)
    for number in range(20):
        message = bytes((number,))
        signature = key.sign(message, ec.ECDSA(hashes.SHA256()))
        assert len(signature) == length
        r, s = decode_dss_signature(signature)
        assert r.bit_length() == s.bit_length() == curve.key_size
        key.public_key().verify(signature, message, ec.ECDSA(hashes.SHA256()))
    assert (key.curve.name, key.key_size) == (curve.name, curve.key_size)
    assert key.exchange(ec.ECDH(), plain.public_key()) == plain.exchange(ec.ECDH(), plain.public_key())


def test_certificates_are_signed_with_it_as_with_any_key() -> None:
    key = LongestSignatures(ec.generate_private_key(ec.SECP256R1()))
    name = x509.Name([])
    now = SystemClock().now()
    certificate = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now).sign(
        key, hashes.SHA256()
    )
    certificate.verify_directly_issued_by(certificate)


async def test_what_it_seals_it_opens() -> None:
    kept = store()
    assert await kept.unseal("test", await kept.seal("test", Secret(b"plain"))) == Secret(b"plain")
