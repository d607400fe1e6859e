"""The built-in certificate authority as the settings have it: its keys, and where it publishes."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from server.connectors.ca.builtin import BuiltinAuthority
from server.connectors.ca.issuing import Publication
from server.connectors.ca.publication import BuiltinPublication
from server.identity import Identity
from server.ports.keystore import KeyStore, SigningAlgorithm
from server.ports.publication import Published
from server.ports.store import Store
from server.publication_watch import published_list
from server.publishing import OCSP, Publishing
from server.settings import ServerSettings
from shared.clock import Clock
from shared.config import Address
from shared.errors import Fact

ALGORITHMS: Final = {
    "P-256": SigningAlgorithm.P256_SHA256,
    "P-384": SigningAlgorithm.P384_SHA384,
    "RSA-3072": SigningAlgorithm.RSA3072_SHA256,
    "RSA-4096": SigningAlgorithm.RSA4096_SHA256,
}
"""As settings write them."""


def issuers_algorithm(settings: ServerSettings) -> SigningAlgorithm:
    """Return the algorithm of the issuers' keys."""
    return ALGORITHMS[settings.ca.algorithm]


def publication(settings: ServerSettings) -> Publication:
    """Return what certificates say of where others find more; without a listener only what is copied elsewhere."""
    ca = settings.ca
    if ca.listen is None:
        return Publication(crl_url=ca.crl_url)
    base = ca.url.rstrip("/") or f"http://{Address(settings.names[0], ca.listen.port)}"
    return Publication(
        crl_url=ca.crl_url or f"{base}/{Published.ISSUING_CRL}",
        issuer_url=f"{base}/{Published.ISSUING_CERTIFICATE}",
        ocsp_url=f"{base}/{OCSP}",
    )


def publishing(
    settings: ServerSettings,
    authority: BuiltinAuthority,
    *,
    identity: Identity,
    keystore: KeyStore,
    store: Store,
    clock: Clock,
) -> Publishing | None:
    """Return the listener that publishes; None where the settings name none."""
    if settings.ca.listen is None:
        return None
    published = BuiltinPublication(
        authority,
        issuers=identity.issuers,
        keystore=keystore,
        ledger=store.ledger,
        audit=store.audit,
        clock=clock,
    )
    return Publishing(published, settings.ca.listen, clock)


def watch(
    settings: ServerSettings, issuing: bytes, clock: Clock
) -> Mapping[str, Callable[[], Awaitable[dict[str, Fact]]]]:
    """Return the probe of the revocation list by its subject; none where nothing is published over HTTP."""
    url = publication(settings).crl_url
    if not url.startswith(("http://", "https://")):
        return {}
    return {"revocation-list": published_list(url, issuing, clock)}
