"""A holder asks a second person for what the template lets holders do, and does it once it is approved."""

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import pytest

from server.authority.access import Caller
from server.authority.own_approvals import MOST_OF_ONE
from shared import errors
from shared.approvals import ApprovalState, ApprovalView, ApprovalWish
from shared.credential.approval import Way
from shared.credential.lifecycle import OperationKind
from shared.credential.model import HolderId
from shared.piv.ids import ProfileName
from tests.scenario.approving import Second
from tests.scenario.holders import ALICE, BADGE, BOBS_PIN, Kiosk
from tests.scenario.lab import BOB, Holder

NEW = "482615"
GUARDED = f"""{BADGE}
[[approval]]
operations = ["unblock", "reissue"]
"""


@pytest.fixture
async def kiosk() -> AsyncIterator[Kiosk]:
    made = await Kiosk.start(GUARDED)
    await made.lab.insert(ProfileName.YUBIKEY_5_7)
    await made.as_operator()
    lab = made.lab
    assert (await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")).error is None
    assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[BOBS_PIN]))).error is None
    await lab.settle()
    yield made
    await made.close()


async def by_password(kiosk: Kiosk) -> Caller:
    return await kiosk.enter(await kiosk.by_password(), "/kiosk.v1.SelfService/RequestApproval")


async def ask(
    kiosk: Kiosk,
    caller: Caller,
    way: Way = Way.UNBLOCK,
    *,
    card: str | None = None,
    holder: str = "",
    template: str = "",
    replaces: str = "",
) -> ApprovalView:
    """Ask for it; without `card` for the one of Bob."""
    card = str((await kiosk.the_card()).record_id) if card is None else card
    wish = ApprovalWish(way=way, card=card, holder=holder, template=template, replaces=replaces)
    return await kiosk.self_services.request_approval(caller, wish)


async def test_a_holder_asks_somebody_approves_the_holder_does_it(kiosk: Kiosk) -> None:
    second = await Second.hired(kiosk.lab)
    await kiosk.act(await kiosk.by_password())
    refused = await kiosk.lab.perform(OperationKind.UNBLOCK, Holder(new_pins=[NEW]))
    assert isinstance(refused.error, errors.ApprovalNeeded)
    caller = await by_password(kiosk)
    view = await ask(kiosk, caller, card=str(refused.error.facts["card"]))
    intent = view.intent
    assert (intent.requester, intent.requester_name) == (f"holder {BOB.holder}", BOB.name)
    assert (intent.holder, view.mine, view.open_to_me) == (BOB.holder, True, False)
    assert [each.request_id for each in await kiosk.self_services.approvals(caller)] == [view.request_id]
    assert isinstance(
        (await kiosk.lab.perform(OperationKind.UNBLOCK, Holder(new_pins=[NEW]))).error, errors.ApprovalNeeded
    )
    await second.approve(view.request_id)
    assert (await kiosk.lab.perform(OperationKind.UNBLOCK, Holder(new_pins=[NEW]))).error is None
    kept = await kiosk.lab.store.approvals.by_id(view.request_id)
    assert kept is not None
    assert kept.state is ApprovalState.SPENT
    again = await kiosk.lab.perform(OperationKind.UNBLOCK, Holder(new_pins=[BOBS_PIN]))
    assert isinstance(again.error, errors.ApprovalNeeded), "it is spent"


async def test_the_holder_is_no_second_person(kiosk: Kiosk) -> None:
    """Not as an operator, either: people are told apart by who they are."""
    second = await Second.hired(kiosk.lab)
    view = await ask(kiosk, await by_password(kiosk))
    book = kiosk.lab.store._book.state
    own = second.operator.operator_id
    book.operators[own] = replace(book.operators[own], holder=BOB.holder)
    with pytest.raises(errors.ApprovalRefused):
        await second.approve(view.request_id)


async def test_nobody_asks_for_anybody_else(kiosk: Kiosk) -> None:
    token = await kiosk.by_password(ALICE)
    caller = await kiosk.enter(token, "/kiosk.v1.SelfService/RequestApproval")
    with pytest.raises(errors.NotYours):
        await ask(kiosk, caller)
    with pytest.raises(errors.NotYours):
        await ask(kiosk, caller, card=str(uuid4()))
    with pytest.raises(errors.NotYours):
        await ask(kiosk, caller, Way.ISSUE, card="", holder=BOB.holder, template="employee")
    assert await kiosk.self_services.approvals(caller) == []


async def test_what_a_holder_may_not_do_is_not_asked_for(kiosk: Kiosk) -> None:
    caller = await by_password(kiosk)
    for way in (Way.RESUME, Way.READ_OUT, Way.UNBLOCK_CODE, Way.SET_ROLES, Way.UPDATE):
        with pytest.raises(errors.NotAllowed):
            await ask(kiosk, caller, way)
    with pytest.raises(errors.OtherProofNeeded):
        await ask(kiosk, caller, Way.REISSUE)
    with pytest.raises(errors.Invalid):
        await ask(kiosk, caller, Way.ACTIVATE)  # it takes no approval
    with pytest.raises(errors.NotAllowed):
        await ask(kiosk, caller, replaces=str(uuid4()))
    assert await kiosk.self_services.approvals(caller) == []


async def test_a_card_that_asks_for_its_own_unblocking_is_refused(kiosk: Kiosk) -> None:
    caller = await kiosk.enter(await kiosk.by_card(), "/kiosk.v1.SelfService/RequestApproval")
    with pytest.raises(errors.OtherProofNeeded):
        await ask(kiosk, caller)
    assert (await ask(kiosk, caller, Way.REISSUE)).mine


async def test_so_many_wait_for_one_holder(kiosk: Kiosk) -> None:
    caller = await by_password(kiosk)
    first = await ask(kiosk, caller)
    for _ in range(MOST_OF_ONE - 1):
        await ask(kiosk, caller)
    with pytest.raises(errors.TooManyAttempts):
        await ask(kiosk, caller)
    await kiosk.self_services.withdraw_approval(caller, first.request_id)
    await ask(kiosk, caller)


async def test_a_holder_takes_back_their_own_and_sees_no_other(kiosk: Kiosk) -> None:
    second = await Second.hired(kiosk.lab)
    await kiosk.as_operator()
    others = await second.ask(Way.UNBLOCK, holder=HolderId(BOB.holder))
    caller = await by_password(kiosk)
    own = await ask(kiosk, caller)
    assert [each.request_id for each in await kiosk.self_services.approvals(caller)] == [own.request_id]
    for unknown in (others.request_id, uuid4()):
        with pytest.raises(errors.NotYours):
            await kiosk.self_services.withdraw_approval(caller, unknown)
    taken = await kiosk.self_services.withdraw_approval(caller, own.request_id)
    assert taken.state is ApprovalState.WITHDRAWN
    with pytest.raises(errors.NotYours):
        await kiosk.self_services.withdraw_approval(caller, own.request_id)
