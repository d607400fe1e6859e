"""OpenLDAP, and any directory whose people are inetOrgPerson ([RFC 2798]) with an entryUUID."""

from typing import Final

from server.connectors.directory.ldap_kind import ldap_kind
from server.connectors.directory.schema import OPENLDAP
from server.ports.connection import Kind

KIND: Final[Kind] = ldap_kind(
    name="openldap",
    title="OpenLDAP",
    schema=OPENLDAP,
    certificate_attribute="userCertificate;binary",
)
