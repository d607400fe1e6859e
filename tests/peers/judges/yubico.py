"""yubico-piv-tool and ykman: Yubico's two command lines, the old one in C and the present one in Python."""

import os
import re
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from shared.piv.ids import Slot
from tests.peers.judges.subject import Subject
from tests.peers.programs import REPOSITORY, need, run

YKMAN: Final = REPOSITORY / ".venv-peers" / "bin" / "ykman"


def piv_tool(reader: str, *words: str) -> str:
    """Run yubico-piv-tool on one reader."""
    return run([need("yubico-piv-tool", "yubico-piv-tool"), "--reader", reader, *words])


def ykman(reader: str, *words: str) -> str:
    """Run `ykman piv` on one reader.

    Without the usual PATH: where ykman cannot open a reader it ends processes by name, which may belong to
    somebody else.
    """
    if not YKMAN.exists():
        pytest.fail("ykman is not installed: tests/run makes .venv-peers", pytrace=False)
    return run([YKMAN, "--reader", reader, "piv", *words], environment={**os.environ, "PATH": "/nonexistent"})


def judge_with_yubico_piv_tool(subject: Subject) -> None:
    """Let `-a status` find CHUID, CCC, full PIN tries, and in every slot the certificate that should be there."""
    said = piv_tool(subject.reader, "--action", "status")
    for name in ("CHUID", "CCC"):
        assert re.search(rf"^{name}:\t[0-9a-f]+$", said, re.MULTILINE), said
    assert re.search(r"^PIN tries left:\t[1-9]", said, re.MULTILINE), said
    for slot, certificate in subject.certificates.items():
        section = re.search(rf"^Slot {slot.value:02x}:.*?(?=^\S)", said, re.MULTILINE | re.DOTALL)
        assert section, f"no slot {slot.value:02x} in:\n{said}"
        assert _fingerprint(certificate) in section[0], section[0]


def judge_with_ykman(subject: Subject) -> None:
    """Let `piv info` find no factory value, and in every slot the certificate that should be there."""
    said = ykman(subject.reader, "info")
    assert "WARNING" not in said, said
    for name in ("CHUID", "CCC"):
        assert re.search(rf"^{name}:\s+[0-9a-f]+$", said, re.MULTILINE), said
    for slot, certificate in subject.certificates.items():
        section = re.search(rf"^Slot {slot.value:02X} .*?(?=^\s*$|\Z)", said, re.MULTILINE | re.DOTALL)
        assert section, f"no slot {slot.value:02X} in:\n{said}"
        assert _fingerprint(certificate) in section[0], section[0]
        types = re.findall(r"(?:Private|Public) key type:\s+(\S+)", section[0])
        assert len(set(types)) == 1, section[0]


def _fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()


def read_certificate(reader: str, slot: Slot) -> x509.Certificate:
    """Read a slot's certificate with yubico-piv-tool."""
    said = piv_tool(reader, "--action", "read-certificate", "--slot", f"{slot.value:02x}")
    return x509.load_pem_x509_certificate(said.encode())
