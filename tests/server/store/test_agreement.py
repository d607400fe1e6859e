"""Whatever is done to them, the store in memory and the database say the same."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.ports.store import (
    CertificateChanged,
    CertificateTaskAsked,
    CertificateTaskDone,
    Change,
    CredentialChanged,
    KeyChanged,
    Lease,
    OperationClosed,
    PinChanged,
    PukDisclosed,
    SecretChanged,
    SecretsCarried,
    StateChanged,
    Store,
)
from server.store.database import create_store, open_store
from server.store.memory import MemoryStore
from shared import errors
from shared.credential.model import (
    CardRecord,
    CertificateAction,
    CertificateRecord,
    CertificateState,
    CertificateTask,
    CredentialId,
    HolderId,
    KeyRecord,
    KeyState,
    OperationId,
    PinState,
    RecordId,
    RequestId,
    SecretKind,
    SecretRecord,
    SecretVersion,
    State,
    StationId,
)
from shared.piv.ids import Algorithm, Slot
from shared.secret import Secret
from tests.server.store.examples import (
    EVIDENCE,
    NOON,
    FixedClock,
    a_card,
    a_credential,
    an_opening,
    der,
    with_template,
)

KEY = bytes(32)
CARDS = [RecordId(UUID(int=number)) for number in (11, 12, 13)]
STATIONS = [StationId(UUID(int=number)) for number in (1, 2)]

ENDS = [NOON.replace(microsecond=0) + timedelta(days=number) for number in range(3)]
CONTENTS = [b"", b"\x30", *(der(end) for end in ENDS)]

versions = st.none() | st.builds(SecretVersion, st.integers(0, 3), st.integers(0, 3))
small = st.integers(0, 2)


def certificate(number: int, state: CertificateState, content: bytes) -> CertificateChanged:
    return CertificateChanged(
        certificate=CertificateRecord(
            request_id=RequestId(UUID(int=number)),
            slot=Slot.SIGNATURE,
            connection="built-in",
            profile="signature",
            public_key=b"\x30",
            state=state,
            certificate=content,
            reference="" if content else f"ticket {number}",
        )
    )


def credential(number: int, state: State, primary: int | None, ends_at: datetime | None) -> CredentialChanged:
    return CredentialChanged(
        credential=a_credential(
            credential_id=CredentialId(UUID(int=number)),
            state=state,
            primary=None if primary is None else CredentialId(UUID(int=primary)),
            ends_at=ends_at,
        )
    )


def task(number: int, card: int, action: CertificateAction, when: datetime) -> CertificateTask:
    return CertificateTask(
        request_id=RequestId(UUID(int=number)),
        record_id=CARDS[card],
        connection="built-in",
        action=action,
        reason="superseded",
        asked_at=when,
        next_at=when,
    )


def key(slot: Slot, state: KeyState) -> KeyChanged:
    return KeyChanged(key=KeyRecord(slot=slot, algorithm=Algorithm.P256, state=state))


def secret(kind: SecretKind, proven: SecretVersion | None, pending: SecretVersion | None) -> SecretChanged:
    return SecretChanged(kind=kind, value=SecretRecord(proven=proven, pending=pending))


ends = st.sampled_from(ENDS)
tasks = st.builds(task, small, small, st.sampled_from(CertificateAction), ends)

changes = st.one_of(
    st.builds(secret, st.sampled_from(SecretKind), versions, versions),
    st.builds(key, st.sampled_from((Slot.SIGNATURE, Slot.AUTHENTICATION)), st.sampled_from(KeyState)),
    st.builds(certificate, small, st.sampled_from(CertificateState), st.sampled_from(CONTENTS)),
    st.builds(credential, small, st.sampled_from(State), st.none() | small, st.none() | ends),
    st.builds(CertificateTaskAsked, task=tasks),
    st.builds(CertificateTaskDone, request_id=st.builds(lambda number: RequestId(UUID(int=number)), small)),
    st.builds(PukDisclosed, disclosed=st.booleans()),
    st.builds(PinChanged, pin=st.sampled_from(PinState)),
    st.builds(StateChanged, state=st.sampled_from(State)),
    st.builds(SecretsCarried, station=st.sampled_from(STATIONS)),
    st.builds(OperationClosed, code=st.sampled_from(("done", "card-lost")), abandon=st.booleans()),
    st.just(EVIDENCE),
)
lists = st.lists(changes, max_size=4)
opens = st.tuples(
    st.just("open"), small, st.sampled_from(STATIONS), st.booleans(), small, st.none() | small, lists
)
settles = st.tuples(st.sampled_from(("done", "failed")), tasks)
uses = st.tuples(st.sampled_from(("apply", "extend", "release")), st.integers(0, 9), lists)
scripts = st.lists(opens | uses | settles, max_size=14)


class Player:
    """One store, and what came of every step of a script."""

    def __init__(self, store: Store, cards: Sequence[CardRecord], operations: Sequence[OperationId]) -> None:
        self.store = store
        self.cards = cards
        self.operations = operations
        self.leases: list[Lease] = []

    async def play(self, step: tuple[object, ...]) -> object:
        match step:
            case ("open", int(card), station, bool(new), int(operation), superseded, list(wanted)):
                opening = an_opening(
                    self.cards[card],
                    station,  # type: ignore[arg-type]  # patterns do not narrow
                    *wanted,
                    new=new,
                    operation_id=self.operations[operation],
                )
                if isinstance(superseded, int):
                    opening = replace(opening, supersedes=self.operations[superseded])
                came = await self.outcome(self.store.cards.open(opening))
                if isinstance(came, Lease):
                    self.leases.append(came)
                return came
            case ("done", CertificateTask() as asked):
                return await self.outcome(self.store.tasks.done(asked, EVIDENCE))
            case ("failed", CertificateTask() as asked):
                return await self.outcome(self.store.tasks.failed(asked, "down", ENDS[-1]))
            case (str(verb), int(place), list(wanted)) if self.leases:
                lease = self.leases[place % len(self.leases)]
                return await self.outcome(self.use(verb, lease, wanted))
        return None

    async def use(self, verb: str, lease: Lease, wanted: list[Change]) -> None:
        match verb:
            case "apply":
                await self.store.cards.apply(lease, wanted)
            case "extend":
                await self.store.cards.extend(lease)
            case _:
                await self.store.cards.release(lease)

    async def outcome(self, doing: Awaitable[object]) -> object:
        try:
            return await doing
        except errors.KioskError as error:
            return error.code, error.facts

    async def records(self) -> list[object]:
        found: list[CardRecord | None] = [await self.store.cards.card(card.record_id) for card in self.cards]
        credentials = self.store.credentials
        found += [await credentials.by_credential(CredentialId(UUID(int=number))) for number in range(3)]
        for several in (
            await credentials.of_holder(HolderId("8d3f")),
            await credentials.search("bob", 2),
            await credentials.ending(ENDS[1]),
            await credentials.expiring(ENDS[1]),
            await credentials.stale(ENDS[1], 2),
        ):
            found += [*several, None]
        return [
            *(record and replace(record, keys=dict(sorted(record.keys.items()))) for record in found),
            *await self.store.tasks.all(),
            *await self.store.tasks.due(ENDS[1], 2),
        ]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a template and nothing else, to be copied."""
    path = tmp_path_factory.mktemp("empty") / "store.db"

    async def make() -> None:
        store = create_store(path, Secret(KEY), FixedClock())
        await with_template(store)
        await store.close()

    asyncio.run(make())
    return path


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=scripts)
def test_both_stores_agree(empty: Path, script: list[tuple[object, ...]]) -> None:
    copy = empty.with_name("copy.db")
    copy.write_bytes(empty.read_bytes())

    async def run() -> None:
        clock = FixedClock()
        memory, database = MemoryStore(clock), open_store(copy, Secret(KEY), clock)
        await with_template(memory)
        cards = [replace(a_card(), record_id=record_id) for record_id in CARDS]
        operations = [OperationId(UUID(int=100 + number)) for number in range(3)]
        players = [Player(store, cards, operations) for store in (memory, database)]
        try:
            for step in script:
                first, second = [await player.play(step) for player in players]
                assert first == second
                first_records, second_records = [await player.records() for player in players]
                assert first_records == second_records
            assert list(await memory.audit.page(0, 1000)) == list(await database.audit.page(0, 1000))
        finally:
            await database.close()

    asyncio.run(run())
