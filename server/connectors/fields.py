"""Configuration fields that many kinds share: how a system is reached, whom we trust, how it knows us."""

from typing import Final

from server.ports.connection import Field, FieldKind

URL_FIELD: Final = Field(
    name="url",
    kind=FieldKind.URL,
    title="Address",
    required=True,
    help="Where its interface begins; https only.",
)
TLS_FIELDS: Final = (
    Field(
        name="roots",
        kind=FieldKind.CERTIFICATES,
        title="Trusted roots",
        help="Only these vouch for its TLS certificate (PEM); without them, the roots of this machine do.",
    ),
)
CLIENT_FIELDS: Final = (
    Field(
        name="client-certificate",
        kind=FieldKind.CERTIFICATES,
        title="Our certificate",
        help="The certificate by which it knows us (PEM), with its chain.",
    ),
    Field(
        name="client-key",
        kind=FieldKind.SECRET,
        title="Our private key",
        help="The key of our certificate (PEM, not encrypted).",
    ),
)
REACH_FIELDS: Final = (
    Field(
        name="proxy",
        kind=FieldKind.URL,
        title="Proxy",
        help="An HTTP proxy on the way there; http:// or https://.",
    ),
    Field(name="proxy-user", kind=FieldKind.TEXT, title="Name at the proxy"),
    Field(name="proxy-password", kind=FieldKind.SECRET, title="Password at the proxy"),
    Field(
        name="timeout-s",
        kind=FieldKind.NUMBER,
        title="Time-out",
        help="Seconds that a call may take, with all its attempts.",
        default=15,
        minimum=1,
        maximum=120,
    ),
    Field(
        name="at-once",
        kind=FieldKind.NUMBER,
        title="Calls at once",
        help="How many calls may be under way.",
        default=64,
        minimum=1,
        maximum=256,
    ),
)
HTTP_FIELDS: Final = (URL_FIELD, *TLS_FIELDS, *REACH_FIELDS)
"""For a product that knows us by something else than a TLS certificate."""
CLIENT_HTTP_FIELDS: Final = (URL_FIELD, *TLS_FIELDS, *CLIENT_FIELDS, *REACH_FIELDS)
"""For a product that knows us, or may know us, by a TLS certificate."""
