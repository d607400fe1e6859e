"""The encrypted file: what it survives and what it refuses."""

import hashlib
import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from server.connectors.keystore.content import Content
from server.connectors.keystore.envelope import DEFAULT_COST, MAGIC, Cost, Envelope
from server.connectors.keystore.software import SoftwareKeyStore
from server.ports.keystore import Derivation, KeyPurpose, SigningAlgorithm
from shared import errors
from shared.clock import SystemClock
from shared.secret import Secret

CLOCK = SystemClock()
CHEAP = Cost(memory_kib=64, passes=1, lanes=1)
PASSPHRASE = Secret(b"correct horse battery staple")
SOME = Derivation(purpose=KeyPurpose.PUK, subject=UUID(int=7), generation=1, length=8)


def create(path: Path) -> SoftwareKeyStore:
    return SoftwareKeyStore.create(path, PASSPHRASE, clock=CLOCK, cost=CHEAP)


def names_in(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


async def test_a_reopened_file_holds_the_same_keys(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    made = create(path)
    root = await made.generate("ca/root", SigningAlgorithm.P384_SHA384)
    await made.add_generation()
    opened = SoftwareKeyStore.open(path, PASSPHRASE, clock=CLOCK)
    assert opened.generation == 2
    assert await opened.public_key("ca/root") == root
    assert await opened.derive(SOME) == await made.derive(SOME)


def test_the_file_is_private_and_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        create(tmp_path / "keys")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o600
    assert names_in(tmp_path) == ["keys"]


async def test_nothing_of_the_keys_is_readable(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    keystore = create(path)
    await keystore.generate("ca/root", SigningAlgorithm.P256_SHA256)
    file = path.read_bytes()
    for plain in (b"ca/root", b"pkcs8", keystore._content.masters[0].key.reveal().hex().encode()):
        assert plain not in file


def test_the_default_cost_is_the_second_recommended_option() -> None:
    """[RFC 9106] section 4: t=3, p=4, m=2^16 KiB, 128-bit salt."""
    assert (DEFAULT_COST.passes, DEFAULT_COST.lanes, DEFAULT_COST.memory_kib) == (3, 4, 2**16)


def test_argon2id_vector() -> None:
    """[RFC 9106] section 5.3."""
    kdf = Argon2id(
        salt=b"\x02" * 16,
        length=32,
        iterations=3,
        lanes=4,
        memory_cost=32,
        ad=b"\x04" * 12,
        secret=b"\x03" * 8,
    )
    expected = "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"
    assert kdf.derive(b"\x01" * 32).hex() == expected


@pytest.mark.parametrize("passphrase", [b"wrong", b"correct horse battery staple "])
def test_a_wrong_passphrase(tmp_path: Path, passphrase: bytes) -> None:
    create(tmp_path / "keys")
    with pytest.raises(errors.PassphraseRejected):
        SoftwareKeyStore.open(tmp_path / "keys", Secret(passphrase), clock=CLOCK)


def test_an_empty_passphrase(tmp_path: Path) -> None:
    with pytest.raises(errors.Invalid):
        SoftwareKeyStore.create(tmp_path / "keys", Secret(b""), clock=CLOCK, cost=CHEAP)
    assert not (tmp_path / "keys").exists()
    create(tmp_path / "keys")
    with pytest.raises(errors.PassphraseRejected):
        SoftwareKeyStore.open(tmp_path / "keys", Secret(b""), clock=CLOCK)


def test_no_file_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigMissing):
        SoftwareKeyStore.open(tmp_path / "keys", PASSPHRASE, clock=CLOCK)
    with pytest.raises(errors.ConfigMissing):
        create(tmp_path / "missing" / "keys")


def test_creating_never_replaces(tmp_path: Path) -> None:
    create(tmp_path / "keys")
    before = (tmp_path / "keys").read_bytes()
    with pytest.raises(errors.StoreConflict):
        create(tmp_path / "keys")
    assert (tmp_path / "keys").read_bytes() == before
    assert names_in(tmp_path) == ["keys"]


def test_every_altered_byte_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    create(path)
    whole = path.read_bytes()
    for index in range(len(whole)):
        altered = bytearray(whole)
        altered[index] ^= 0x20
        with pytest.raises(errors.KeyStoreDamaged):
            Envelope.from_bytes(bytes(altered))
    for length in range(0, len(whole), 7):
        with pytest.raises(errors.KeyStoreDamaged):
            Envelope.from_bytes(whole[:length])


def forge(file: bytes, **changes: object) -> bytes:
    """Alter the header and make the digest right again."""
    line, rest = file[len(MAGIC) : -32].split(b"\n", 1)
    header = json.loads(line) | changes
    body = MAGIC + json.dumps(header, sort_keys=True).encode() + b"\n" + rest
    return body + hashlib.sha256(body).digest()


def test_a_forged_header_does_not_open(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    create(path)
    path.write_bytes(forge(path.read_bytes(), added="something"))
    with pytest.raises(errors.PassphraseRejected):
        SoftwareKeyStore.open(path, PASSPHRASE, clock=CLOCK)


@pytest.mark.parametrize(
    "changes",
    [
        {"memory_kib": 2**40},
        {"memory_kib": 1},
        {"passes": 0},
        {"lanes": 1000},
        {"salt": "00"},
        {"nonce": "zz"},
        {"kdf": "pbkdf2"},
        {"passes": None},
    ],
    ids=str,
)
def test_a_forged_cost_is_refused_before_it_is_paid(tmp_path: Path, changes: dict[str, object]) -> None:
    path = tmp_path / "keys"
    create(path)
    path.write_bytes(forge(path.read_bytes(), **changes))
    with pytest.raises(errors.KeyStoreDamaged):
        SoftwareKeyStore.open(path, PASSPHRASE, clock=CLOCK)


async def test_a_new_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    keystore = create(path)
    await keystore.change_passphrase(Secret(b"new"), cost=CHEAP)
    await keystore.add_generation()
    with pytest.raises(errors.PassphraseRejected):
        SoftwareKeyStore.open(path, PASSPHRASE, clock=CLOCK)
    opened = SoftwareKeyStore.open(path, Secret(b"new"), clock=CLOCK)
    assert opened.generation == 2
    assert await opened.derive(SOME) == await keystore.derive(SOME)


async def test_two_processes_do_not_lose_each_others_keys(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    create(path)
    one = SoftwareKeyStore.open(path, PASSPHRASE, clock=CLOCK)
    two = SoftwareKeyStore.open(path, PASSPHRASE, clock=CLOCK)
    mine = await one.generate("ca/root", SigningAlgorithm.P256_SHA256)
    await two.generate("ca/issuing", SigningAlgorithm.P256_SHA256)
    assert await two.generate("ca/root", SigningAlgorithm.P256_SHA256) == mine
    await one.change_passphrase(Secret(b"new"), cost=CHEAP)
    with pytest.raises(errors.StoreConflict):
        await two.add_generation()
    assert two.generation == 1


async def test_a_failed_write_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys"
    keystore = create(path)
    before = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(errors.StoreUnavailable):
        await keystore.generate("ca/root", SigningAlgorithm.P256_SHA256)
    assert path.read_bytes() == before
    assert names_in(tmp_path) == ["keys"]
    assert await keystore.public_key("ca/root") is None


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'{"masters": [], "signing": []}', b'{"masters": [{"generation": 1}], "signing": []}'],
)
def test_content_of_another_shape(content: bytes) -> None:
    with pytest.raises(errors.KeyStoreDamaged):
        Content.from_bytes(content)


def test_content_survives_its_encoding(tmp_path: Path) -> None:
    content = create(tmp_path / "keys")._content
    again = Content.from_bytes(bytes(content))
    assert bytes(again) == bytes(content)
    assert again.masters[0].created_at <= datetime.now(UTC)
