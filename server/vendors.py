"""Card vendors' certificates that an administrator trusts, read from a folder: what attestations are judged by."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from shared import errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendors:
    """Vendors' certificates (DER): roots by the names that templates use, and what may stand below them."""

    roots: Mapping[str, bytes]
    intermediates: tuple[bytes, ...]


def read_roots(folder: Path) -> Vendors:
    """Read vendors' certificates (PEM files). A root is called as its file; intermediates may follow in any file.

    Raises:
        ConfigInvalid: a file that is no PEM, or has two roots or none.
    """
    roots: dict[str, bytes] = {}
    intermediates: list[bytes] = []
    for path in sorted(folder.glob("*.pem")):
        try:
            found = x509.load_pem_x509_certificates(path.read_bytes())
        except (OSError, ValueError) as cause:
            raise errors.ConfigInvalid(file=str(path), why="not a certificate in PEM") from cause
        own = [certificate for certificate in found if certificate.subject == certificate.issuer]
        if len(own) != 1:
            raise errors.ConfigInvalid(file=str(path), why=f"{len(own)} roots; there is one to a file")
        roots[path.stem] = own[0].public_bytes(Encoding.DER)
        intermediates += [each.public_bytes(Encoding.DER) for each in found if each is not own[0]]
    return Vendors(roots=roots, intermediates=tuple(intermediates))
