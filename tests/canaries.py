"""Secrets that are known beforehand, and a search for them in everything that came out."""

import asyncio
import base64
import re
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from server.connectors.keystore.software import SoftwareKeyStore
from server.operations.secrets import CardSecrets
from server.store.database import connect
from server.wiring import DATABASE_KEY
from shared.clock import SystemClock
from shared.credential.model import RecordId, SecretVersion
from shared.credential.pins import PIN_FIELD_LENGTH, pad
from shared.piv.ids import ManagementAlgorithm
from shared.secret import Secret
from shared.virtual.memory import Memory

PINS: Final = {
    "first PIN": b"73915486",
    "next PIN": b"48261593",
    "wrong PIN": b"60418275",
    "weak PIN": b"23456789",
    "transport PIN": b"80361749",
}
"""All of eight characters, so that chance does not find them; the weak one counts up where it may not."""

GENERATIONS: Final = range(1, 3)
PUKS: Final = range(1, 10)
"""How many values of each card's PUK are looked for; far more than a test rotates through."""


def spellings(secret: bytes) -> set[bytes]:
    """Return what a secret looks like in logs, dumps and messages, letters in small.

    Raw and turned round, padded as the card's commands pad it, in hexadecimal with every usual separator, as numbers, as
    Python writes bytes, and in Base64 at each of the three places that it can begin at.
    """
    bare = {secret, secret[::-1]}
    if len(secret) <= PIN_FIELD_LENGTH:
        bare.add(pad(secret))
    found = set(bare)
    for each in bare:
        pairs = [f"{byte:02x}" for byte in each]
        found |= {separator.join(pairs).encode() for separator in ("", " ", ":", "-", "\\x", ", 0x", " 0x")}
        found |= {separator.join(map(str, each)).encode() for separator in (", ", ",", " ")}
        found.add(repr(each)[2:-1].encode())
        for begin in range(3):
            text = base64.b64encode(bytes(begin) + each).rstrip(b"=")
            # what the bytes before and behind would change is left out
            inner = text[(0, 2, 3)[begin] : len(text) - (1 if (begin + len(each)) % 3 else 0)]
            found |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return {each.lower() for each in found}


def leaks(secrets: Mapping[str, bytes], said: Mapping[str, bytes]) -> list[str]:
    """Return which secret is in which artefact, in whatever spelling."""
    found = []
    small = {place: content.lower() for place, content in said.items()}
    for name, secret in secrets.items():
        forms = spellings(secret)
        found += [
            f"{name} in {place}" for place, content in small.items() if any(form in content for form in forms)
        ]
    return found


# --- what is secret -------------------------------------------------------------------------------------


def secrets_of_card(memory: Memory, who: str = "card") -> dict[str, bytes]:
    """Return what a card holds and nobody may learn."""
    found = {
        f"PUK of {who}": memory.puk.value.reveal().rstrip(b"\xff"),
        f"management key of {who}": memory.management.value.reveal(),
    }
    for slot, key in memory.keys.items():
        if isinstance(key.private, ec.EllipticCurvePrivateKey):
            found[f"key {slot.text} of {who}"] = scalar(key.private)
    return found


def scalar(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the number that is the key; every encoding of the key has it inside."""
    return key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8, "big")


def private_key_of(pem: bytes) -> bytes:
    """Return the scalar of a key in PEM."""
    key = serialization.load_pem_private_key(pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return scalar(key)


class _Nowhere:
    """A journal for derivations that leave no evidence."""

    def evidence(self, *_words: object, **_facts: object) -> None:
        pass


class Vault:
    """The server's key store and database, opened from outside."""

    def __init__(self, folder: Path, passphrase: str) -> None:
        """Open what is in `folder`; the server need not run."""
        self._folder = folder
        self._keys = SoftwareKeyStore.open(folder / "keys", Secret.from_text(passphrase), clock=SystemClock())

    async def rows(self) -> bytes:
        """Return the whole database, decrypted: every row of every table as text, binary values in hexadecimal."""
        with closing(connect(self._folder / "store.db", await self._keys.derive(DATABASE_KEY))) as database:
            tables = [
                name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            ]
            rows = [row for name in tables for row in database.execute(f'SELECT * FROM "{name}"')]
        return "\n".join(_text(value) for row in rows for value in row).encode()

    async def secrets(self) -> dict[str, bytes]:
        """Return every key of the server, and every PUK and management key that its cards have or had."""
        content = self._keys._content
        found = {f"master key {each.generation}": each.key.reveal() for each in content.masters}
        found["database key"] = (await self._keys.derive(DATABASE_KEY)).reveal()
        for named in content.signing:
            assert isinstance(named.key, ec.EllipticCurvePrivateKey)
            found[f"signing key {named.name}"] = scalar(named.key)
        for record_id in await self._records():
            secrets = CardSecrets(self._keys, record_id, _Nowhere())  # type: ignore[arg-type]  # no evidence
            for generation in GENERATIONS:
                if generation > self._keys.generation:
                    continue
                for count in PUKS:
                    puk = await secrets.puk(SecretVersion(generation, count))
                    found[f"PUK {generation}.{count} of {record_id}"] = puk
                for algorithm in ManagementAlgorithm:
                    key = await secrets.management_key(algorithm, SecretVersion(generation))
                    found[f"{algorithm.name} key {generation} of {record_id}"] = key.value.reveal()
        return found

    async def _records(self) -> list[RecordId]:
        with closing(connect(self._folder / "store.db", await self._keys.derive(DATABASE_KEY))) as database:
            rows = database.execute("SELECT record_id FROM card").fetchall()
        return [RecordId(value if isinstance(value, UUID) else UUID(str(value))) for (value,) in rows]


def _text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


# --- what came out --------------------------------------------------------------------------------------

_TAGS: Final = re.compile(rb"<[^>]*>")


def picture(svg: str) -> dict[str, bytes]:
    """Return a picture of a screen as it is, and the characters alone, without what stands between them."""
    raw = svg.encode()
    characters = _TAGS.sub(b"", raw).replace(b"&#160;", b"").replace(b" ", b"").replace(b"\n", b"")
    return {"picture": raw, "characters of the picture": characters}


def files(folder: Path, *, without: Iterable[str] = ()) -> dict[str, bytes]:
    """Return every file below a folder, but those of these names, where the secret belongs."""
    return {
        f"file {path.relative_to(folder)}": path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in set(without)
    }


def of_process(pid: int) -> dict[str, bytes]:
    """Return what other processes of this machine can see of one: its command line and its environment."""
    proc = Path("/proc") / str(pid)
    return {
        f"command line of {pid}": (proc / "cmdline").read_bytes(),
        f"environment of {pid}": (proc / "environ").read_bytes(),
    }


async def watched(process: "asyncio.subprocess.Process") -> dict[str, bytes]:
    """Return what can be seen of a process that was just started and waits."""
    return await asyncio.to_thread(of_process, process.pid)
