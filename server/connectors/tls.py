"""TLS to outside systems: who is trusted, and how they know us."""

import os
import ssl
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography import x509

from shared import errors
from shared.secret import Secret

NO_PASSPHRASE: Final = b""
"""Given for an encrypted key: otherwise the library would ask on the terminal."""


def client_context(*, roots: str = "", certificate: str = "", key: Secret | None = None) -> ssl.SSLContext:
    """Return how TLS is made: 1.2 or later, chain and name verified; `roots`, where given, count alone.

    Raises:
        Invalid: a certificate cannot be read, or our certificate and key do not belong together.
    """
    try:
        context = ssl.create_default_context(cadata=roots or None)
    except ssl.SSLError as cause:
        raise errors.Invalid(field="roots", why="these are no certificates in PEM") from cause
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if bool(certificate) != (key is not None):
        raise errors.Invalid(
            field="client-key", why="a certificate of ours needs its key, and a key its certificate"
        )
    if key is not None:
        _present(context, certificate, key)
    return context


def _present(context: ssl.SSLContext, certificate: str, key: Secret) -> None:
    """Give our certificate and key to the library, which reads them from files only: from one that is in memory."""
    descriptor = os.memfd_create("client-key", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(key.reveal() + b"\n" + certificate.encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=lambda: NO_PASSPHRASE)
    except (ssl.SSLError, ValueError) as cause:
        why = "our certificate and key cannot be used: PEM, not encrypted, and of one pair"
        raise errors.Invalid(field="client-key", why=why) from cause
    finally:
        os.close(descriptor)


def certificates_in(pem: str) -> Sequence[x509.Certificate]:
    """Return the certificates in a PEM text; none for an empty one.

    Raises:
        Invalid: it holds something else.
    """
    if not pem.strip():
        return ()
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError as cause:
        raise errors.Invalid(field="certificates", why="these are no certificates in PEM") from cause


def credential_ends(certificate: str) -> datetime | None:
    """Return until when our own certificate (the first in PEM) is good; None where there is none."""
    found = certificates_in(certificate)
    return found[0].not_valid_after_utc if found else None


def why_not(cause: BaseException) -> str:
    """Return what the machine says of a failure, in a few words."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        return cause.verify_message
    if isinstance(cause, OSError) and cause.errno:
        return os.strerror(cause.errno) if cause.errno > 0 else str(cause.strerror)
    return type(cause).__name__
