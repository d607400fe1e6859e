"""389 Directory Server (Red Hat Directory Server): people are known by nsUniqueId, and locked by nsAccountLock."""

from typing import Final

from server.connectors.directory.ldap_kind import ldap_kind
from server.connectors.directory.schema import DIRECTORY_SERVER_389
from server.ports.connection import Kind

KIND: Final[Kind] = ldap_kind(
    name="389-ds",
    title="389 Directory Server",
    schema=DIRECTORY_SERVER_389,
    certificate_attribute="userCertificate;binary",
)
