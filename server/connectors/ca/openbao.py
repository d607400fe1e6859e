"""OpenBao, whose PKI secrets engine has the interface of HashiCorp Vault's."""

from typing import Final

from server.connectors.ca.vault import OPENBAO
from server.ports.connection import Kind

KIND: Final[Kind] = OPENBAO
