"""How every store finds cards by their credentials, whatever it is made of."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from server.ports.store import (
    CertificateChanged,
    CertificateTaskAsked,
    Change,
    CredentialChanged,
    Lease,
    OperationClosed,
    Store,
)
from shared import errors
from shared.credential.model import (
    CardRecord,
    CertificateRecord,
    CertificateState,
    CredentialRecord,
    HolderId,
    State,
)
from shared.piv.ids import Slot
from tests.contract.stores import HERE, Kept, begin, read
from tests.server.store.examples import NOON, a_card, a_certificate, a_credential, a_task, an_opening, der

ANNA = HolderId("anna")
SOON = NOON.replace(microsecond=0) + timedelta(days=10)


async def done(store: Store, card: CardRecord, *changes: Change) -> CardRecord:
    """Make a card with these changes; return it as it is kept."""
    await begin(store, card, *changes, OperationClosed(code="done"))
    return await read(store, card)


async def with_credential(store: Store, **changed: Any) -> CardRecord:
    return await done(store, a_card(), CredentialChanged(credential=a_credential(**changed)))


async def apply(store: Store, card: CardRecord, *changes: Change) -> CardRecord:
    """Run another operation on a card."""
    lease = await store.cards.open(an_opening(card, HERE, new=False))
    await store.cards.apply(lease, [*changes, OperationClosed(code="done")])
    return await read(store, card)


def now(card: CardRecord, state: State) -> CredentialChanged:
    assert card.credential is not None
    return CredentialChanged(credential=replace(card.credential, state=state))


# --- of a holder ----------------------------------------------------------------------------------------


async def test_a_holder_has_cards(store: Store) -> None:
    first = await with_credential(store, holder=ANNA)
    await with_credential(store)
    revoked = await with_credential(store, holder=ANNA, state=State.REVOKED)
    for state in (State.RETIRED, State.DELETED):
        await with_credential(store, holder=ANNA, state=state)
    assert list(await store.credentials.of_holder(ANNA)) == [first, revoked]
    assert list(await store.credentials.of_holder(HolderId("ann"))) == []


async def test_a_card_is_not_its_former_holder_s(store: Store) -> None:
    card = await with_credential(store, holder=ANNA, state=State.REVOKED)
    card = await apply(store, card, CredentialChanged(credential=a_credential()))
    assert list(await store.credentials.of_holder(ANNA)) == []
    assert list(await store.credentials.of_holder(HolderId("8d3f"))) == [card]


async def test_a_card_that_is_being_made_is_its_holder_s_already(store: Store) -> None:
    bound = await with_credential(store, holder=ANNA)
    again = replace(an_opening(bound, HERE, new=False), holder=ANNA)
    await store.cards.open(again)
    fresh = a_card()
    lease = await store.cards.open(replace(an_opening(fresh, HERE), holder=ANNA))
    found = await store.credentials.of_holder(ANNA)
    assert list(found) == [await read(store, bound), await read(store, fresh)]
    await store.cards.apply(lease, [OperationClosed(code="cancelled", abandon=True)])
    assert list(await store.credentials.of_holder(ANNA)) == [await read(store, bound)]


# --- by id ----------------------------------------------------------------------------------------------


async def test_a_credential_leads_to_its_card_also_when_it_is_closed(store: Store) -> None:
    card = await with_credential(store)
    first = card.credential
    assert first is not None
    assert await store.credentials.by_credential(first.credential_id) == card
    card = await apply(store, card, now(card, State.RETIRED))
    second = a_credential()
    card = await apply(store, card, CredentialChanged(credential=second))
    retired = replace(first, state=State.RETIRED)
    assert await store.credentials.by_credential(first.credential_id) == replace(card, credential=retired)
    assert await store.credentials.by_credential(second.credential_id) == card
    assert await store.credentials.by_credential(a_credential().credential_id) is None


# --- by name --------------------------------------------------------------------------------------------


@pytest.fixture
async def people(store: Store) -> dict[str, CardRecord]:
    names = ("Zoë Müller", "anna  BERG", "Bernd 100%_Muster", "Straße", "C:\\Users")
    return {
        name: await with_credential(store, holder_name=name, holder=HolderId(f"Id-{index}"))
        for index, name in enumerate(names)
    }


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("BER", ["anna  BERG", "Bernd 100%_Muster"]),
        ("zoe\u0308 MÜLLER", ["Zoë Müller"]),
        ("Anna Berg", ["anna  BERG"]),
        ("STRASSE", ["Straße"]),
        ("%", ["Bernd 100%_Muster"]),
        ("_", ["Bernd 100%_Muster"]),
        ("\\", ["C:\\Users"]),
        ("0%_M", ["Bernd 100%_Muster"]),
        ("iD-3", ["Straße"]),
        ("berg\nid", []),
        ("nobody", []),
        ("", ["anna  BERG", "Bernd 100%_Muster", "C:\\Users", "Straße", "Zoë Müller"]),
    ],
)
async def test_people_are_found_by_a_part_of_name_or_id(
    store: Store, people: dict[str, CardRecord], text: str, names: list[str]
) -> None:
    assert list(await store.credentials.search(text, 10)) == [people[name] for name in names]


async def test_a_search_ends_at_its_limit(store: Store, people: dict[str, CardRecord]) -> None:
    assert list(await store.credentials.search("", 1)) == [people["anna  BERG"]]


async def test_a_closed_credential_is_not_found_by_name(store: Store) -> None:
    card = await with_credential(store, holder_name="Carla")
    card = await apply(store, card, now(card, State.REVOKED))
    assert list(await store.credentials.search("carla", 10)) == [card]
    await apply(store, card, now(card, State.RETIRED))
    assert list(await store.credentials.search("carla", 10)) == []


async def test_a_new_name_is_found_and_the_old_one_is_not(store: Store) -> None:
    card = await with_credential(store, holder_name="Carla")
    assert card.credential is not None
    married = replace(card.credential, holder_name="Carla Ö")
    card = await apply(store, card, CredentialChanged(credential=married))
    assert list(await store.credentials.search("ö", 10)) == [card]


# --- in the place of others ------------------------------------------------------------------------------


async def test_what_takes_the_place_of_another_is_found_while_something_is_left_to_do(store: Store) -> None:
    old = await with_credential(store, state=State.ACTIVE)
    assert old.credential is not None
    place = {"replaces": old.credential.credential_id}
    new = await with_credential(store, state=State.ISSUED, reason="damaged", **place)
    assert new.credential is not None
    assert (new.credential.replaces, new.credential.reason) == (old.credential.credential_id, "damaged")
    await with_credential(store, state=State.REVOKED, **place)
    assert list(await store.credentials.succeeding()) == [new]
    await apply(store, old, now(old, State.REVOKED))
    assert list(await store.credentials.succeeding()) == []
    stands_in = await with_credential(store, state=State.SUSPENDED, primary=new.credential.credential_id)
    await with_credential(store, state=State.RETIRED, primary=new.credential.credential_id)
    assert list(await store.credentials.succeeding()) == [stands_in]


async def test_a_cut_operation_remembers_whose_place_it_was_for(store: Store) -> None:
    old, other = await with_credential(store), await with_credential(store)
    assert old.credential is not None
    assert other.credential is not None
    old_id, other_id = old.credential.credential_id, other.credential.credential_id
    card = a_card()
    await store.cards.open(replace(an_opening(card, HERE), reason="lost", replaces=old_id, primary=other_id))
    assert list(await store.credentials.succeeding()) == []
    used = await apply(store, old, now(old, State.SUSPENDED))
    card = await read(store, card)
    assert list(await store.credentials.succeeding()) == [card]
    assert used.open_operation is None
    cut = card.open_operation
    assert cut is not None
    assert (cut.replaces, cut.primary, cut.reason) == (old_id, other_id, "lost")


@pytest.mark.parametrize("place", ["replaces", "primary"])
async def test_nothing_takes_the_place_of_what_never_was(store: Store, place: str) -> None:
    nothing: Any = {place: a_credential().credential_id}
    with pytest.raises(errors.StoreConflict):
        await store.cards.open(replace(an_opening(a_card(), HERE), **nothing))
    with pytest.raises(errors.StoreConflict):
        await with_credential(store, **nothing)


# --- by time --------------------------------------------------------------------------------------------


async def test_temporary_credentials_end(store: Store) -> None:
    later = await with_credential(store, state=State.ACTIVE, ends_at=SOON)
    first = await with_credential(store, state=State.SUSPENDED, ends_at=SOON - timedelta(days=1))
    await with_credential(store, state=State.ACTIVE)
    await with_credential(store, state=State.REVOKED, ends_at=SOON)
    await with_credential(store, state=State.REGISTERED, ends_at=SOON)
    assert list(await store.credentials.ending(SOON)) == [first, later]
    assert list(await store.credentials.ending(SOON - timedelta(microseconds=1))) == [first]


def certified(
    end: datetime, state: CertificateState = CertificateState.CONFIRMED, slot: Slot = Slot.SIGNATURE
) -> CertificateChanged:
    return CertificateChanged(certificate=a_certificate(slot=slot, state=state, certificate=der(end)))


def active() -> CredentialChanged:
    return CredentialChanged(credential=a_credential(state=State.ACTIVE))


async def test_certificates_expire(store: Store) -> None:
    late = SOON + timedelta(days=300)
    second = await done(store, a_card(), active(), certified(SOON), certified(late, slot=Slot.AUTHENTICATION))
    sooner = SOON - timedelta(days=1)
    both = (certified(SOON), certified(sooner, slot=Slot.AUTHENTICATION))
    first = await done(store, a_card(), active(), *both)
    await done(store, a_card(), active(), certified(late))
    assert list(await store.credentials.expiring(SOON)) == [first, second]
    assert list(await store.credentials.expiring(SOON - timedelta(microseconds=1))) == [first]
    assert list(await store.credentials.expiring(sooner - timedelta(microseconds=1))) == []


async def test_a_certificate_that_was_renewed_does_not_expire(store: Store) -> None:
    card = await done(store, a_card(), active(), certified(SOON))
    await apply(store, card, certified(SOON + timedelta(days=300)))
    assert list(await store.credentials.expiring(SOON)) == []


@pytest.mark.parametrize(
    "state", [CertificateState.ISSUED, CertificateState.REVOKED, CertificateState.REFUSED]
)
async def test_only_confirmed_certificates_expire(store: Store, state: CertificateState) -> None:
    await done(store, a_card(), active(), certified(SOON, state))
    assert list(await store.credentials.expiring(SOON)) == []


@pytest.mark.parametrize("state", [State.REVOKED, State.RETIRED, State.DELETED])
async def test_certificates_of_a_closed_credential_do_not_expire(store: Store, state: State) -> None:
    await done(store, a_card(), CredentialChanged(credential=a_credential(state=state)), certified(SOON))
    assert list(await store.credentials.expiring(SOON)) == []


async def test_what_is_no_certificate_is_kept_and_never_expires(store: Store) -> None:
    strange = a_certificate(state=CertificateState.REFUSED, certificate=b"\x30\x82")
    card = await done(store, a_card(), active(), CertificateChanged(certificate=strange))
    assert card.certificates == (strange,)
    assert list(await store.credentials.expiring(SOON)) == []


async def test_a_cut_operation_goes_stale_with_its_certificates(kept: Kept) -> None:
    store = kept.store

    async def cut(state: CertificateState) -> tuple[CardRecord, CertificateRecord, Lease]:
        card, certificate = a_card(), a_certificate(state=state)
        lease = await begin(store, card, CertificateChanged(certificate=certificate))
        kept.clock.time += timedelta(hours=1)
        return await read(store, card), certificate, lease

    asked, _, _ = await cut(CertificateState.REQUESTED)
    issued, certificate, lease = await cut(CertificateState.ISSUED)
    await cut(CertificateState.CONFIRMED)
    await begin(store, a_card())
    await done(store, a_card(), CertificateChanged(certificate=a_certificate()))
    later = kept.clock.time + timedelta(days=1)
    assert list(await store.credentials.stale(later, 10)) == [asked, issued]
    assert list(await store.credentials.stale(later, 1)) == [asked]
    assert list(await store.credentials.stale(NOON + timedelta(hours=1), 10)) == [asked]
    assert list(await store.credentials.stale(NOON, 10)) == []
    settled = CertificateChanged(certificate=replace(certificate, state=CertificateState.REVOKED))
    await store.cards.apply(lease, [settled])
    assert list(await store.credentials.stale(later, 10)) == [asked]


async def test_what_is_cared_for_already_is_not_stale(store: Store) -> None:
    """Its authority is asked, or the certificate belongs to a credential in use and goes with it."""
    card, certificate = a_card(), a_certificate(state=CertificateState.ISSUED)
    lease = await begin(store, card, CertificateChanged(certificate=certificate))
    assert len(await store.credentials.stale(SOON, 10)) == 1
    await store.cards.apply(lease, [CertificateTaskAsked(task=a_task(card, certificate))])
    assert list(await store.credentials.stale(SOON, 10)) == []
    another = CertificateChanged(certificate=a_certificate(slot=Slot.SIGNATURE))
    await store.cards.apply(lease, [another])
    assert len(await store.credentials.stale(SOON, 10)) == 1
    credential = a_credential(state=State.ACTIVE)
    await store.cards.apply(lease, [CredentialChanged(credential=credential)])
    assert list(await store.credentials.stale(SOON, 10)) == []
    revoked = replace(credential, state=State.REVOKED)
    await store.cards.apply(lease, [CredentialChanged(credential=revoked)])
    assert len(await store.credentials.stale(SOON, 10)) == 1


async def test_a_template_is_in_use_while_a_credential_by_it_is(store: Store) -> None:
    assert not await store.credentials.templates_in_use()
    card, credential = a_card(), a_credential(state=State.SUSPENDED)
    lease = await begin(store, card, CredentialChanged(credential=credential))
    assert await store.credentials.templates_in_use() == {credential.template}
    revoked = replace(credential, state=State.REVOKED)
    await store.cards.apply(lease, [CredentialChanged(credential=revoked)])
    assert not await store.credentials.templates_in_use()


async def test_looking_costs_no_commit(store: Store) -> None:
    card = await with_credential(store)
    assert isinstance(card.credential, CredentialRecord)
    before = store.commits
    await store.credentials.of_holder(ANNA)
    await store.credentials.by_credential(card.credential.credential_id)
    await store.credentials.search("b", 1)
    await store.credentials.ending(SOON)
    await store.credentials.succeeding()
    await store.credentials.expiring(SOON)
    await store.credentials.stale(SOON, 1)
    await store.credentials.templates_in_use()
    assert store.commits == before
