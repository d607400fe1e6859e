"""yubico-piv-tool and ykman: Yubico's two command lines, the old one in C and the present one in Python."""

import os
import re
from collections.abc import Sequence
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from shared.piv.ids import Slot
from tests.peers.judges.subject import Subject
from tests.peers.programs import REPOSITORY, need, run

YKMAN: Final = REPOSITORY / ".venv-peers" / "bin" / "ykman"
TRIES_MAX: Final = 16


def piv_tool(reader: str, *words: str) -> str:
    """Run yubico-piv-tool on one reader."""
    return run([need("yubico-piv-tool", "yubico-piv-tool"), "--reader", reader, *words])


def ykman(reader: str, *words: str, accept: Sequence[int] = (0,)) -> str:
    """Run `ykman piv` on one reader.

    Without the usual PATH: where ykman cannot open a reader it ends processes by name, which may belong to
    somebody else.
    """
    if not YKMAN.exists():
        pytest.fail("ykman is not installed: tests/run makes .venv-peers", pytrace=False)
    environment = {**os.environ, "PATH": "/nonexistent"}
    return run([YKMAN, "--reader", reader, "piv", *words], environment=environment, accept=accept)


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


def pin_opens(reader: str, pin: str) -> bool:
    """Whether yubico-piv-tool may use the card with this PIN; a wrong one costs a try."""
    words = ["--reader", reader, "--action", "verify-pin", "--pin", pin]
    said = run([need("yubico-piv-tool", "yubico-piv-tool"), *words], accept=(0, 1))
    opened = "Successfully verified PIN" in said
    assert opened or re.search(r"verification failed|[Pp]in code blocked", said), said
    return opened


def block_pin(reader: str, wrong: str) -> None:
    """Enter a wrong PIN with yubico-piv-tool until it says that the PIN is blocked."""
    for _ in range(TRIES_MAX):
        assert not pin_opens(reader, wrong)
        if re.search(r"^PIN tries left:\t0$", piv_tool(reader, "--action", "status"), re.MULTILINE):
            return
    pytest.fail(f"{TRIES_MAX} wrong PINs, and it is not blocked")


def management_key_opens(reader: str, key: bytes, algorithm: str) -> bool:
    """Whether ykman may manage the card with this key; it sets the same key again, so that nothing changes."""
    words = ["access", "change-management-key", "--force", "--algorithm", algorithm]
    keys = ["--management-key", key.hex(), "--new-management-key", key.hex()]
    said = ykman(reader, *words, *keys, accept=(0, 1))
    refused = "Authentication with management key failed" in said
    assert refused or "ERROR" not in said, said
    return not refused


def slots_with_certificates(reader: str) -> set[str]:
    """Return the slots, as two hexadecimal digits, in which yubico-piv-tool and ykman both see a certificate."""
    status = piv_tool(reader, "--action", "status")
    found = {slot.upper() for slot in re.findall(r"^Slot ([0-9a-f]{2}):", status, re.MULTILINE)}
    sections = re.split(r"^Slot ", ykman(reader, "info"), flags=re.MULTILINE)[1:]
    others = {section[:2] for section in sections if "Fingerprint" in section}
    assert found == others, (status, sections)
    return found
