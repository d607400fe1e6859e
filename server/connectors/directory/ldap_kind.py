"""What all LDAP products share as connections: their fields, and how a connector is made from them."""

from pathlib import Path
from typing import Final

from ldap3.core.exceptions import LDAPInvalidFilterError
from ldap3.operation.search import parse_filter

from server.connectors.directory.ldap import LdapDirectory
from server.connectors.directory.ldap_settings import LdapSettings, TlsMode
from server.connectors.directory.ldap_write import WritingLdapDirectory, WritingSettings
from server.connectors.directory.schema import Schema
from server.connectors.fields import TLS_FIELDS
from server.ports.connection import Ability, Configured, Field, FieldKind, Kind, Port, Surroundings
from shared import errors

ABILITIES: Final = frozenset(
    {Ability.SEARCH, Ability.PHOTO, Ability.AUTHENTICATE, Ability.LEAVERS, Ability.WRITE_BACK}
)

FIELDS: Final = (
    Field(
        name="hosts",
        kind=FieldKind.TEXTS,
        title="Servers",
        help="Host names as in the servers' certificates; where one is down, the next is asked.",
        required=True,
    ),
    Field(
        name="port",
        kind=FieldKind.NUMBER,
        title="Port",
        help="636 for LDAPS, 389 for StartTLS, 3269 for a global catalogue of Active Directory.",
        default=636,
        minimum=1,
        maximum=65535,
    ),
    Field(
        name="tls",
        kind=FieldKind.CHOICE,
        title="Encryption",
        help="From the first byte (ldaps), or begun on a plain line before anything else is said (starttls).",
        default=TlsMode.LDAPS.value,
        choices=tuple(mode.value for mode in TlsMode),
    ),
    *TLS_FIELDS,
    Field(
        name="bases",
        kind=FieldKind.TEXTS,
        title="Search bases",
        help="Below these entries are the people: one or several distinguished names.",
        required=True,
    ),
    Field(
        name="user",
        kind=FieldKind.TEXT,
        title="Reading account",
        help="Distinguished name of an account that may read people and change nothing.",
    ),
    Field(name="password", kind=FieldKind.SECRET, title="Its password"),
    Field(
        name="groups",
        kind=FieldKind.TEXTS,
        title="Only members of",
        help="Distinguished names of groups; whoever is in none of them is not found. Without any, everybody is.",
    ),
    Field(
        name="filter",
        kind=FieldKind.TEXT,
        title="Who is a person",
        help="An LDAP filter that takes the place of the product's own, as in (objectClass=employee).",
    ),
    Field(
        name="attributes",
        kind=FieldKind.MAP,
        title="Attributes",
        help="What templates call it = what the directory calls it; an empty name leaves one out.",
    ),
    Field(
        name="timeout-s",
        kind=FieldKind.NUMBER,
        title="Time-out in seconds",
        default=5,
        minimum=1,
        maximum=60,
    ),
    Field(
        name="write-back",
        kind=FieldKind.TEXTS,
        title="Write back",
        help="What is written when a card is issued: certificate, mapping, or nothing.",
    ),
    Field(
        name="write-user",
        kind=FieldKind.TEXT,
        title="Writing account",
        help="An account of its own that may change just these attributes; the reading account never writes.",
    ),
    Field(name="write-password", kind=FieldKind.SECRET, title="Its password"),
)

KEYTAB: Final = Field(
    name="keytab",
    kind=FieldKind.TEXT,
    title="Keytab",
    help="A keytab file on the server: log on by Kerberos as `user` (name@REALM) in place of a password.",
)


def ldap_kind(
    *,
    name: str,
    title: str,
    schema: Schema,
    certificate_attribute: str,
    mapping_attribute: str = "",
    extra: tuple[Field, ...] = (),
) -> Kind:
    """Return the kind of one product: its schema, where it keeps certificates and what maps them to accounts."""

    def build(configured: Configured, surroundings: Surroundings) -> LdapDirectory:
        wanted = set(configured.texts("write-back"))
        known = {"certificate"} | ({"mapping"} if mapping_attribute else set())
        if unknown := wanted - known:
            why = f"{', '.join(sorted(unknown))}: there is only {' and '.join(sorted(known))}"
            raise errors.Invalid(field="write-back", why=why)
        settings = _settings(configured, schema)
        if not wanted:
            return LdapDirectory(settings, configured.secret("password"), surroundings)
        writing = WritingSettings(
            user=configured.text("write-user"),
            certificate_attribute=certificate_attribute if "certificate" in wanted else "",
            mapping_attribute=mapping_attribute if "mapping" in wanted else "",
        )
        return WritingLdapDirectory(
            settings,
            configured.secret("password"),
            writing,
            configured.secret("write-password"),
            surroundings,
        )

    return Kind(
        name=name,
        port=Port.DIRECTORY,
        title=title,
        fields=(*FIELDS, *extra),
        abilities=ABILITIES,
        build=build,
        page=f"{name}.md",
    )


def _settings(configured: Configured, schema: Schema) -> LdapSettings:
    host, *other_hosts = configured.texts("hosts") or ("",)
    base, *other_bases = configured.texts("bases") or ("",)
    if not all((host, *other_hosts)):
        raise errors.Invalid(field="hosts", why="a host name is empty")
    keytab = configured.text("keytab")
    return LdapSettings(
        connection=configured.name,
        host=host,
        other_hosts=tuple(other_hosts),
        port=configured.number("port"),
        tls=TlsMode(configured.text("tls")),
        roots=configured.text("roots"),
        base=base,
        other_bases=tuple(other_bases),
        bind_dn=configured.text("user"),
        keytab=Path(keytab) if keytab else None,
        schema=schema.with_filter(_filter(configured.text("filter"))),
        attributes=configured.mapping("attributes"),
        groups=configured.texts("groups"),
        timeout_s=configured.number("timeout-s"),
    )


def _filter(text: str) -> str:
    """Return an administrator's filter, which must be one and whole: nothing is put beside it by mistake.

    Raises:
        Invalid: it is none.
    """
    if not text:
        return text
    try:
        parse_filter(text, None, auto_escape=False, auto_encode=False, validator=None, check_names=False)  # type: ignore[no-untyped-call]  # its types leave it out
    except LDAPInvalidFilterError as cause:
        raise errors.Invalid(field="filter", why="not an LDAP filter") from cause
    return text
