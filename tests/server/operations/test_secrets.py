"""Secrets of a card: derived anew each time, never the factory's, no two alike; every use leaves evidence."""

import itertools
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.authority.access import Caller
from server.connectors.keystore.memory import MemoryKeyStore
from server.operations.journal import Journal
from server.operations.secrets import CardSecrets
from server.ports.keystore import Derivation, KeyPurpose
from server.ports.store import AuditKind
from server.store.memory import MemoryStore
from shared.clock import SystemClock
from shared.credential.model import FACTORY, RecordId, SecretVersion, StationId
from shared.piv.ids import FACTORY_MANAGEMENT_KEY, FACTORY_PUK, ManagementAlgorithm
from shared.secret import Secret

CALLER = Caller(station_id=StationId(uuid4()), name="desk", lab=True, fingerprint=bytes(32))
OURS = SecretVersion(1)


class Deriving(MemoryKeyStore):
    """A key store whose next derived value is given."""

    def __init__(self, value: bytes) -> None:
        super().__init__()
        self.value = value
        self.asked: list[Derivation] = []

    async def derive(self, derivation: Derivation) -> Secret:
        self.asked.append(derivation)
        return Secret(self.value)


def secrets_of(record_id: UUID | None = None, keystore: MemoryKeyStore | None = None) -> CardSecrets:
    journal = Journal(MemoryStore(SystemClock()).cards, CALLER)
    return CardSecrets(keystore or MemoryKeyStore(), RecordId(record_id or uuid4()), journal)


def number(digits: int) -> bytes:
    return digits.to_bytes(16, "big")


@pytest.mark.parametrize(
    ("value", "puk"),
    [
        (0, b"00000000"),
        (7, b"00000007"),
        (99_999_999, b"99999999"),
        (100_000_000, b"00000000"),
        (12_345_678, b"00000000"),
        (5 * 10**8 + 12_345_678, b"00000005"),
        (98_765_432 * 10**16 + 12_345_678 * 10**8 + 12_345_678, b"98765432"),
        (2**128 - 1, b"68211455"),
    ],
)
async def test_a_puk_is_eight_digits_and_never_the_factorys(value: int, puk: bytes) -> None:
    assert await secrets_of(keystore=Deriving(number(value))).puk(OURS) == puk


@given(st.binary(min_size=16, max_size=16))
async def test_any_value_gives_eight_digits(value: bytes) -> None:
    puk = await secrets_of(keystore=Deriving(value)).puk(OURS)
    assert len(puk) == 8
    assert puk.isdigit()
    assert puk != FACTORY_PUK


async def test_the_digits_are_evenly_spread() -> None:
    """Chi-squared over 8,000 digits: 9 degrees of freedom, and a limit that chance passes once in 10^7."""
    keystore, record_id = MemoryKeyStore(), uuid4()
    secrets = secrets_of(record_id, keystore)
    puks = [await secrets.puk(SecretVersion(1, count)) for count in range(1000)]
    counts = [sum(puk.count(b"%d" % digit) for puk in puks) for digit in range(10)]
    assert sum((count - 800) ** 2 / 800 for count in counts) < 50
    assert len(set(puks)) > 990


async def test_no_two_values_are_alike() -> None:
    """Record, purpose, generation and count each make another value."""
    keystore = MemoryKeyStore()
    await keystore.add_generation()
    values = []
    for record_id in (uuid4(), uuid4()):
        secrets = secrets_of(record_id, keystore)
        for generation, count in itertools.product((1, 2), (0, 1, 2)):
            version = SecretVersion(generation, count)
            values.append(await secrets.puk(version))
            for algorithm in ManagementAlgorithm:
                key = await secrets.management_key(algorithm, version)
                assert len(key.value.reveal()) == algorithm.key_length
                values.append(key.value.reveal()[:16])
    keys = [value for value in values if len(value) == 16]
    puks = [value for value in values if len(value) == 8]
    assert len(set(puks)) == len(puks) == 12
    # keys of one length are one value by their algorithm's length; the two of 24 bytes differ in nothing else
    assert len(set(keys)) == 12 * 3


async def test_the_same_again_after_a_restart() -> None:
    keystore, record_id = MemoryKeyStore(), uuid4()
    first, second = secrets_of(record_id, keystore), secrets_of(record_id, keystore)
    assert await first.puk(OURS) == await second.puk(OURS)
    algorithm = ManagementAlgorithm.AES256
    assert await first.management_key(algorithm, OURS) == await second.management_key(algorithm, OURS)


@pytest.mark.parametrize("algorithm", list(ManagementAlgorithm))
async def test_factory_values_are_not_derived(algorithm: ManagementAlgorithm) -> None:
    keystore = Deriving(bytes(16))
    secrets = secrets_of(keystore=keystore)
    assert await secrets.puk(FACTORY) == FACTORY_PUK
    key = await secrets.management_key(algorithm, FACTORY)
    assert (FACTORY_MANAGEMENT_KEY * 2).startswith(key.value.reveal())
    assert keystore.asked == []


async def test_what_is_asked_of_the_key_store() -> None:
    keystore, record_id = Deriving(bytes(24)), uuid4()
    secrets = secrets_of(record_id, keystore)
    await secrets.management_key(ManagementAlgorithm.TDES, SecretVersion(3, 0))
    await secrets.puk(SecretVersion(3, 9))
    assert keystore.asked == [
        Derivation(purpose=KeyPurpose.MANAGEMENT_KEY, subject=record_id, generation=3, count=0, length=24),
        Derivation(purpose=KeyPurpose.PUK, subject=record_id, generation=3, count=9, length=16),
    ]


async def test_every_use_leaves_evidence_and_no_secret() -> None:
    journal = Journal(MemoryStore(SystemClock()).cards, CALLER)
    record_id = RecordId(uuid4())
    secrets = CardSecrets(MemoryKeyStore(), record_id, journal)
    puk = await secrets.puk(SecretVersion(1, 4))
    key = await secrets.management_key(ManagementAlgorithm.AES128, OURS)
    evidence = journal.unwritten_evidence()
    assert [(each.kind, each.event, each.subject, each.facts) for each in evidence] == [
        (AuditKind.KEY_USED, "derived", str(record_id), {"secret": "puk", "generation": 1, "count": 4}),
        (
            AuditKind.KEY_USED,
            "derived",
            str(record_id),
            {"secret": "management-key", "generation": 1, "count": 0},
        ),
    ]
    assert puk.decode() not in repr(evidence)
    assert key.value.reveal().hex() not in repr((evidence, key))
