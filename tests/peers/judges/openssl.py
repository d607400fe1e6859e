"""openssl: signatures, agreements and chains, checked by a program that knows nothing of cards."""

from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.peers.programs import need, run


def openssl(*words: str | Path) -> str:
    """Run one openssl command and return what it printed."""
    return run([need("openssl", "openssl"), *words])


def write_public_key(certificate: x509.Certificate, path: Path) -> Path:
    """Write the certificate's public key as PEM."""
    key = certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path.write_bytes(key)
    return path


def check_signature(public_key: Path, message: Path, signature: Path) -> None:
    """Verify a SHA-256 signature (ECDSA in DER, or RSA PKCS#1 v1.5) with `openssl dgst`."""
    said = openssl("dgst", "-sha256", "-verify", public_key, "-signature", signature, message)
    assert "Verified OK" in said


def judge_with_openssl(
    certificate: x509.Certificate,
    *,
    root: x509.Certificate,
    between: Sequence[x509.Certificate],
    folder: Path,
) -> None:
    """Verify the chain from `certificate` over `between` to `root`, strictly as RFC 5280 says."""
    files = {"leaf": [certificate], "root": [root], "between": between}
    for name, certificates in files.items():
        (folder / name).write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in certificates))
    untrusted: list[str | Path] = ["-untrusted", folder / "between"] if between else []
    said = openssl("verify", "-x509_strict", "-CAfile", folder / "root", *untrusted, folder / "leaf")
    assert said.endswith(": OK\n"), said
