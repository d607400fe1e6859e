"""What every store must do with what directories are told of certificates."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from server.ports.store import (
    AuditKind,
    AuditRecord,
    CertificateChanged,
    CertificateTaskAsked,
    Lease,
    StateChanged,
    Store,
    WriteBackAsked,
)
from server.ports.write_back import WriteBack, WriteBackAction
from shared.credential.model import (
    NEVER,
    CardRecord,
    CertificateAction,
    CertificateRecord,
    CertificateState,
    HolderId,
    State,
)
from tests.contract.stores import begin, conflict
from tests.server.store.examples import NOON, a_card, a_certificate, a_task, der

TOLD = AuditRecord(kind=AuditKind.TRANSITION, event="certificate-published", actor="server", subject="1")
LATER = NOON + timedelta(hours=1)


def an_entry(card: CardRecord, certificate: CertificateRecord, **changed: Any) -> WriteBack:
    plain = WriteBack(
        request_id=certificate.request_id,
        record_id=card.record_id,
        connection="people",
        holder=HolderId("7a7e7c6e-0001"),
        action=WriteBackAction.PUBLISH,
        asked_at=NOON,
        next_at=NOON,
    )
    return replace(plain, **changed)


async def asked(store: Store, **changed: Any) -> tuple[CardRecord, WriteBack, Lease]:
    """Return a card whose certificate its directory is to be told of."""
    card = a_card()
    certificate = a_certificate(state=CertificateState.CONFIRMED, certificate=der(LATER))
    entry = an_entry(card, certificate, **changed)
    lease = await begin(store, card, CertificateChanged(certificate=certificate), WriteBackAsked(entry=entry))
    return card, entry, lease


async def test_what_was_published_is_remembered_with_evidence_in_one_commit(store: Store) -> None:
    card, entry, _ = await asked(store)
    assert list(await store.write_backs.waiting()) == [entry]
    before = store.commits
    assert await store.write_backs.settle(entry, TOLD)
    assert store.commits == before + 1
    assert list(await store.write_backs.waiting()) == []
    (kept,) = await store.write_backs.of_card(card.record_id)
    assert kept == replace(entry, done=True, attempts=1, next_at=NEVER)
    assert not kept.given_up
    assert [each.record for each in await store.audit.page(1, 10)] == [TOLD]
    assert await store.write_backs.count("people") == 1
    assert await store.write_backs.count("other") == 0


async def test_what_failed_waits_for_its_time(store: Store) -> None:
    _, entry, _ = await asked(store)
    assert await store.write_backs.failed(entry, "down", LATER)
    assert list(await store.write_backs.due(NOON, 10)) == []
    (due,) = await store.write_backs.due(LATER, 10)
    assert due == replace(entry, failure="down", attempts=1, next_at=LATER)


async def test_each_directory_gets_no_more_than_its_share(store: Store) -> None:
    entries = [(await asked(store))[1] for _ in range(3)]
    _, other, _ = await asked(store, connection="other")
    due = await store.write_backs.due(NOON, 2)
    assert [each.connection for each in due].count("people") == 2
    assert other in due
    assert {each.request_id for each in due} <= {each.request_id for each in (*entries, other)}


@pytest.mark.parametrize("published", [True, False])
async def test_a_revocation_that_is_asked_for_withdraws_in_the_same_commit(
    store: Store, *, published: bool
) -> None:
    card, entry, lease = await asked(store)
    if published:
        await store.write_backs.settle(entry, TOLD)
    (certificate,) = (await store.cards.card(card.record_id)).certificates  # type: ignore[union-attr]  # it was just made
    task = a_task(card, certificate, asked_at=LATER, next_at=LATER)
    before = store.commits
    await store.cards.apply(lease, [CertificateTaskAsked(task=task)])
    assert store.commits == before + 1
    (waiting,) = await store.write_backs.waiting()
    assert waiting == replace(entry, action=WriteBackAction.WITHDRAW, asked_at=LATER, next_at=LATER)
    assert await store.write_backs.settle(waiting, TOLD)
    assert list(await store.write_backs.of_card(card.record_id)) == []


@pytest.mark.parametrize("action", [CertificateAction.HOLD, CertificateAction.RELEASE])
async def test_what_may_come_back_stays(store: Store, action: CertificateAction) -> None:
    card, entry, lease = await asked(store)
    (certificate,) = (await store.cards.card(card.record_id)).certificates  # type: ignore[union-attr]  # it was just made
    task = a_task(card, certificate, action=action)
    await store.cards.apply(lease, [CertificateTaskAsked(task=task), StateChanged(state=State.SUSPENDED)])
    assert list(await store.write_backs.waiting()) == [entry]


@pytest.mark.parametrize("state", [State.REVOKED, State.RETIRED, State.DELETED, State.UNREGISTERED])
async def test_a_card_that_is_out_of_use_for_good_has_nothing_in_a_directory(
    store: Store, state: State
) -> None:
    card, entry, lease = await asked(store)
    await store.write_backs.settle(entry, TOLD)
    await store.cards.apply(lease, [StateChanged(state=state)])
    (waiting,) = await store.write_backs.waiting()
    assert (waiting.record_id, waiting.action) == (card.record_id, WriteBackAction.WITHDRAW)
    assert not waiting.done


async def test_what_was_decided_meanwhile_is_not_settled_by_what_was_done_before(store: Store) -> None:
    card, entry, lease = await asked(store)
    await store.cards.apply(lease, [StateChanged(state=State.REVOKED)])
    assert not await store.write_backs.settle(entry, TOLD)
    assert not await store.write_backs.failed(entry, "down", LATER)
    assert not await store.write_backs.give_up(entry, "gone", TOLD)
    (waiting,) = await store.write_backs.waiting()
    assert (waiting.action, waiting.attempts) == (WriteBackAction.WITHDRAW, 0)
    assert card.record_id == waiting.record_id


async def test_what_is_given_up_is_kept_and_says_so(store: Store) -> None:
    _, entry, _ = await asked(store)
    assert await store.write_backs.give_up(entry, "no room", TOLD)
    (kept,) = await store.write_backs.waiting()
    assert (kept.failure, kept.given_up) == ("no room", True)
    assert list(await store.write_backs.due(NOON + timedelta(days=365), 10)) == []


async def test_another_cards_certificate_is_nobodys(store: Store) -> None:
    card, _, lease = await asked(store)
    strange = a_certificate()
    with conflict("reference"):
        await store.cards.apply(lease, [WriteBackAsked(entry=an_entry(card, strange))])
    other, _, _ = await asked(store)
    (theirs,) = (await store.cards.card(other.record_id)).certificates  # type: ignore[union-attr]  # it was just made
    with conflict("reference"):
        await store.cards.apply(lease, [WriteBackAsked(entry=an_entry(other, theirs))])
