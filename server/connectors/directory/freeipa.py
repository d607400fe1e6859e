"""FreeIPA (Red Hat Identity Management): people are known by ipaUniqueID, and end with their Kerberos principal."""

from typing import Final

from server.connectors.directory.ldap_kind import ldap_kind
from server.connectors.directory.schema import FREEIPA
from server.ports.connection import Kind

KIND: Final[Kind] = ldap_kind(
    name="freeipa",
    title="FreeIPA",
    schema=FREEIPA,
    certificate_attribute="userCertificate;binary",
)
