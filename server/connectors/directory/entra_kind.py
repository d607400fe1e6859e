"""Microsoft Entra ID as a kind of connection: clouds, fields, and how the connector is made of them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from server.connectors.directory.entra import EntraDirectory
from server.connectors.directory.entra_logon import EntraWithLogon
from server.connectors.directory.entra_tokens import Tokens
from server.connectors.fields import CLIENT_FIELDS, REACH_FIELDS, TLS_FIELDS
from server.connectors.http import Http
from server.ports.connection import Ability, Configured, Field, FieldKind, Kind, Port, Surroundings
from shared import errors

CLOUDS: Final[Mapping[str, tuple[str, str]]] = {
    "global": ("https://login.microsoftonline.com", "https://graph.microsoft.com"),
    "us-government": ("https://login.microsoftonline.us", "https://graph.microsoft.us"),
    "us-defence": ("https://login.microsoftonline.us", "https://dod-graph.microsoft.us"),
    "china": ("https://login.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn"),
}
"""Where tokens come from, and Graph."""


def _build(configured: Configured, surroundings: Surroundings) -> EntraDirectory:
    login, graph = CLOUDS[configured.text("cloud")]
    login, graph = configured.text("login-url") or login, configured.text("graph-url") or graph
    plain = replace(
        configured, values={name: value for name, value in configured.values.items() if name not in OURS}
    )
    tenant = configured.text("tenant")
    if not tenant.replace("-", "").replace(".", "").isalnum():
        raise errors.Invalid(field="tenant", why="the tenant's id, or one of its domains")

    def tokens(client: str, prefix: str) -> Tokens:
        return Tokens(
            Http(plain, surroundings, base=login),
            tenant=tenant,
            client=configured.text(client),
            scope=f"{graph}/.default",
            secret=configured.secret(f"{prefix}secret"),
            certificate=configured.text("client-certificate") if prefix == "client-" else "",
            key=configured.secret("client-key") if prefix == "client-" else None,
        )

    writing = tokens("write-client", "write-") if configured.text("write-client") else None
    http = Http(plain, surroundings, base=f"{graph}/v1.0")
    reading = tokens("client", "client-")
    attributes, photos = configured.mapping("attributes"), configured.flag("photos")
    if not configured.flag("device-log-on"):
        return EntraDirectory(http, reading, attributes=attributes, photos=photos, writing=writing)
    return EntraWithLogon(
        http,
        reading,
        attributes=attributes,
        photos=photos,
        writing=writing,
        login=Http(plain, surroundings, base=login),
        tenant=tenant,
        client=configured.text("client"),
        clock=surroundings.clock,
    )


OURS: Final = frozenset({"client-certificate", "client-key"})
"""They sign what stands in place of a secret, and are not shown to the TLS of the other end."""

KIND: Final = Kind(
    name="entra-id",
    port=Port.DIRECTORY,
    title="Microsoft Entra ID",
    fields=(
        Field(
            name="cloud",
            kind=FieldKind.CHOICE,
            title="Cloud",
            help="The national cloud that the tenant is in.",
            default="global",
            choices=tuple(CLOUDS),
        ),
        Field(
            name="tenant",
            kind=FieldKind.TEXT,
            title="Tenant",
            help="The tenant's id (a UUID), or one of its domains.",
            required=True,
        ),
        Field(
            name="client",
            kind=FieldKind.TEXT,
            title="Application",
            help="The application (client) id, with the application permission User.Read.All.",
            required=True,
        ),
        Field(
            name="client-secret",
            kind=FieldKind.SECRET,
            title="Its secret",
            help="In place of a certificate.",
        ),
        *CLIENT_FIELDS,
        Field(
            name="attributes",
            kind=FieldKind.MAP,
            title="Attributes",
            help="What templates call it = what Graph calls it; an empty name leaves one out.",
        ),
        Field(
            name="photos",
            kind=FieldKind.FLAG,
            title="Photos",
            help="Ask for the photo of a person.",
            default=False,
        ),
        Field(
            name="device-log-on",
            kind=FieldKind.FLAG,
            title="Log-on by a code",
            help="Holders prove who they are on another device; the application allows public client flows.",
            default=False,
        ),
        Field(
            name="write-client",
            kind=FieldKind.TEXT,
            title="Writing application",
            help="Another application id, with the right to write certificateUserIds; without it nothing is written.",
        ),
        Field(name="write-secret", kind=FieldKind.SECRET, title="Its secret"),
        Field(
            name="login-url",
            kind=FieldKind.URL,
            title="Address for tokens",
            help="In place of the cloud's.",
        ),
        Field(
            name="graph-url",
            kind=FieldKind.URL,
            title="Address of Graph",
            help="In place of the cloud's.",
        ),
        *TLS_FIELDS,
        *REACH_FIELDS,
    ),
    abilities=frozenset(
        {Ability.SEARCH, Ability.PHOTO, Ability.AUTHENTICATE, Ability.LEAVERS, Ability.WRITE_BACK}
    ),
    build=_build,
    page="entra-id.md",
    extra="entra",
)
