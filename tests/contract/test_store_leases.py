"""What every store must do with a station that says that it has a card, and does not show it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from server.ports.store import OperationClosed, StateChanged, Store
from server.store.rules import LEASE_PROVEN_S, LEASE_UNPROVEN_S, LEASES_UNPROVEN
from shared import errors
from shared.credential.model import State
from tests.contract.stores import HERE, THERE, Kept, begin
from tests.server.store.examples import EVIDENCE, a_card, an_opening


async def test_a_claim_gives_way_to_a_card_that_proves_itself_elsewhere(store: Store) -> None:
    card = a_card()
    claim = await begin(store, card)
    await store.cards.apply(claim, [StateChanged(state=State.REGISTERED)])  # what is written proves nothing
    await store.cards.extend(claim)
    wanted = an_opening(card, THERE, new=False, operation_id=claim.operation_id)
    with pytest.raises(errors.CardLeased):
        await store.cards.open(wanted)
    taken = await store.cards.open(replace(wanted, firm=True))
    assert taken.epoch == claim.epoch + 1
    for late in (
        store.cards.apply(claim, [EVIDENCE]),
        store.cards.extend(claim),
        store.cards.apply(claim, [], proven=True),
    ):
        with pytest.raises(errors.LeaseLost):
            await late
    await store.cards.apply(taken, [EVIDENCE])


@pytest.mark.parametrize("how", ["opened", "written", "extended"])
async def test_a_card_that_has_proven_itself_gives_way_to_nobody(store: Store, how: str) -> None:
    card = a_card()
    opening = an_opening(card, HERE)
    lease = await store.cards.open(replace(opening, firm=how == "opened"))
    if how == "written":
        await store.cards.apply(lease, [EVIDENCE], proven=True)
        await store.cards.apply(lease, [EVIDENCE])  # once is enough
    elif how == "extended":
        await store.cards.extend(lease, proven=True)
    again = an_opening(card, THERE, new=False, operation_id=lease.operation_id)
    with pytest.raises(errors.CardLeased):
        await store.cards.open(replace(again, firm=True))
    await store.cards.apply(lease, [EVIDENCE])


async def test_a_station_claims_so_many_cards_and_no_more(store: Store) -> None:
    claims = [await begin(store, a_card(serial=number)) for number in range(LEASES_UNPROVEN)]
    more = a_card(serial=4711)
    with pytest.raises(errors.TooManyAttempts) as refused:
        await begin(store, more)
    assert refused.value.facts == {"seconds": LEASE_UNPROVEN_S}
    assert await store.cards.card(more.record_id) is None
    await store.cards.open(an_opening(a_card(), THERE))  # another station is another matter
    await store.cards.open(replace(an_opening(more, HERE), firm=True))
    for end in (
        store.cards.apply(claims[0], [EVIDENCE], proven=True),
        store.cards.apply(claims[1], [OperationClosed(code="done")]),
        store.cards.release(claims[2]),
    ):
        await end
        await begin(store, a_card(serial=None))
        with pytest.raises(errors.TooManyAttempts):
            await begin(store, a_card(serial=None))


async def test_the_card_that_is_claimed_is_gone_on_with(store: Store) -> None:
    cards = [a_card(serial=number) for number in range(LEASES_UNPROVEN)]
    claims = [await begin(store, card) for card in cards]
    again = an_opening(cards[0], HERE, new=False, operation_id=claims[0].operation_id)
    assert (await store.cards.open(again)).epoch == claims[0].epoch + 1


async def test_claims_that_ran_out_do_not_count(kept: Kept) -> None:
    for number in range(LEASES_UNPROVEN):
        await begin(kept.store, a_card(serial=number))
    kept.run_out()
    await begin(kept.store, a_card())


async def test_a_claim_ends_sooner_than_a_card_that_has_proven_itself() -> None:
    assert timedelta(seconds=LEASE_UNPROVEN_S) == timedelta(seconds=30)
    assert LEASE_PROVEN_S > LEASE_UNPROVEN_S
