"""The server's own certificates and its TLS key, kept beside the database.

Certificates are plain DER files. The TLS private key is the one key that must leave the key store, because the TLS
library wants it; it lies on disk sealed by the key store.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from server.connectors.ca.bootstrap import (
    Issuers,
    bootstrap,
    bootstrap_stations,
    certify_content_signer,
)
from server.connectors.ca.builtin import BuiltinAuthority
from server.connectors.ca.stations import StationAuthority
from server.ports.keystore import KeyStore, SigningAlgorithm
from server.ports.store import Store
from shared import errors
from shared.clock import Clock
from shared.secret import Secret

FOLDER: Final = "certificates"
ROOT: Final = "root.der"
ISSUING: Final = "issuing.der"
STATIONS: Final = "stations-root.der"
CONTENT: Final = "content-signing.der"
SERVER: Final = "server.der"
SEALED_KEY: Final = "server-key.sealed"
SEAL_CONTEXT: Final = "server TLS key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Every certificate of the server's own (DER), and its TLS key (PEM)."""

    issuers: Issuers
    stations_root: bytes
    content_signing: bytes
    server: bytes
    key: Secret

    @property
    def chain(self) -> bytes:
        """The TLS certificate with its root, PEM."""
        return pem(self.server) + pem(self.stations_root)


def pem(certificate: bytes) -> bytes:
    """Return a DER certificate as PEM."""
    return x509.load_der_x509_certificate(certificate).public_bytes(Encoding.PEM)


async def make_identity(
    folder: Path,
    *,
    keystore: KeyStore,
    store: Store,
    clock: Clock,
    organisation: str,
    names: tuple[str, ...],
    algorithm: SigningAlgorithm = SigningAlgorithm.P256_SHA256,
) -> Identity:
    """Make all issuers and the server's own certificates, once, and write them below `folder`.

    `algorithm` is for those who sign what holders show; stations' certificates are checked by this server alone.

    Raises:
        Invalid: the organisation or a name does not fit a certificate.
        StoreUnavailable: the folder cannot be written.
    """
    issuers = await bootstrap(keystore, store.ledger, clock, organisation, algorithm=algorithm)
    stations_root = await bootstrap_stations(keystore, store.ledger, clock, organisation)
    authority = BuiltinAuthority(
        connection="built-in",
        keystore=keystore,
        ledger=store.ledger,
        audit=store.audit,
        clock=clock,
        issuers=issuers,
    )
    content = await certify_content_signer(authority.issuer, keystore, store.ledger, algorithm=algorithm)
    private = ec.generate_private_key(ec.SECP256R1())
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    stations = StationAuthority(keystore=keystore, ledger=store.ledger, clock=clock, root=stations_root)
    server = await stations.issue_server(public, names)
    key = Secret(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files = {
        ROOT: issuers.root,
        ISSUING: issuers.issuing,
        STATIONS: stations_root,
        CONTENT: content,
        SERVER: server,
        SEALED_KEY: await keystore.seal(SEAL_CONTEXT, key),
    }
    try:
        (folder / FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / FOLDER / name).write_bytes(content)
    except OSError as cause:
        raise errors.StoreUnavailable(why=f"cannot write {folder / FOLDER}: {cause.strerror}") from cause
    return Identity(
        issuers=issuers,
        stations_root=stations_root,
        content_signing=files[CONTENT],
        server=server,
        key=key,
    )


async def load_identity(folder: Path, keystore: KeyStore) -> Identity:
    """Read what `make_identity` wrote.

    Raises:
        ConfigMissing: a file is not there; `kiosk-server init` makes them.
        ConfigInvalid: a file is damaged.
        KeyStoreDamaged: the TLS key was sealed by another key store.
    """
    files = {}
    for name in (ROOT, ISSUING, STATIONS, CONTENT, SERVER, SEALED_KEY):
        path = folder / FOLDER / name
        try:
            files[name] = path.read_bytes()
        except OSError as cause:
            raise errors.ConfigMissing(file=str(path)) from cause
        if name != SEALED_KEY:
            _check_certificate(path, files[name])
    return Identity(
        issuers=Issuers(root=files[ROOT], issuing=files[ISSUING]),
        stations_root=files[STATIONS],
        content_signing=files[CONTENT],
        server=files[SERVER],
        key=await keystore.unseal(SEAL_CONTEXT, files[SEALED_KEY]),
    )


def _check_certificate(path: Path, content: bytes) -> None:
    """Find damage now, and not when the first card is issued."""
    try:
        x509.load_der_x509_certificate(content)
    except ValueError as cause:
        raise errors.ConfigInvalid(file=str(path), why="not a certificate, or damaged") from cause
