"""Certificate profiles of the built-in certificate authority, as data.

Sources: [RFC 5280] 4.2.1.3 and 4.2.1.12; FIPS 201-3, 4.2.2 (card authentication: extended key usage critical) and
4.2.1 (content signing); [RFC 4556] 3.2.4 (PKINIT client); Microsoft, *Certificate requirements for smart card
log-on*.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum, unique
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from server.ports.ca import Profile

PKINIT_CLIENT: Final = ObjectIdentifier("1.3.6.1.5.2.3.4")
PIV_CONTENT_SIGNING: Final = ObjectIdentifier("2.16.840.1.101.3.6.7")
PIV_CARD_AUTH: Final = ObjectIdentifier("2.16.840.1.101.3.6.8")

SubjectKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | x25519.X25519PublicKey

YEAR: Final = timedelta(days=365)


@unique
class NameKind(StrEnum):
    """Names besides the subject; values are fields of `server.ports.ca.Names`."""

    UPN = "upn"
    MAIL = "mail"
    SID = "sid"
    CARD = "card"
    FASCN = "fascn"


CARD_NAMES: Final = frozenset({NameKind.CARD, NameKind.FASCN})
"""Names that every request of a card brings; profiles that do not carry them leave them out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateProfile:
    """What a certificate may be used for and which names it carries.

    `agrees`: the key decrypts or agrees keys, by its kind, and signs nothing. A name that is not in `carries` is
    refused, except the card's; one in `requires` must be given. `validity` holds where a request names no end.
    """

    name: str
    purposes: tuple[ObjectIdentifier, ...]
    purposes_critical: bool = False
    commits: bool = False
    """Signatures bind their signer (nonRepudiation)."""
    agrees: bool = False
    carries: frozenset[NameKind] = frozenset()
    requires: frozenset[NameKind] = frozenset()
    validity: timedelta = 3 * YEAR

    def usage(self, key: SubjectKey) -> x509.KeyUsage | None:
        """Return the key usage for a key of this kind; None where the key cannot serve the profile."""
        curve = isinstance(key, ec.EllipticCurvePublicKey | x25519.X25519PublicKey)
        cipher = isinstance(key, rsa.RSAPublicKey)
        if self.agrees and not (curve or cipher):
            return None
        if not self.agrees and isinstance(key, x25519.X25519PublicKey):
            return None
        return x509.KeyUsage(
            digital_signature=not self.agrees,
            content_commitment=self.commits,
            key_encipherment=self.agrees and cipher,
            data_encipherment=False,
            key_agreement=self.agrees and curve,
            key_cert_sign=False,
            crl_sign=False,
            encipher_only=False,
            decipher_only=False,
        )


LOG_ON_PURPOSES: Final = (
    ExtendedKeyUsageOID.CLIENT_AUTH,
    ExtendedKeyUsageOID.SMARTCARD_LOGON,
    PKINIT_CLIENT,
)

HOLDER_PROFILES: Final[dict[str, CertificateProfile]] = {
    profile.name: profile
    for profile in (
        CertificateProfile(
            name=Profile.SMART_CARD_LOGON.value,
            purposes=LOG_ON_PURPOSES,
            carries=frozenset({NameKind.UPN, NameKind.MAIL, NameKind.SID}),
            requires=frozenset({NameKind.UPN}),
        ),
        CertificateProfile(
            name=Profile.PIV_AUTHENTICATION.value,
            purposes=LOG_ON_PURPOSES,
            carries=frozenset(NameKind),
            requires=frozenset({NameKind.CARD}),
        ),
        CertificateProfile(
            name=Profile.SIGNATURE.value,
            purposes=(ExtendedKeyUsageOID.EMAIL_PROTECTION,),
            commits=True,
            carries=frozenset({NameKind.UPN, NameKind.MAIL}),
        ),
        CertificateProfile(
            name=Profile.KEY_MANAGEMENT.value,
            purposes=(ExtendedKeyUsageOID.EMAIL_PROTECTION,),
            agrees=True,
            carries=frozenset({NameKind.UPN, NameKind.MAIL}),
        ),
        CertificateProfile(
            name=Profile.CARD_AUTHENTICATION.value,
            purposes=(PIV_CARD_AUTH,),
            purposes_critical=True,
            carries=CARD_NAMES,
            requires=frozenset({NameKind.CARD}),
        ),
    )
}
"""What templates may name."""

CONTENT_SIGNING: Final = CertificateProfile(
    name="content-signing", purposes=(PIV_CONTENT_SIGNING,), validity=5 * YEAR
)
TLS_SERVER: Final = CertificateProfile(
    name="tls-server", purposes=(ExtendedKeyUsageOID.SERVER_AUTH,), validity=2 * YEAR
)
STATION: Final = CertificateProfile(
    name="station", purposes=(ExtendedKeyUsageOID.CLIENT_AUTH,), validity=2 * YEAR
)
OCSP_SIGNING: Final = CertificateProfile(
    name="ocsp-signing", purposes=(ExtendedKeyUsageOID.OCSP_SIGNING,), validity=timedelta(days=2)
)
"""The server's own profiles: never reachable through a template."""
