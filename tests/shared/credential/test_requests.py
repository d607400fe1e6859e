"""Certificate requests put together around a card's signature, judged by cryptography and by OpenSSL."""

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from shared.credential.names import requested_extensions
from shared.credential.plan import der
from shared.credential.requests import SIGNATURE_ALGORITHM, assemble_request, request_info
from shared.iso7816.apdu import Digest
from shared.piv.ids import Algorithm
from shared.piv.keys import to_be_signed
from shared.virtual.keys import generate_key
from tests.shared.credential.signers import signed

SIGNING = [algorithm for algorithm in Algorithm if algorithm.can_sign]
DIGESTS = {
    Digest.PKCS1_SHA256: "sha256",
    Digest.SHA256: "sha256",
    Digest.SHA384: "sha384",
    Digest.NONE: "none",
}
QUICK = [Algorithm.P256, Algorithm.P384, Algorithm.ED25519]
KEYS = {algorithm: generate_key(algorithm) for algorithm in QUICK}
CARD = "urn:uuid:8d6b3a52-9a0e-4b8c-b7a7-0d6a40a1f0d3"
SUBJECT = x509.Name.from_rfc4514_string("CN=Bob Smith,OU=Research,O=Example")


def request_of(algorithm: Algorithm, subject: x509.Name = SUBJECT) -> tuple[bytes, bytes]:
    """Return a request, and the public key that it is for."""
    private = KEYS.get(algorithm) or generate_key(algorithm)
    public_key = der(private.public_key())
    info = request_info(subject, public_key)
    return assemble_request(info, algorithm, signed(private, info)), public_key


@pytest.mark.parametrize("algorithm", SIGNING)
def test_a_request_is_one(algorithm: Algorithm) -> None:
    request, public_key = request_of(algorithm)
    parsed = x509.load_der_x509_csr(request)
    assert parsed.is_signature_valid
    assert parsed.subject == SUBJECT
    assert der(parsed.public_key()) == public_key  # type: ignore[arg-type]  # kinds of slot keys only
    assert list(parsed.extensions) == []
    digest = parsed.signature_hash_algorithm
    assert (digest.name if digest else "none") == DIGESTS[to_be_signed(algorithm, b"").digest]


@pytest.mark.parametrize("algorithm", QUICK)
def test_a_request_asks_for_names(algorithm: Algorithm) -> None:
    wanted = requested_extensions(
        upn="bob@example.test", mail="bob@example.test", sid="S-1-5-21-1-2-3-1001", card=CARD, fascn=bytes(25)
    )
    private = KEYS[algorithm]
    info = request_info(SUBJECT, der(private.public_key()), wanted)
    parsed = x509.load_der_x509_csr(assemble_request(info, algorithm, signed(private, info)))
    assert parsed.is_signature_valid
    assert tuple(each.value for each in parsed.extensions) == wanted
    assert not any(each.critical for each in parsed.extensions)


@pytest.mark.parametrize("algorithm", SIGNING)
def test_openssl_takes_it(algorithm: Algorithm, tmp_path: Path) -> None:
    file = tmp_path / "request"
    file.write_bytes(request_of(algorithm)[0])
    said = subprocess.run(
        ["openssl", "req", "-in", str(file), "-inform", "DER", "-verify", "-noout", "-subject"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "verify OK" in said.stdout + said.stderr
    assert "Bob Smith" in said.stdout


def test_a_changed_subject_breaks_the_signature() -> None:
    request, _ = request_of(Algorithm.P256)
    changed = request.replace(b"Bob Smith", b"Bob Smyth")
    assert not x509.load_der_x509_csr(changed).is_signature_valid


@given(
    name=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=16),
    algorithm=st.sampled_from(QUICK),
)
def test_any_name_survives(name: str, algorithm: Algorithm) -> None:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name, _validate=False)])
    parsed = x509.load_der_x509_csr(request_of(algorithm, subject)[0])
    assert parsed.subject == subject
    assert parsed.is_signature_valid


def test_keys_that_do_not_sign_have_no_request() -> None:
    assert set(SIGNATURE_ALGORITHM) == set(SIGNING)
