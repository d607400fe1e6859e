"""What an operator's ssh-agent makes of a text, and what somebody might make it make."""

import hashlib

from shared.logon import read_logon_text
from shared.sessions import AgentProof
from shared.ssh.keys import write_key
from shared.ssh.sshsig import signature_by, to_be_signed
from shared.ssh.wire import number, string
from tests.shared.ssh.keyring import PrivateKey, sign


def by_agent(key: PrivateKey, text: bytes) -> AgentProof:
    """Return the proof that a station makes with an agent that holds `key`."""
    made = sign(key, to_be_signed(read_logon_text(text)))
    return AgentProof(text=text, signature=bytes(signature_by(key.public_key(), made)))


def wrapped(
    key: PrivateKey, text: bytes, *, namespace: bytes, rsa_algorithm: str = "rsa-sha2-512"
) -> AgentProof:
    """Return an SSHSIG in any namespace, and of an RSA key with any algorithm, as a proof."""
    fields = (namespace, b"", b"sha512", hashlib.sha512(text).digest())
    made = sign(key, b"SSHSIG" + b"".join(map(string, fields)), rsa_algorithm=rsa_algorithm)
    shown = (write_key(key.public_key()), namespace, b"", b"sha512", made)
    return AgentProof(text=text, signature=b"SSHSIG" + number(1) + b"".join(map(string, shown)))
