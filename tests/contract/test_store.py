"""What every store must do, whatever it is made of."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from server.ports.evidence import leaf_hash
from server.ports.store import (
    AuditKind,
    AuditRecord,
    CertificateChanged,
    Change,
    CredentialChanged,
    JoinToken,
    KeyChanged,
    Lease,
    LedgerEntry,
    ManagementAlgorithmChanged,
    OperationClosed,
    PinChanged,
    SecretChanged,
    SecretsCarried,
    StateChanged,
    Store,
    StoredTemplate,
)
from server.store.database import connect, create_store
from server.store.memory import MemoryStore
from shared import errors
from shared.credential.model import (
    CardRecord,
    CertificateRecord,
    CertificateState,
    HolderId,
    KeyRecord,
    KeyState,
    OpenOperation,
    PinState,
    RequestId,
    SecretKind,
    SecretRecord,
    SecretVersion,
    State,
    StationId,
    TemplateRef,
)
from shared.piv.ids import Algorithm, ManagementAlgorithm, Slot
from shared.secret import Secret
from tests.server.store.examples import (
    BADGE,
    EVIDENCE,
    NOON,
    FixedClock,
    a_card,
    a_credential,
    a_station,
    an_opening,
    with_template,
)

KEY = bytes(range(32))
HERE = StationId(uuid4())
THERE = StationId(uuid4())


@dataclass(frozen=True)
class Kept:
    """A store under test, its clock, and how to let all leases run out."""

    store: Store
    clock: FixedClock
    run_out: Callable[[], None]


@pytest.fixture(params=["memory", "sqlcipher"])
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kept]:
    clock = FixedClock()
    path = tmp_path / "store.db"

    def wind_clock() -> None:
        clock.time += timedelta(seconds=121)

    def wind_database() -> None:
        with_file = connect(path, Secret(KEY))
        with_file.execute("UPDATE lease SET expires_at = expires_at - 121000")
        with_file.close()

    if request.param == "memory":
        store: Store = MemoryStore(clock)
        run_out = wind_clock
    else:
        store = create_store(path, Secret(KEY), clock)
        run_out = wind_database
    await with_template(store)
    yield Kept(store, clock, run_out)
    await store.close()


@pytest.fixture
def store(kept: Kept) -> Store:
    return kept.store


async def begin(store: Store, card: CardRecord, *changes: Change) -> Lease:
    return await store.cards.open(an_opening(card, HERE, *changes))


@contextmanager
def conflict(what: str) -> Iterator[None]:
    with pytest.raises(errors.StoreConflict) as refused:
        yield
    assert refused.value.facts == {"what": what}


async def read(store: Store, card: CardRecord) -> CardRecord:
    found = await store.cards.card(card.record_id)
    assert found is not None
    return found


# --- cards ----------------------------------------------------------------------------------------------


async def test_a_card_comes_back_as_it_was_registered(store: Store) -> None:
    card = replace(
        a_card(serial=2**40),
        management_key=SecretRecord(proven=None, pending=SecretVersion(3, 7)),
        keys={Slot.SIGNATURE: a_key(Slot.SIGNATURE)},
        certificates=(a_certificate(Slot.SIGNATURE),),
        credential=a_credential(issued_at=NOON),
    )
    lease = await begin(store, card)
    await store.cards.apply(lease, [OperationClosed(code="done")])
    assert await read(store, card) == card


async def test_a_key_that_another_card_showed_is_known(store: Store) -> None:
    first, second = a_card(), a_card()
    shown = a_certificate(Slot.SIGNATURE)
    lease = await begin(store, first)
    await begin(store, second)
    keys = [b"\x30\x01\x02", shown.public_key]
    assert not await store.cards.keys_elsewhere(second.record_id, keys)
    await store.cards.apply(lease, [CertificateChanged(certificate=shown)])
    assert await store.cards.keys_elsewhere(second.record_id, keys)
    assert not await store.cards.keys_elsewhere(first.record_id, keys)
    assert not await store.cards.keys_elsewhere(second.record_id, keys[:1])
    assert not await store.cards.keys_elsewhere(second.record_id, ())


async def test_an_unknown_card_is_none(store: Store) -> None:
    assert await store.cards.card(a_card().record_id) is None


async def test_a_serial_finds_every_card_that_has_it(store: Store) -> None:
    first, second, other = a_card(), a_card(), a_card(serial=12)
    for card in (first, second, other):
        await begin(store, card)
    found = await store.cards.cards_by_hint(profile="yubikey-5.4", serial=4711)
    assert {card.record_id for card in found} == {first.record_id, second.record_id}
    assert await store.cards.cards_by_hint(profile="sp800-73", serial=4711) == ()


async def test_without_a_serial_nothing_is_meant(store: Store) -> None:
    await begin(store, a_card(serial=None))
    assert await store.cards.cards_by_hint(profile="yubikey-5.4", serial=None) == ()


def a_key(slot: Slot, state: KeyState = KeyState.PROVEN) -> KeyRecord:
    return KeyRecord(slot=slot, algorithm=Algorithm.P256, state=state, public_key=b"\x30" + bytes([slot]))


def a_certificate(slot: Slot) -> CertificateRecord:
    return CertificateRecord(
        request_id=RequestId(uuid4()),
        slot=slot,
        connection="built-in",
        profile="signature",
        public_key=b"\x30\x00",
        state=CertificateState.REQUESTED,
    )


NEW_SECRET = SecretRecord(proven=SecretVersion(1), pending=SecretVersion(1, 2))
ISSUED_CERTIFICATE = replace(a_certificate(Slot.AUTHENTICATION), certificate=b"\x30\x82")
CREDENTIAL = a_credential(state=State.ISSUED, issued_at=NOON, activated_at=NOON + timedelta(microseconds=1))


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        (SecretChanged(kind=SecretKind.PUK, value=NEW_SECRET), "puk", NEW_SECRET),
        (SecretChanged(kind=SecretKind.MANAGEMENT_KEY, value=NEW_SECRET), "management_key", NEW_SECRET),
        (
            ManagementAlgorithmChanged(algorithm=ManagementAlgorithm.AES256),
            "management_algorithm",
            ManagementAlgorithm.AES256,
        ),
        (PinChanged(pin=PinState.TRANSPORT), "pin", PinState.TRANSPORT),
        (StateChanged(state=State.ACTIVE), "state", State.ACTIVE),
        (
            KeyChanged(key=a_key(Slot.RETIRED_20)),
            "keys",
            {Slot.RETIRED_20: a_key(Slot.RETIRED_20)},
        ),
        (CertificateChanged(certificate=ISSUED_CERTIFICATE), "certificates", (ISSUED_CERTIFICATE,)),
        (CredentialChanged(credential=CREDENTIAL), "credential", CREDENTIAL),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_change_changes_its_field_and_no_other(
    store: Store, change: Change, field: str, value: Any
) -> None:
    card = a_card()
    lease = await begin(store, card)
    before = await read(store, card)
    await store.cards.apply(lease, [change])
    assert await read(store, card) == replace(before, **{field: value})


async def test_the_last_of_several_changes_counts(store: Store) -> None:
    card = a_card()
    lease = await begin(store, card, KeyChanged(key=a_key(Slot.SIGNATURE, KeyState.INTENDED)))
    asked = a_certificate(Slot.SIGNATURE)
    later = a_certificate(Slot.AUTHENTICATION)
    answered = replace(asked, state=CertificateState.ISSUED, certificate=b"\x30\x82")
    await store.cards.apply(
        lease,
        [
            CertificateChanged(certificate=asked),
            CertificateChanged(certificate=later),
            KeyChanged(key=a_key(Slot.SIGNATURE)),
            CertificateChanged(certificate=answered),
        ],
    )
    found = await read(store, card)
    assert found.keys == {Slot.SIGNATURE: a_key(Slot.SIGNATURE)}
    assert found.certificates == (answered, later)


async def test_nothing_of_a_refused_list_is_written(store: Store) -> None:
    card, other = a_card(), a_card()
    taken = a_certificate(Slot.SIGNATURE)
    await begin(store, other, CertificateChanged(certificate=taken))
    lease = await begin(store, card)
    before = await read(store, card)
    evidence = len(await store.audit.page(0, 100))
    with conflict("certificate"):
        await store.cards.apply(
            lease, [StateChanged(state=State.ACTIVE), EVIDENCE, CertificateChanged(certificate=taken)]
        )
    assert await read(store, card) == before
    assert len(await store.audit.page(0, 100)) == evidence


# --- credentials ----------------------------------------------------------------------------------------


async def test_a_card_has_one_open_credential(store: Store) -> None:
    lease = await begin(store, a_card(), CredentialChanged(credential=a_credential()))
    with conflict("credential"):
        await store.cards.apply(lease, [CredentialChanged(credential=a_credential())])


async def test_after_a_retired_credential_another_may_open(store: Store) -> None:
    card, first, second = a_card(), a_credential(), a_credential()
    lease = await begin(store, card, CredentialChanged(credential=first))
    await store.cards.apply(lease, [CredentialChanged(credential=replace(first, state=State.RETIRED))])
    assert (await read(store, card)).credential is None
    await store.cards.apply(lease, [CredentialChanged(credential=second)])
    assert (await read(store, card)).credential == second


async def test_a_revoked_credential_still_shows_whose_card_it_was(store: Store) -> None:
    card, revoked = a_card(), a_credential(state=State.REVOKED)
    await begin(store, card, CredentialChanged(credential=revoked))
    assert (await read(store, card)).credential == revoked


async def test_a_credential_stays_with_its_card(store: Store) -> None:
    credential = a_credential()
    await begin(store, a_card(), CredentialChanged(credential=credential))
    lease = await begin(store, a_card())
    with conflict("credential"):
        await store.cards.apply(lease, [CredentialChanged(credential=credential)])


async def test_a_credential_needs_a_template_that_exists(store: Store) -> None:
    lease = await begin(store, a_card())
    unknown = a_credential(template=replace(BADGE, digest=bytes(32)))
    with conflict("reference"):
        await store.cards.apply(lease, [CredentialChanged(credential=unknown)])


# --- operations and leases ------------------------------------------------------------------------------


async def test_an_operation_is_open_until_it_is_done(kept: Kept) -> None:
    card = a_card()
    lease = await begin(kept.store, card)
    assert (await read(kept.store, card)).open_operation == OpenOperation(
        operation_id=lease.operation_id, kind="issue", holder=HolderId("8d3f"), template=BADGE, began_at=NOON
    )
    await kept.store.cards.apply(lease, [OperationClosed(code="card-lost")])
    assert (await read(kept.store, card)).open_operation is not None
    await kept.store.cards.apply(lease, [OperationClosed(code="done")])
    assert (await read(kept.store, card)).open_operation is None


async def test_an_operation_that_changed_nothing_is_abandoned(store: Store) -> None:
    card = a_card()
    lease = await begin(store, card)
    await store.cards.apply(lease, [OperationClosed(code="cancelled", abandon=True)])
    assert (await read(store, card)).open_operation is None
    with pytest.raises(errors.LeaseLost):
        await store.cards.apply(lease, [StateChanged(state=State.ACTIVE)])


async def test_done_ends_the_lease(store: Store) -> None:
    card = a_card()
    lease = await begin(store, card)
    await store.cards.apply(lease, [StateChanged(state=State.ISSUED), OperationClosed(code="done")])
    with pytest.raises(errors.LeaseLost):
        await store.cards.apply(lease, [StateChanged(state=State.ACTIVE)])
    again = await store.cards.open(an_opening(card, THERE, new=False))
    assert again.epoch == lease.epoch + 1
    assert (await read(store, card)).state is State.ISSUED


async def test_another_station_waits_for_a_live_lease(store: Store) -> None:
    desk = a_station("Desk 7")
    await store.stations.add_station(desk, EVIDENCE)
    card = a_card()
    lease = await store.cards.open(an_opening(card, desk.station_id))
    with pytest.raises(errors.CardLeased) as refused:
        await store.cards.open(an_opening(card, THERE, new=False, operation_id=lease.operation_id))
    assert refused.value.facts == {"station": "Desk 7"}
    await store.cards.apply(lease, [StateChanged(state=State.ISSUED)])


async def test_another_station_goes_on_when_the_lease_ran_out(kept: Kept) -> None:
    card = a_card()
    first = await begin(kept.store, card)
    kept.run_out()
    second = await kept.store.cards.open(an_opening(card, THERE, new=False, operation_id=first.operation_id))
    assert second.epoch == first.epoch + 1
    for late in (kept.store.cards.apply(first, [EVIDENCE]), kept.store.cards.extend(first)):
        with pytest.raises(errors.LeaseLost):
            await late
    await kept.store.cards.apply(second, [OperationClosed(code="done")])


async def test_after_a_crash_nobody_waits_for_a_lease(store: Store) -> None:
    cards = [a_card(serial=number) for number in (1, 2)]
    leases = [await begin(store, card) for card in cards]
    await store.cards.apply(leases[0], [StateChanged(state=State.ISSUED)])
    await store.cards.release_all()
    for card, lease in zip(cards, leases, strict=True):
        with pytest.raises(errors.LeaseLost):
            await store.cards.apply(lease, [EVIDENCE])
        opening = an_opening(card, THERE, new=False, operation_id=lease.operation_id)
        assert (await store.cards.open(opening)).epoch == lease.epoch + 1


async def test_a_lease_that_ran_out_unnoticed_goes_on(kept: Kept) -> None:
    card = a_card()
    lease = await begin(kept.store, card)
    kept.run_out()
    await kept.store.cards.apply(lease, [StateChanged(state=State.ISSUED)])
    with pytest.raises(errors.CardLeased):
        await kept.store.cards.open(an_opening(card, THERE, new=False, operation_id=lease.operation_id))


async def test_extending_keeps_the_lease(kept: Kept) -> None:
    card = a_card()
    lease = await begin(kept.store, card)
    kept.run_out()
    await kept.store.cards.extend(lease)
    with pytest.raises(errors.CardLeased):
        await kept.store.cards.open(an_opening(card, THERE, new=False, operation_id=lease.operation_id))


async def test_the_same_station_takes_its_own_lease_over(store: Store) -> None:
    card = a_card()
    first = await begin(store, card)
    second = await store.cards.open(an_opening(card, HERE, new=False, operation_id=first.operation_id))
    assert second.epoch == first.epoch + 1
    with pytest.raises(errors.LeaseLost):
        await store.cards.apply(first, [EVIDENCE])


async def test_a_released_lease_lets_another_station_go_on_at_once(store: Store) -> None:
    card = a_card()
    first = await begin(store, card)
    await store.cards.release(first)
    with pytest.raises(errors.LeaseLost):
        await store.cards.apply(first, [EVIDENCE])
    second = await store.cards.open(an_opening(card, THERE, new=False, operation_id=first.operation_id))
    await store.cards.release(first)
    await store.cards.apply(second, [StateChanged(state=State.ISSUED)])


async def test_a_card_has_one_open_operation(store: Store) -> None:
    card = a_card()
    await begin(store, card)
    with conflict("operation"):
        await store.cards.open(an_opening(card, HERE, new=False))


async def test_an_operation_is_opened_once(store: Store) -> None:
    card = a_card()
    lease = await begin(store, card)
    await store.cards.apply(lease, [OperationClosed(code="done")])
    with conflict("operation"):
        await store.cards.open(an_opening(card, HERE, new=False, operation_id=lease.operation_id))
    with conflict("operation"):
        await store.cards.open(an_opening(a_card(), HERE, operation_id=lease.operation_id))


async def test_a_card_is_registered_once(store: Store) -> None:
    card = a_card()
    await begin(store, card)
    with conflict("card"):
        await begin(store, card)


async def test_an_operation_needs_a_card(store: Store) -> None:
    with pytest.raises(errors.UnknownCard):
        await store.cards.open(an_opening(a_card(), HERE, new=False))
    with pytest.raises(errors.Invalid):
        await store.cards.open(replace(an_opening(a_card(), HERE), new_card=a_card()))


async def test_a_refused_opening_leaves_nothing(store: Store) -> None:
    card, taken = a_card(), a_certificate(Slot.SIGNATURE)
    await begin(store, a_card(), CertificateChanged(certificate=taken))
    with conflict("certificate"):
        await begin(store, card, CertificateChanged(certificate=taken))
    assert await store.cards.card(card.record_id) is None


async def test_of_many_stations_one_gets_the_card(kept: Kept) -> None:
    card = a_card()
    first = await begin(kept.store, card)
    kept.run_out()
    openings = [
        kept.store.cards.open(
            an_opening(card, StationId(uuid4()), new=False, operation_id=first.operation_id)
        )
        for _ in range(12)
    ]
    came = await asyncio.gather(*openings, return_exceptions=True)
    assert [type(each) for each in came if not isinstance(each, errors.CardLeased)] == [Lease]


async def test_writes_at_the_same_time_fail_alone(store: Store) -> None:
    cards = [a_card() for _ in range(10)]
    leases = [await begin(store, card) for card in cards]
    stale = [replace(lease, epoch=lease.epoch + place % 2) for place, lease in enumerate(leases)]
    came = await asyncio.gather(
        *(store.cards.apply(lease, [StateChanged(state=State.ACTIVE), EVIDENCE]) for lease in stale),
        return_exceptions=True,
    )
    assert [type(each) for each in came] == [type(None), errors.LeaseLost] * 5
    states = [(await read(store, card)).state for card in cards]
    assert states == [State.ACTIVE, State.REGISTERED] * 5
    assert [entry.index for entry in await store.audit.page(0, 100)] == list(range(1 + 5))


async def test_carried_secrets_may_be_told_twice(store: Store) -> None:
    lease = await begin(store, a_card(), SecretsCarried(station=HERE))
    await store.cards.apply(lease, [SecretsCarried(station=HERE), SecretsCarried(station=THERE)])


async def test_commits_are_counted(store: Store) -> None:
    before = store.commits
    lease = await begin(store, a_card())
    await store.cards.apply(lease, [EVIDENCE, EVIDENCE])
    await store.audit.append([EVIDENCE])
    assert store.commits == before + 3


# --- templates ------------------------------------------------------------------------------------------


async def test_versions_of_a_template_stay(store: Store) -> None:
    first = StoredTemplate(ref=BADGE, text="name = 'badge'", applied_at=NOON)
    second = StoredTemplate(
        ref=TemplateRef(name="badge", version=2, digest=b"2" * 32), text="x", applied_at=NOON
    )
    other = StoredTemplate(
        ref=TemplateRef(name="admin", version=1, digest=b"3" * 32), text="y", applied_at=NOON
    )
    await store.templates.add(second, EVIDENCE)
    await store.templates.add(other, EVIDENCE)
    assert await store.templates.latest("badge") == second
    assert await store.templates.latest("nothing") is None
    assert await store.templates.version(BADGE) == first
    assert await store.templates.version(replace(BADGE, digest=bytes(32))) is None
    assert list(await store.templates.all_latest()) == [other, second]


async def test_a_version_is_never_replaced(store: Store) -> None:
    before = len(await store.audit.page(0, 100))
    changed = StoredTemplate(ref=replace(BADGE, digest=bytes(32)), text="other", applied_at=NOON)
    with conflict("template"):
        await store.templates.add(changed, EVIDENCE)
    assert len(await store.audit.page(0, 100)) == before


# --- stations -------------------------------------------------------------------------------------------


async def test_a_station_is_found_by_its_certificate(store: Store) -> None:
    second, first = a_station("Desk 2"), a_station("Desk 1")
    for station in (second, first):
        await store.stations.add_station(station, EVIDENCE)
    assert await store.stations.by_fingerprint(first.fingerprint) == first
    assert await store.stations.by_fingerprint(bytes(32)) is None
    assert list(await store.stations.all()) == [first, second]
    with conflict("station"):
        await store.stations.add_station(replace(a_station(), fingerprint=first.fingerprint), EVIDENCE)


async def test_a_token_is_spent_once(store: Store) -> None:
    token = JoinToken(digest=b"d" * 32, name="Desk 9", lab=True, expires_at=NOON + timedelta(hours=1))
    await store.stations.add_token(token, EVIDENCE)
    with conflict("join_token"):
        await store.stations.add_token(token, EVIDENCE)
    came = await asyncio.gather(*(store.stations.spend_token(token.digest, NOON) for _ in range(5)))
    assert [each for each in came if each is not None] == [token]
    assert await store.stations.spend_token(b"x" * 32, NOON) is None


async def test_a_token_expires(store: Store) -> None:
    token = JoinToken(digest=b"d" * 32, name="Desk 9", lab=False, expires_at=NOON)
    await store.stations.add_token(token, EVIDENCE)
    assert await store.stations.spend_token(token.digest, NOON) is None


# --- the certificate authority's book ---------------------------------------------------------------------


def an_entry(serial: int, **changed: Any) -> LedgerEntry:
    plain = LedgerEntry(
        serial=serial,
        request_id=RequestId(uuid4()),
        public_key=b"\x30\x59",
        certificate=b"\x30\x82",
        not_after=NOON + timedelta(days=30),
    )
    return replace(plain, **changed)


async def test_what_was_signed_is_found_again(store: Store) -> None:
    first, second = an_entry(2**159), an_entry(5, public_key=b"other", request_id=None)
    await store.ledger.record([replace(first, audit=EVIDENCE), second])
    assert first.request_id is not None
    assert await store.ledger.by_request(first.request_id) == first
    assert await store.ledger.by_request(RequestId(uuid4())) is None
    assert list(await store.ledger.by_public_key(b"\x30\x59")) == [first]
    assert [entry.record for entry in await store.audit.page(1, 10)] == [EVIDENCE]


async def test_a_request_is_signed_once(store: Store) -> None:
    first = an_entry(1)
    await store.ledger.record([first])
    with conflict("ledger"):
        await store.ledger.record([an_entry(2), an_entry(3, request_id=first.request_id)])
    with conflict("ledger"):
        await store.ledger.record([an_entry(1)])
    assert list(await store.ledger.by_public_key(first.public_key)) == [first]


async def test_the_first_revocation_stays(kept: Kept) -> None:
    ledger = kept.store.ledger
    entry = an_entry(77)
    await ledger.record([entry, an_entry(78)])
    await ledger.revoke(77, "key-compromise", NOON, EVIDENCE)
    await ledger.revoke(77, "superseded", NOON + timedelta(days=1), EVIDENCE)
    assert list(await ledger.revoked()) == [replace(entry, revoked_at=NOON, reason="key-compromise")]
    assert len(await kept.store.audit.page(1, 10)) == 1
    kept.clock.time = entry.not_after
    assert list(await ledger.revoked()) == []
    with pytest.raises(errors.Invalid):
        await ledger.revoke(79, "superseded", NOON, EVIDENCE)


async def test_revocation_lists_are_numbered(store: Store) -> None:
    assert [await store.ledger.next_crl_number() for _ in range(3)] == [1, 2, 3]


# --- evidence -------------------------------------------------------------------------------------------


async def test_evidence_keeps_its_order_and_its_hash(kept: Kept) -> None:
    records = [
        AuditRecord(
            kind=AuditKind.KEY_USED, event="derived", actor="server", subject="Ü", facts={"b": 2, "a": "é"}
        ),
        AuditRecord(kind=AuditKind.REFUSED, event="called", actor="server"),
    ]
    await kept.store.audit.append(records)
    page = await kept.store.audit.page(1, 10)
    assert [(entry.index, entry.at, entry.record) for entry in page] == [
        (1, NOON, records[0]),
        (2, NOON, records[1]),
    ]
    assert [entry.leaf for entry in page] == [leaf_hash(NOON, record) for record in records]
    assert [entry.index for entry in await kept.store.audit.page(0, 2)] == [0, 1]


async def test_evidence_of_a_card_is_in_its_own_commit(store: Store) -> None:
    lease = await begin(store, a_card())
    before = store.commits
    await store.cards.apply(lease, [EVIDENCE, StateChanged(state=State.ISSUED), EVIDENCE])
    assert store.commits == before + 1
    assert [entry.index for entry in await store.audit.page(0, 10)] == [0, 1, 2]
