"""What operations use: ports, chosen once by `server.wiring`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from server.authority.approved import ApprovalPolicy
from server.ports.ca import CertificateAuthority
from server.ports.directory import Directory
from server.ports.keystore import KeyStore
from server.ports.store import Store
from shared.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentSigner:
    """The issuer's content-signing key: its name in the key store and its certificate (DER)."""

    key: str
    certificate: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything outside that an operation may call.

    `approvals` is the policy of who approves; an installation that is made for one rehearsal has none.
    `authorities` and `directories` by connection name, `attestation_roots` (DER) by the names templates use.
    """

    store: Store
    keystore: KeyStore
    authorities: Mapping[str, CertificateAuthority]
    directories: Mapping[str, Directory]
    signer: ContentSigner
    clock: Clock
    allow_virtual: bool
    attestation_roots: Mapping[str, bytes] = field(default_factory=dict)
    lab_roots: Mapping[str, bytes] = field(default_factory=dict)
    """Roots that vouch for virtual cards; accepted from lab stations only."""
    attestation_intermediates: Sequence[bytes] = ()
    """Certificates (DER) that may stand between a card's own and a root."""
    approvals: ApprovalPolicy | None = field(default_factory=ApprovalPolicy)
