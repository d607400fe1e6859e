"""How a connection to a certificate authority that speaks CMP is configured, and built."""

from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from server.connectors.ca.cmp.authority import CmpAuthority, RevokingCmpAuthority
from server.connectors.ca.cmp.protection import PasswordProtection, Protection, SignatureProtection
from server.connectors.ca.outside import COMMON_FIELDS
from server.connectors.fields import HTTP_FIELDS
from server.connectors.tls import certificates_in
from server.ports.connection import Ability, Configured, Field, FieldKind, Kind, Port, Surroundings
from shared import errors

FIELDS: Final = (
    *HTTP_FIELDS,
    *COMMON_FIELDS,
    Field(
        name="request",
        kind=FieldKind.CHOICE,
        title="Form of requests",
        help="pkcs10: what the card signed, with the names that the authority takes from it. crmf: our names, and our word "
        "that the key is held; the authority has to trust us as a registration authority.",
        choices=("pkcs10", "crmf"),
        default="pkcs10",
    ),
    Field(
        name="revokes",
        kind=FieldKind.FLAG,
        title="Revokes",
        help="Our credential may revoke, hold and release certificates there.",
        default=False,
    ),
    Field(name="reference", kind=FieldKind.TEXT, title="Reference", help="By which it finds our password."),
    Field(
        name="password", kind=FieldKind.SECRET, title="Password", help="Protects messages in both directions."
    ),
    Field(
        name="certificate",
        kind=FieldKind.CERTIFICATES,
        title="Our certificate",
        help="Instead of a password: our messages are signed; with its chain (PEM).",
    ),
    Field(
        name="key",
        kind=FieldKind.SECRET,
        title="Our key",
        help="The key of our certificate (PEM, not encrypted).",
    ),
    Field(
        name="signers",
        kind=FieldKind.CERTIFICATES,
        title="Roots of its answers",
        help="Who signs its answers has to lead to one of these; without them, to the issuers above.",
    ),
)


def build(configured: Configured, around: Surroundings) -> CmpAuthority:
    """Return the certificate authority.

    Raises:
        Invalid: a field cannot be used, or neither password nor key is there.
    """
    kind = RevokingCmpAuthority if configured.flag("revokes") else CmpAuthority
    return kind(configured, around, _protection(configured))


def _protection(configured: Configured) -> Protection:
    password, key = configured.secret("password"), configured.secret("key")
    if (password is None) == (key is None):
        raise errors.Invalid(field="password", why="either a password, or a key with its certificate")
    if password is not None:
        if not configured.text("reference"):
            raise errors.Invalid(field="reference", why="it finds our password by this")
        return PasswordProtection(configured.text("reference"), password)
    assert key is not None
    roots = _certificates(configured, "signers") or _certificates(configured, "issuers")
    return SignatureProtection(key, _certificates(configured, "certificate"), roots)


def _certificates(configured: Configured, field: str) -> tuple[bytes, ...]:
    return tuple(each.public_bytes(Encoding.DER) for each in certificates_in(configured.text(field)))


KIND: Final = Kind(
    name="cmp",
    port=Port.CA,
    title="CMP (RFC 4210, RFC 9483)",
    fields=FIELDS,
    abilities=frozenset(
        {
            Ability.ISSUE,
            Ability.PENDING,
            Ability.REVOKE,
            Ability.REASONS,
            Ability.HOLD,
            Ability.RELEASE,
            Ability.SUBJECT_OVERRIDE,
            Ability.ON_BEHALF_OF,
        }
    ),
    build=build,
    page="cmp.md",
)
