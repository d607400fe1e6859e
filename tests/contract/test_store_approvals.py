"""What every store must do with requests for approval."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from server.ports.approvals import ApprovalRecord, ApprovalSignature, ApprovalState
from server.ports.store import ApprovalSpent, AuditKind, AuditRecord, Store
from shared.credential.model import StationId
from tests.contract.stores import HERE, begin, conflict
from tests.server.store.examples import NOON, a_card, an_opening, an_operator

LATER = NOON + timedelta(hours=1)
END = NOON + timedelta(hours=24)
ACTED = AuditRecord(kind=AuditKind.OPERATION, event="approval-asked", actor="somebody")


def a_request(**changed: Any) -> ApprovalRecord:
    record = ApprovalRecord(
        request_id=uuid4(), intent=b"intent", state=ApprovalState.OPEN, asked_at=NOON, expires_at=END
    )
    return replace(record, **changed)


async def asked(store: Store, **changed: Any) -> ApprovalRecord:
    record = a_request(**changed)
    await store.approvals.add(record, ACTED)
    return record


async def a_signature(store: Store, certificate: bytes = b"certificate") -> ApprovalSignature:
    operator = an_operator(name=f"operator {uuid4()}")
    await store.operators.add(operator, ACTED)
    return ApprovalSignature(
        text=uuid4().bytes,
        certificate=certificate,
        signature=b"signature",
        station_id=StationId(HERE),
        signed_at=LATER,
        operator_id=operator.operator_id,
    )


async def kept(store: Store, request_id: UUID) -> ApprovalRecord:
    found = await store.approvals.by_id(request_id)
    assert found is not None
    return found


async def events(store: Store, event: str) -> list[str]:
    return [each.record.subject for each in await store.audit.page(0, 1000) if each.record.event == event]


async def test_a_request_is_kept_with_what_was_signed(store: Store) -> None:
    request = await asked(store)
    signature = await a_signature(store)
    await store.approvals.sign(request.request_id, signature, LATER, ACTED)
    assert await store.approvals.by_id(request.request_id) == replace(request, signatures=(signature,))
    assert await store.approvals.by_id(uuid4()) is None


async def test_a_request_is_asked_once(store: Store) -> None:
    request = await asked(store)
    with conflict("approval"):
        await store.approvals.add(request, ACTED)


async def test_the_oldest_waits_first_and_the_newest_is_listed_first(store: Store) -> None:
    first, second = await asked(store), await asked(store)
    over = await asked(store, expires_at=LATER)
    assert [each.request_id for each in await store.approvals.waiting(LATER)] == [
        first.request_id,
        second.request_id,
    ]
    newest = await store.approvals.newest(2)
    assert [each.request_id for each in newest] == [over.request_id, second.request_id]


async def test_a_certificate_signs_a_request_once(store: Store) -> None:
    request, other = await asked(store), await asked(store)
    signature = await a_signature(store)
    await store.approvals.sign(request.request_id, signature, LATER, ACTED)
    with conflict("approval_signature"):
        await store.approvals.sign(request.request_id, replace(signature, text=b"other"), LATER, ACTED)
    with conflict("approval_signature"):  # one text is one approval
        await store.approvals.sign(other.request_id, signature, LATER, ACTED)
    assert len((await kept(store, request.request_id)).signatures) == 1


async def test_nothing_is_signed_after_the_end(store: Store) -> None:
    signature = await a_signature(store)
    for state in set(ApprovalState) - {ApprovalState.OPEN, ApprovalState.SPENT}:
        request = await asked(store)
        await store.approvals.close(request.request_id, state, "", ACTED)
        with conflict("approval"):
            await store.approvals.sign(request.request_id, signature, LATER, ACTED)
    request = await asked(store)
    with conflict("approval"):
        await store.approvals.sign(request.request_id, signature, END, ACTED)
    with conflict("approval"):
        await store.approvals.sign(uuid4(), signature, LATER, ACTED)


async def test_what_was_declined_is_neither_spent_nor_declined_again(store: Store) -> None:
    request = await asked(store)
    await store.approvals.close(request.request_id, ApprovalState.DECLINED, "not her", ACTED)
    with conflict("approval"):
        await store.approvals.close(request.request_id, ApprovalState.WITHDRAWN, "", ACTED)
    with conflict("approval"):
        await store.approvals.spend(request.request_id, LATER, ACTED)
    assert (await kept(store, request.request_id)).why == "not her"


async def test_an_operation_spends_a_request_in_the_commit_that_opens_it(store: Store) -> None:
    request, card = await asked(store), a_card()
    lease = await begin(store, card, ApprovalSpent(request_id=request.request_id))
    spent = await kept(store, request.request_id)
    assert spent.state is ApprovalState.SPENT
    assert (spent.spent_by, spent.spent_on) == (lease.operation_id, card.record_id)
    assert spent.spent_at is not None
    assert await store.approvals.spent_by(lease.operation_id) == spent
    assert list(await store.approvals.spent_on(card.record_id)) == [spent]
    assert await store.approvals.waiting(LATER) == ()


async def test_a_request_is_spent_once_and_nothing_is_opened_with_it_again(store: Store) -> None:
    request, first, second = await asked(store), a_card(), a_card(serial=4712)
    await begin(store, first, ApprovalSpent(request_id=request.request_id))
    with conflict("approval"):
        await store.cards.open(an_opening(second, HERE, ApprovalSpent(request_id=request.request_id)))
    assert await store.cards.card(second.record_id) is None


async def test_what_has_expired_ends_once_with_evidence(store: Store) -> None:
    request, other = await asked(store), await asked(store, expires_at=END + timedelta(hours=1))

    async def expire(now: datetime) -> list[UUID]:
        return list(await store.approvals.expire(now))

    assert await expire(LATER) == []
    assert await expire(END) == [request.request_id]
    assert await expire(END) == []
    assert (await kept(store, request.request_id)).state is ApprovalState.EXPIRED
    assert (await kept(store, other.request_id)).state is ApprovalState.OPEN
    assert await events(store, "approval-expired") == [str(request.request_id)]


async def test_an_act_spends_a_request_without_a_card(store: Store) -> None:
    request = await asked(store)
    await store.approvals.spend(request.request_id, LATER, ACTED)
    spent = await kept(store, request.request_id)
    assert (spent.state, spent.spent_by, spent.spent_on) == (ApprovalState.SPENT, None, None)
    assert spent.spent_at == LATER
    with conflict("approval"):
        await store.approvals.spend(request.request_id, LATER, ACTED)
