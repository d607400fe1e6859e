"""Microsoft Active Directory, over LDAPS or StartTLS, by a password or a keytab.

Several domains of a forest: a global catalogue (port 3269, an empty base), or one connection each.

Sources: [MS-ADTS] 3.1.1.3.1.3.1 (subordinate referrals, which are not followed), 3.1.1.4.4 (constructed attributes).
"""

from typing import Final

from server.connectors.directory.ldap_kind import KEYTAB, ldap_kind
from server.connectors.directory.schema import ACTIVE_DIRECTORY
from server.ports.connection import Kind

KIND: Final[Kind] = ldap_kind(
    name="active-directory",
    title="Microsoft Active Directory",
    schema=ACTIVE_DIRECTORY,
    certificate_attribute="userCertificate",
    mapping_attribute="altSecurityIdentities",
    extra=(KEYTAB,),
)
