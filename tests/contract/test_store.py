"""What every store must do with cards and their journal, whatever it is made of."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from server.ports.store import (
    CertificateChanged,
    Change,
    CredentialChanged,
    KeyChanged,
    KeyDisclosed,
    Lease,
    ManagementAlgorithmChanged,
    OperationClosed,
    PinChanged,
    PukDisclosed,
    SecretChanged,
    SecretsCarried,
    StateChanged,
    Store,
)
from shared import errors
from shared.credential.model import (
    CertificateState,
    HolderId,
    KeyRecord,
    KeyState,
    OpenOperation,
    PinState,
    SecretKind,
    SecretRecord,
    SecretVersion,
    State,
    StationId,
)
from shared.piv.ids import Algorithm, ManagementAlgorithm, Slot, TouchPolicyId
from tests.contract.stores import HERE, THERE, Kept, begin, conflict, read
from tests.server.store.examples import (
    BADGE,
    EVIDENCE,
    NOON,
    a_card,
    a_certificate,
    a_credential,
    a_station,
    a_task,
    an_opening,
)

# --- cards ----------------------------------------------------------------------------------------------


async def test_a_card_comes_back_as_it_was_registered(store: Store) -> None:
    certificate = a_certificate(slot=Slot.SIGNATURE)
    card = replace(
        a_card(serial=2**40),
        management_key=SecretRecord(proven=None, pending=SecretVersion(3, 7)),
        keys={Slot.SIGNATURE: a_key(Slot.SIGNATURE)},
        certificates=(certificate,),
        credential=a_credential(issued_at=NOON),
        puk_disclosed=True,
    )
    card = replace(card, tasks=(a_task(card, certificate),))
    lease = await begin(store, card)
    await store.cards.apply(lease, [OperationClosed(code="done")])
    assert await read(store, card) == card


async def test_an_unknown_card_is_none(store: Store) -> None:
    assert await store.cards.card(a_card().record_id) is None


def a_key(slot: Slot, state: KeyState = KeyState.PROVEN) -> KeyRecord:
    touch = TouchPolicyId.ALWAYS if slot is Slot.AUTHENTICATION else None
    return KeyRecord(
        slot=slot, algorithm=Algorithm.P256, state=state, public_key=b"\x30" + bytes([slot]), touch=touch
    )


NEW_SECRET = SecretRecord(proven=SecretVersion(1), pending=SecretVersion(1, 2))
ISSUED_CERTIFICATE = replace(a_certificate(slot=Slot.AUTHENTICATION), certificate=b"\x30\x82")
CREDENTIAL = a_credential(
    state=State.SUSPENDED,
    issued_at=NOON,
    activated_at=NOON + timedelta(microseconds=1),
    reason="lost",
    since=NOON + timedelta(days=1),
    ends_at=NOON + timedelta(days=2),
    pin_set_at=NOON + timedelta(seconds=3),
    pin_change_due=True,
    roles=("helpdesk", "normal"),
)


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
        (PukDisclosed(disclosed=True), "puk_disclosed", True),
        (KeyDisclosed(disclosed=True), "key_disclosed", True),
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
    asked = a_certificate(slot=Slot.SIGNATURE)
    later = a_certificate(slot=Slot.AUTHENTICATION)
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
    taken = a_certificate(slot=Slot.SIGNATURE)
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


async def test_a_temporary_credential_stands_in_for_one_that_exists(store: Store) -> None:
    lost, primary = a_credential(), a_credential(state=State.SUSPENDED)
    await begin(store, a_card(), CredentialChanged(credential=lost))
    await begin(store, a_card(), CredentialChanged(credential=primary))
    card = a_card()
    lease = await begin(store, card)
    temporary = a_credential(primary=primary.credential_id, replaces=lost.credential_id)
    await store.cards.apply(lease, [CredentialChanged(credential=temporary)])
    assert (await read(store, card)).credential == temporary
    unknown = a_credential().credential_id
    for wrong in (replace(temporary, primary=unknown), replace(temporary, replaces=unknown)):
        with conflict("reference"):
            await store.cards.apply(lease, [CredentialChanged(credential=wrong)])


@pytest.mark.parametrize("state", [State.RETIRED, State.DELETED, State.UNREGISTERED])
async def test_a_closed_credential_makes_room(store: Store, state: State) -> None:
    card = a_card()
    lease = await begin(store, card, CredentialChanged(credential=a_credential(state=state)))
    assert (await read(store, card)).credential is None
    await store.cards.apply(lease, [CredentialChanged(credential=a_credential())])


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


async def test_what_is_written_about_a_card_that_is_away_leaves_its_operation_open(kept: Kept) -> None:
    store, card = kept.store, a_card()
    cut = await begin(store, card)
    about = replace(
        an_opening(card, THERE, StateChanged(state=State.ISSUED), new=False, operation_id=cut.operation_id),
        let_go=True,
    )
    with pytest.raises(errors.CardLeased):
        await store.cards.open(about)
    kept.run_out()
    before = store.commits
    written = await store.cards.open(about)
    assert store.commits == before + 1
    for lease in (cut, written):
        with pytest.raises(errors.LeaseLost):
            await store.cards.apply(lease, [EVIDENCE])
    after = await read(store, card)
    assert (after.state, after.open_operation is not None) == (State.ISSUED, True)
    again = await store.cards.open(an_opening(card, HERE, new=False, operation_id=cut.operation_id))
    await store.cards.apply(again, [OperationClosed(code="done")])


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


async def test_nothing_is_opened_on_a_record_that_has_changed(store: Store) -> None:
    card = a_card()
    lease = await begin(store, card)
    await store.cards.apply(lease, [OperationClosed(code="done")])
    seen = await read(store, card)
    opening = replace(an_opening(card, THERE, EVIDENCE, new=False), seen=seen)
    between = await store.cards.open(an_opening(card, HERE, new=False))
    await store.cards.apply(between, [StateChanged(state=State.REVOKED), OperationClosed(code="done")])
    changed = await read(store, card)
    with conflict("card"):
        await store.cards.open(opening)
    assert await read(store, card) == changed
    assert (await store.cards.open(replace(opening, seen=changed))).epoch == between.epoch + 1


async def test_an_operation_is_opened_once(store: Store) -> None:
    card = a_card()
    lease = await begin(store, card)
    await store.cards.apply(lease, [OperationClosed(code="done")])
    with conflict("operation"):
        await store.cards.open(an_opening(card, HERE, new=False, operation_id=lease.operation_id))
    with conflict("operation"):
        await store.cards.open(an_opening(a_card(), HERE, operation_id=lease.operation_id))


async def test_an_operation_keeps_why_it_began(store: Store) -> None:
    card = a_card()
    lease = await store.cards.open(
        replace(an_opening(card, HERE), reason="lost", roles=("helpdesk", "normal"))
    )
    await store.cards.apply(lease, [OperationClosed(code="card-lost")])
    again = an_opening(card, HERE, new=False, operation_id=lease.operation_id)
    await store.cards.open(again)
    cut = (await read(store, card)).open_operation
    assert cut is not None
    assert cut.reason == "lost"
    assert cut.roles == ("helpdesk", "normal")


async def test_an_operation_takes_the_place_of_another_in_one_commit(store: Store) -> None:
    card = a_card()
    cut = await begin(store, card)
    before = store.commits
    opening = replace(an_opening(card, HERE, new=False), supersedes=cut.operation_id)
    lease = await store.cards.open(opening)
    assert store.commits == before + 1
    found = (await read(store, card)).open_operation
    assert found is not None
    assert found.operation_id == lease.operation_id
    with pytest.raises(errors.LeaseLost):
        await store.cards.apply(cut, [EVIDENCE])
    await store.cards.apply(lease, [OperationClosed(code="done")])
    assert (await read(store, card)).open_operation is None
    with conflict("operation"):
        await store.cards.open(an_opening(card, HERE, new=False, operation_id=cut.operation_id))


async def test_only_an_open_operation_of_this_card_is_superseded(store: Store) -> None:
    card, other = a_card(), a_card()
    cut, elsewhere = await begin(store, card), await begin(store, other)
    for wrong in (elsewhere.operation_id, an_opening(card, HERE).operation_id):
        with conflict("operation"):
            await store.cards.open(replace(an_opening(card, HERE, new=False), supersedes=wrong))
    again = an_opening(card, HERE, new=False, operation_id=elsewhere.operation_id)
    with conflict("operation"):
        await store.cards.open(replace(again, supersedes=cut.operation_id))
    found = (await read(store, card)).open_operation
    assert found is not None
    assert found.operation_id == cut.operation_id


async def test_whoever_works_on_a_card_is_not_superseded(store: Store) -> None:
    card = a_card()
    lease = await begin(store, card)
    with pytest.raises(errors.CardLeased):
        await store.cards.open(replace(an_opening(card, THERE, new=False), supersedes=lease.operation_id))
    await store.cards.apply(lease, [StateChanged(state=State.ISSUED)])


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
    card, taken = a_card(), a_certificate(slot=Slot.SIGNATURE)
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
