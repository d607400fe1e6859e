"""openssl: signatures, agreements and chains, checked by a program that knows nothing of cards."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.peers.programs import need, run

CERTIFICATE_REVOKED: Final = 23
"""X509_V_ERR_CERT_REVOKED. Source: verify(1ssl), diagnostics."""


def openssl(*words: str | Path, accept: Sequence[int] = (0,)) -> str:
    """Run one openssl command and return what it printed."""
    return run([need("openssl", "openssl"), *words], accept=accept)


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


def is_revoked(
    certificate: x509.Certificate,
    revocations: bytes,
    *,
    root: x509.Certificate,
    issuer: x509.Certificate,
    folder: Path,
) -> str:
    """Return why the issuer's list (DER) revokes a certificate, as openssl says it; empty where it does not.

    The list's own signature is verified, and the chain of the certificate with it.
    """
    files = {"leaf": certificate, "root": root, "issuer": issuer}
    for name, each in files.items():
        (folder / name).write_bytes(each.public_bytes(Encoding.PEM))
    (folder / "crl.der").write_bytes(revocations)
    crl: list[str | Path] = ["-inform", "DER", "-in", folder / "crl.der"]
    said = openssl("crl", *crl, "-CAfile", folder / "issuer", "-noout")
    assert "verify OK" in said, said
    openssl("crl", *crl, "-out", folder / "crl.pem")
    chain: list[str | Path] = ["-CAfile", folder / "root", "-untrusted", folder / "issuer"]
    check: list[str | Path] = ["-crl_check", "-CRLfile", folder / "crl.pem"]
    judged = openssl("verify", "-x509_strict", *chain, *check, folder / "leaf", accept=(0, 2))
    if judged.endswith(": OK\n"):
        return ""
    assert f"error {CERTIFICATE_REVOKED} at 0 depth lookup" in judged, judged
    return _reason(openssl("crl", *crl, "-noout", "-text"), certificate)


def _reason(text: str, certificate: x509.Certificate) -> str:
    """Find the reason code of a certificate's entry in the text of a list."""
    serial = f"{certificate.serial_number:X}"
    serial = serial.zfill(len(serial) + len(serial) % 2)
    entry = text.partition(f"Serial Number: {serial}\n")[2].partition("Serial Number:")[0]
    lines = [line.strip() for line in entry.splitlines()]
    named = "X509v3 CRL Reason Code:"
    return lines[lines.index(named) + 1] if named in lines else "unspecified"
