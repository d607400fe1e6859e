"""A log-on by Kerberos over HTTP: a ticket with each message, bound to the TLS certificate of the service that it is for.

The binding is what Windows calls extended protection: a ticket that was sent to one server is worth nothing at another. The keytab is
read by the library each time; tickets stay in memory.

Sources: [RFC 4559] (Negotiate), [RFC 4178] (SPNEGO), [RFC 5929] 4 (tls-server-end-point).
"""

import asyncio
import base64
import ssl
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from yarl import URL

from server.connectors.http import Http
from shared import errors
from shared.secret import Secret

SPNEGO: Final = "1.3.6.1.5.5.2"
BINDING: Final = b"tls-server-end-point:"
PATIENCE_S: Final = 10.0
"""For a key distribution centre, and for a TLS handshake."""
OLD: Final = (hashes.MD5, hashes.SHA1)


class Kerberos:
    """Log on as one principal, by its keytab, at the origin of one `Http`."""

    def __init__(self, principal: str, keytab: Path, http: Http) -> None:
        """Take who we are there.

        Raises:
            Invalid: there is a proxy on the way, which would hide the service's certificate.
            NotSupported: the extra `kerberos` is not installed.
        """
        if http.proxy:
            raise errors.Invalid(field="proxy", why="a log-on by Kerberos is bound to TLS: it takes no proxy")
        self._gssapi = _library()
        self._principal = principal
        self._keytab = keytab
        self._http = http
        self._tickets = f"MEMORY:{uuid4().hex}"  # the library keeps them by name, for the whole process
        self._address = URL(http.base)

    async def header(self) -> Secret:
        """Return the header of one message.

        Raises:
            ConnectorRefused: the keytab, the principal or the service's name is not accepted.
            ConnectorUnreachable: the service does not answer, or no key distribution centre in time.
        """
        certificate = await self._certificate()
        try:
            token = await asyncio.wait_for(asyncio.to_thread(self._token, certificate), PATIENCE_S)
        except TimeoutError as cause:
            raise self._unreachable(reason="no key distribution centre answers in time") from cause
        except self._gssapi.exceptions.GSSError as cause:
            reason = f"Kerberos refuses: {_words(cause)}"
            raise errors.ConnectorRefused(connection=self._http.connection, reason=reason) from cause
        return Secret(b"Negotiate " + base64.b64encode(token))

    def _token(self, certificate: bytes) -> bytes:
        gssapi = self._gssapi
        store = {"client_keytab": str(self._keytab), "ccache": self._tickets}
        name = gssapi.Name(self._principal, gssapi.NameType.kerberos_principal)
        service = gssapi.Name(f"HTTP@{self._address.host}", gssapi.NameType.hostbased_service)
        credentials = gssapi.Credentials(name=name, usage="initiate", store=store)
        begun = gssapi.raw.init_sec_context(
            service,
            creds=credentials,
            mech=gssapi.OID.from_int_seq(SPNEGO),
            flags=(),
            channel_bindings=gssapi.raw.ChannelBindings(application_data=BINDING + end_point(certificate)),
        )
        token: bytes = begun.token or b""
        return token

    async def _certificate(self) -> bytes:
        """Return the certificate that the service shows, which is verified as with every call."""
        opening = asyncio.open_connection(self._address.host, self._address.port, ssl=self._http.context)
        try:
            _, writer = await asyncio.wait_for(opening, PATIENCE_S)
        except ssl.SSLCertVerificationError as cause:
            reason = f"its certificate is not trusted: {cause.verify_message}"
            raise errors.ConnectorRefused(connection=self._http.connection, reason=reason) from cause
        except (OSError, TimeoutError) as cause:
            raise self._unreachable(reason=f"no connection: {type(cause).__name__}") from cause
        shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return shown

    def _unreachable(self, *, reason: str) -> errors.ConnectorUnreachable:
        return errors.ConnectorUnreachable(connection=self._http.connection, reason=reason)


def end_point(certificate: bytes) -> bytes:
    """Return the digest by which a certificate (DER) names the end of a channel ([RFC 5929] 4.1)."""
    try:
        signed_with = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    except UnsupportedAlgorithm:
        signed_with = None
    digest = hashes.Hash(
        hashes.SHA256() if signed_with is None or isinstance(signed_with, OLD) else signed_with
    )
    digest.update(certificate)
    return digest.finalize()


def _library() -> Any:
    try:
        import gssapi  # noqa: PLC0415  # an extra
    except ImportError as cause:
        raise errors.NotSupported(what="a log-on by keytab: install the extra kerberos") from cause
    return gssapi


def _words(cause: Any) -> str:
    """Return what the library says, in one short line; it names principals and services, and no secret."""
    words = " ".join(str(cause.gen_message()).split())
    return words[-160:]
