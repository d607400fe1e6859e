"""What every key store does."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from server.connectors.keystore.envelope import Cost
from server.connectors.keystore.memory import MemoryKeyStore
from server.connectors.keystore.ring import KeyRing
from server.connectors.keystore.software import SoftwareKeyStore
from server.ports.keystore import Derivation, KeyPurpose, KeyStore, SigningAlgorithm
from shared import errors
from shared.clock import SystemClock
from shared.secret import Secret

SUBJECT = UUID("8d6b3a52-9a0e-4b8c-b7a7-0d6a40a1f0d3")
CHEAP = Cost(memory_kib=64, passes=1, lanes=1)


@pytest.fixture(params=["memory", "software"])
async def keystore(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[KeyRing]:
    if request.param == "memory":
        yield MemoryKeyStore()
    else:
        yield SoftwareKeyStore.create(tmp_path / "keys", Secret(b"pass"), clock=SystemClock(), cost=CHEAP)


def derivation(**changes: object) -> Derivation:
    values = {
        "purpose": KeyPurpose.PUK,
        "subject": SUBJECT,
        "generation": 1,
        "length": 16,
        "count": 0,
    } | changes
    return Derivation(**values)  # type: ignore[arg-type]  # the test names fields


def is_a_key_store(keystore: KeyStore) -> KeyStore:
    return keystore


async def test_a_derived_value_is_the_same_every_time(keystore: KeyRing) -> None:
    port = is_a_key_store(keystore)
    assert await port.derive(derivation()) == await port.derive(derivation())


@pytest.mark.parametrize(
    "changes",
    [
        {"purpose": KeyPurpose.MANAGEMENT_KEY},
        {"subject": uuid4()},
        {"count": 1},
        {"generation": 2},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_every_part_of_the_name_changes_the_value(
    keystore: KeyRing, changes: dict[str, object]
) -> None:
    assert await keystore.add_generation() == 2
    assert await keystore.derive(derivation()) != await keystore.derive(derivation(**changes))


async def test_a_longer_value_does_not_begin_with_the_shorter_one(keystore: KeyRing) -> None:
    short = (await keystore.derive(derivation(length=16))).reveal()
    long = (await keystore.derive(derivation(length=24))).reveal()
    assert (len(short), len(long)) == (16, 24)
    assert long[:16] != short


@pytest.mark.parametrize("generation", [0, 2, 4_000_000_000])
async def test_an_unknown_generation_is_refused(keystore: KeyRing, generation: int) -> None:
    with pytest.raises(errors.NotSupported):
        await keystore.derive(derivation(generation=generation))


async def test_a_new_generation_leaves_the_old_values(keystore: KeyRing) -> None:
    before = await keystore.derive(derivation())
    sealed = await keystore.seal("settings", Secret(b"password"))
    assert await keystore.add_generation() == keystore.generation == 2
    assert [each.generation for each in keystore.generations] == [1, 2]
    assert keystore.generations[0].created_at <= keystore.generations[1].created_at
    assert await keystore.derive(derivation()) == before
    assert await keystore.unseal("settings", sealed) == Secret(b"password")


async def test_sealing_hides_and_binds_to_its_context(keystore: KeyRing) -> None:
    sealed = await keystore.seal("ldap/main", Secret(b"a password"))
    assert b"password" not in sealed
    assert sealed != await keystore.seal("ldap/main", Secret(b"a password"))
    assert await keystore.unseal("ldap/main", sealed) == Secret(b"a password")
    with pytest.raises(errors.KeyStoreDamaged):
        await keystore.unseal("ldap/other", sealed)


async def test_every_altered_byte_of_a_seal_is_noticed(keystore: KeyRing) -> None:
    sealed = await keystore.seal("x", Secret(b"value"))
    for index in range(len(sealed)):
        altered = bytearray(sealed)
        altered[index] ^= 1
        with pytest.raises(errors.KeyStoreDamaged):
            await keystore.unseal("x", bytes(altered))
    for length in range(len(sealed)):
        with pytest.raises(errors.KeyStoreDamaged):
            await keystore.unseal("x", sealed[:length])


async def test_another_key_store_cannot_unseal(keystore: KeyRing) -> None:
    sealed = await MemoryKeyStore().seal("x", Secret(b"value"))
    with pytest.raises(errors.KeyStoreDamaged):
        await keystore.unseal("x", sealed)


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [
        (SigningAlgorithm.P256_SHA256, hashes.SHA256()),
        (SigningAlgorithm.P384_SHA384, hashes.SHA384()),
        (SigningAlgorithm.RSA3072_SHA256, hashes.SHA256()),
    ],
    ids=["p256", "p384", "rsa3072"],
)
async def test_signatures_verify(
    keystore: KeyRing, algorithm: SigningAlgorithm, digest: hashes.HashAlgorithm
) -> None:
    public = await keystore.generate("ca/root", algorithm)
    signature = await keystore.sign("ca/root", b"message")
    if isinstance(public, rsa.RSAPublicKey):
        public.verify(signature, b"message", padding.PKCS1v15(), digest)
    else:
        assert isinstance(public, ec.EllipticCurvePublicKey)
        public.verify(signature, b"message", ec.ECDSA(digest))


async def test_generating_again_returns_the_present_key(keystore: KeyRing) -> None:
    first = await keystore.generate("ca/root", SigningAlgorithm.P256_SHA256)
    again = await keystore.generate("ca/root", SigningAlgorithm.P256_SHA256)
    assert first == again == await keystore.public_key("ca/root")
    assert await keystore.generate("ca/issuing", SigningAlgorithm.P256_SHA256) != first


async def test_unknown_signing_keys(keystore: KeyRing) -> None:
    assert await keystore.public_key("ca/root") is None
    with pytest.raises(errors.NotSupported):
        await keystore.sign("ca/root", b"message")


@pytest.mark.parametrize("name", ["", "CA", "../root", "ca//root", "a b", "ca/", "ä"])
async def test_names_of_keys_are_plain(keystore: KeyRing, name: str) -> None:
    with pytest.raises(errors.Invalid):
        await keystore.generate(name, SigningAlgorithm.P256_SHA256)


async def test_random_bytes(keystore: KeyRing) -> None:
    assert len(keystore.random(32)) == 32
    assert keystore.random(32) != keystore.random(32)
