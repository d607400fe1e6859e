"""`kiosk join`: become a station of a server.

The token names the joining listener and the SHA-256 of its certificate. The certificate is fetched over a line
that is not trusted and on which nothing is sent; only if it is the token's own is gRPC opened, with exactly that
certificate as the only root. The private key is made here and never leaves.
"""

import asyncio
import contextlib
import hashlib
import hmac
import socket
import ssl
from pathlib import Path
from typing import Final
from uuid import UUID

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kiosk.backend.channel import OPTIONS
from kiosk.backend.failures import Reason, failure_of
from kiosk.backend.identity import StationIdentity, prepare_folder, store_identity
from kiosk.backend.renewal import make_request
from shared import errors
from shared.credential.model import StationId
from shared.joining import Invitation, read_token
from shared.proto import stations_pb2 as pb
from shared.proto import stations_pb2_grpc
from shared.secret import Secret

CONNECT_TIMEOUT_S: Final = 10.0
CALL_TIMEOUT_S: Final = 30.0


async def join(token: str, folder: Path, name: str) -> StationIdentity:
    """Join the server that `token` names, and store the identity in `folder`.

    `name` is what the machine would like to be called; a name in the token comes first.

    Raises:
        Invalid: the token is mistyped; nothing was sent.
        ServerUnreachable: nothing answers at the token's address.
        JoinRefused: the server there is another one than the token's (nothing was sent), or it says that the token
            is unknown, used or expired.
        TooManyAttempts: wait and try again.
        Garbled: what the server returned does not fit together; nothing was stored.
        ConfigInvalid: the folder cannot be written.
    """
    invitation = read_token(token)
    await asyncio.to_thread(prepare_folder, folder)  # before the token is spent
    shown = await fetch_certificate(invitation.address)
    if not hmac.compare_digest(hashlib.sha256(shown).digest(), invitation.fingerprint):
        raise errors.JoinRefused(why="another server answers at the token's address")
    key = ec.generate_private_key(ec.SECP256R1())
    reply = await _ask(invitation, shown, make_request(key, name), name)
    identity = _identity(reply, key)
    await asyncio.to_thread(store_identity, folder, identity)
    return identity


async def fetch_certificate(address: str) -> bytes:
    """Return the certificate (DER) that a listener shows. Not verified, and nothing is sent after the handshake.

    Raises:
        ServerUnreachable: there is no TLS listener.
    """
    host, _, port = address.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # its SHA-256 is compared by the caller, before anything is sent
    context.set_alpn_protocols(["h2"])
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, writer = await asyncio.open_connection(
                host.strip("[]"), int(port), ssl=context, server_hostname=host.strip("[]")
            )
    except (OSError, TimeoutError, ValueError) as error:
        raise errors.ServerUnreachable(server=address, reason=str(_reason(error))) from error
    try:
        tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
        shown = tls.getpeercert(binary_form=True)
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    if not shown:
        raise errors.ServerUnreachable(server=address, reason=str(Reason.NO_ANSWER))
    return shown


async def _ask(invitation: Invitation, root: bytes, request: bytes, name: str) -> pb.JoinReply:
    """Show the token's secret to the server whose certificate is `root`."""
    pem = ssl.DER_cert_to_PEM_cert(root).encode()
    options = (*OPTIONS, ("grpc.ssl_target_name_override", _name_in(root)))
    credentials = grpc.ssl_channel_credentials(root_certificates=pem)
    async with grpc.aio.secure_channel(invitation.address, credentials, options=options) as channel:
        try:
            return await stations_pb2_grpc.StationsStub(channel).Join(
                pb.JoinRequest(secret=invitation.secret.reveal(), request=request, name=name),
                timeout=CALL_TIMEOUT_S,
            )
        except grpc.aio.AioRpcError as error:
            raise failure_of(error, invitation.address) from error
        finally:
            invitation.secret.wipe()


def _identity(reply: pb.JoinReply, key: ec.EllipticCurvePrivateKey) -> StationIdentity:
    """Check what the server returned; `Garbled` where it is not for this key."""
    try:
        certificate = x509.load_der_x509_certificate(reply.certificate)
        root = x509.load_der_x509_certificate(reply.server_root)
        station_id = StationId(UUID(bytes=reply.station_id))
    except ValueError as error:
        raise errors.Garbled(why="the answer to joining cannot be read") from error
    lines = (reply.name, reply.address)
    if certificate.public_key() != key.public_key() or not all(line and line.isprintable() for line in lines):
        raise errors.Garbled(why="the answer to joining is not for this station")
    pem = serialization.Encoding.PEM
    return StationIdentity(
        station_id=station_id,
        name=reply.name,
        server=reply.address,
        key=Secret(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())),
        certificate=certificate.public_bytes(pem),
        server_root=root.public_bytes(pem),
        not_after=certificate.not_valid_after_utc,
    )


def _name_in(certificate: bytes) -> str:
    """Return a name that the certificate is good for: pinned as it is, its names prove nothing more."""
    parsed = x509.load_der_x509_certificate(certificate)
    try:
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound as error:
        raise errors.JoinRefused(why="the server's certificate has no name") from error
    for kind in (x509.DNSName, x509.IPAddress):
        found = names.get_values_for_type(kind)
        if found:
            return str(found[0])
    raise errors.JoinRefused(why="the server's certificate has no name")


def _reason(error: Exception) -> Reason:
    match error:
        case ConnectionRefusedError():
            return Reason.REFUSED
        case TimeoutError():
            return Reason.TIMEOUT
        case socket.gaierror() | ValueError():
            return Reason.NAME
        case ConnectionError() | ssl.SSLError():
            return Reason.CLOSED
        case _ if "Connect call failed" in str(error):
            return Reason.REFUSED  # by each of several addresses
        case _:
            return Reason.NO_ANSWER
