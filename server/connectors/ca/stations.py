"""Certificates of the server itself and of its stations, by an issuer apart from holders' certificates.

Every call checks a station's registered fingerprint besides; the issuer alone admits nobody.
"""

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from server.connectors.ca.bootstrap import STATIONS_KEY
from server.connectors.ca.issuing import Issuer, Order
from server.connectors.ca.profiles import STATION, TLS_SERVER
from server.connectors.ca.requests import read_key, read_request
from server.ports.keystore import KeyStore
from server.ports.store import CertificateLedger
from shared import errors
from shared.clock import Clock
from shared.credential.model import StationId
from shared.credential.names import card_name

APPLICATION: Final = "application"
"""The organisational unit in an application's certificate, for whoever reads one."""

_HOST_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*", re.ASCII)


class StationAuthority:
    """Issue stations' client certificates and the server's TLS certificate."""

    def __init__(
        self,
        *,
        keystore: KeyStore,
        ledger: CertificateLedger,
        clock: Clock,
        root: bytes,
        actor: str = "server",
    ) -> None:
        """Take the root that `bootstrap_stations` made."""
        self._ledger = ledger
        self._root = root
        self._issuer = Issuer(keystore=keystore, clock=clock, key=STATIONS_KEY, certificate=root, actor=actor)

    @property
    def root(self) -> bytes:
        """The stations' root (DER): what both ends of the wire trust, and nothing else."""
        return self._root

    async def issue_station(
        self, csr: bytes, name: str, station_id: StationId, *, application: bool = False
    ) -> bytes:
        """Certify the key (PKCS#10, DER or PEM) of a station, or of an application, under its name; return DER.

        What the request says of names is ignored. An application's certificate says what it is; that counts for nothing.

        Raises:
            Invalid: the request is malformed or not signed by its key, or the name is no common name.
        """
        return await self._issue(
            Order(
                profile=STATION,
                subject=_common_name(name, APPLICATION if application else ""),
                public_key=read_request(_der(csr)),
                names=(card_name(f"urn:uuid:{station_id}"),),
            )
        )

    async def issue_server(self, public_key: bytes, names: Sequence[str]) -> bytes:
        """Certify the server's TLS key (DER SubjectPublicKeyInfo) for host names and addresses; return DER.

        Raises:
            Invalid: the key or a name is malformed, or there is no name.
        """
        if not names:
            raise errors.Invalid(field="names", why="a server needs a name or an address")
        return await self._issue(
            Order(
                profile=TLS_SERVER,
                subject=_common_name(names[0][:64]),
                public_key=read_key(public_key),
                names=tuple(_host(name) for name in names),
            )
        )

    async def _issue(self, order: Order) -> bytes:
        entry = await self._issuer.make(order)
        await self._ledger.record((entry,))
        return entry.certificate


def _common_name(name: str, unit: str = "") -> x509.Name:
    units = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit)] if unit else []
    try:
        return x509.Name([*units, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    except ValueError as cause:
        raise errors.Invalid(field="name", why="1 to 64 characters") from cause


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    if not _HOST_NAME.fullmatch(name):
        raise errors.Invalid(field="names", why="not a host name or an address")
    return x509.DNSName(name)


def _der(csr: bytes) -> bytes:
    """Take PEM as well."""
    if not csr.lstrip().startswith(b"-----BEGIN"):
        return csr
    try:
        return x509.load_pem_x509_csr(csr).public_bytes(Encoding.DER)
    except ValueError as cause:
        raise errors.Invalid(field="request", why="cannot be read") from cause
