"""A station's certificate is of the same root as the server's; it makes nobody a server."""

from uuid import uuid4

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from server.connectors.ca.bootstrap import bootstrap_stations
from server.connectors.ca.stations import StationAuthority
from server.connectors.keystore.memory import MemoryKeyStore
from server.identity import pem
from server.store.memory import MemoryStore
from shared.clock import SystemClock
from shared.credential.model import StationId

HOST = "localhost"
SETTLED = (grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE)


async def certificates(key: ec.EllipticCurvePrivateKey) -> tuple[bytes, dict[str, bytes]]:
    """Return the root, and two certificates for one key: of the server, and of a station of the server's name."""
    clock = SystemClock()
    store, keystore = MemoryStore(clock), MemoryKeyStore(clock)
    root = await bootstrap_stations(keystore, store.ledger, clock, "Example")
    authority = StationAuthority(keystore=keystore, ledger=store.ledger, clock=clock, root=root)
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    request = (
        x509.CertificateSigningRequestBuilder(subject_name=x509.Name([]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, SHA256())
    )
    return root, {
        "server": await authority.issue_server(public, (HOST,)),
        "station": await authority.issue_station(
            request.public_bytes(Encoding.DER), HOST, StationId(uuid4())
        ),
    }


@pytest.mark.parametrize("who", ["server", "station"])
async def test_only_the_server_is_believed_to_be_the_server(who: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    root, shown = await certificates(key)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    server = grpc.aio.server()
    port = server.add_secure_port(
        f"{HOST}:0", grpc.ssl_server_credentials([(private, pem(shown[who]) + pem(root))])
    )
    await server.start()
    credentials = grpc.ssl_channel_credentials(root_certificates=pem(root))
    try:
        async with grpc.aio.secure_channel(f"{HOST}:{port}", credentials) as channel:
            state = channel.get_state(try_to_connect=True)
            while state not in SETTLED:
                await channel.wait_for_state_change(state)
                state = channel.get_state()
            assert (state is grpc.ChannelConnectivity.READY) is (who == "server")
    finally:
        await server.stop(None)
