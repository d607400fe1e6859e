"""What every store must do with work that waits: tasks of certificate authorities, unblock codes, jobs."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from server.ports.store import (
    AuditKind,
    AuditRecord,
    CertificateChanged,
    CertificateTaskAsked,
    CertificateTaskDone,
    CodeEnded,
    CredentialChanged,
    JobRecord,
    Lease,
    Store,
    UnblockCode,
)
from shared import errors
from shared.credential.model import (
    NEVER,
    CardRecord,
    CertificateAction,
    CertificateRecord,
    CertificateState,
    CertificateTask,
    CredentialId,
)
from shared.piv.ids import Slot
from tests.contract.stores import HERE, begin, conflict, read
from tests.server.store.examples import (
    EVIDENCE,
    NOON,
    a_card,
    a_certificate,
    a_credential,
    a_task,
    an_opening,
    der,
)

ACTED = AuditRecord(kind=AuditKind.TRANSITION, event="certificate-revoked", actor="server", subject="1")
LATER = NOON + timedelta(hours=1)
CONFIRMED = CertificateState.CONFIRMED


async def certified(
    store: Store, state: CertificateState = CONFIRMED
) -> tuple[CardRecord, CertificateRecord, Lease]:
    """Return a card with a certificate that tasks can be about, and the lease to ask for them."""
    card, certificate = a_card(), a_certificate(state=state, certificate=der(LATER.replace(microsecond=0)))
    lease = await begin(store, card, CertificateChanged(certificate=certificate))
    return card, certificate, lease


async def ask(store: Store, lease: Lease, *tasks: CertificateTask) -> None:
    await store.cards.apply(lease, [CertificateTaskAsked(task=task) for task in tasks])


async def state(store: Store, card: CardRecord) -> CertificateState:
    (certificate,) = (await read(store, card)).certificates
    return certificate.state


async def acts(store: Store) -> Sequence[AuditRecord]:
    return [entry.record for entry in await store.audit.page(1, 100)]


# --- tasks ----------------------------------------------------------------------------------------------


async def test_a_task_is_kept_with_its_card_until_it_is_done(store: Store) -> None:
    card, certificate, lease = await certified(store)
    task = a_task(card, certificate, failure="down", attempts=3)
    await ask(store, lease, task)
    assert (await read(store, card)).tasks == (task,)
    assert list(await store.tasks.all()) == [task]
    before = store.commits
    assert await store.tasks.done(task, ACTED)
    assert store.commits == before + 1
    assert (await read(store, card)).tasks == ()
    assert list(await store.tasks.all()) == []
    assert await acts(store) == [ACTED]


@pytest.mark.parametrize(
    ("action", "before", "after"),
    [
        (CertificateAction.REVOKE, CONFIRMED, CertificateState.REVOKED),
        (CertificateAction.REVOKE, CertificateState.HELD, CertificateState.REVOKED),
        (CertificateAction.HOLD, CONFIRMED, CertificateState.HELD),
        (CertificateAction.RELEASE, CertificateState.HELD, CONFIRMED),
        (CertificateAction.RELEASE, CertificateState.REVOKED, CertificateState.REVOKED),
        (CertificateAction.HOLD, CertificateState.REVOKED, CertificateState.REVOKED),
    ],
)
async def test_a_task_that_is_done_shows_in_its_certificate(
    store: Store, action: CertificateAction, before: CertificateState, after: CertificateState
) -> None:
    card, certificate, lease = await certified(store, before)
    task = a_task(card, certificate, action=action)
    await ask(store, lease, task)
    assert await store.tasks.done(task, ACTED)
    assert (await read(store, card)).certificates == (replace(certificate, state=after),)


async def test_an_authority_may_have_more_to_say(store: Store) -> None:
    card, never, found = a_card(), a_certificate(), a_certificate(slot=Slot.AUTHENTICATION)
    lease = await begin(store, card, *(CertificateChanged(certificate=each) for each in (never, found)))
    tasks = [a_task(card, each) for each in (never, found)]
    await ask(store, lease, *tasks)
    refused = replace(never, state=CertificateState.REFUSED)
    revoked = replace(found, state=CertificateState.REVOKED, certificate=der(LATER.replace(microsecond=0)))
    for task, became in zip(tasks, (refused, revoked), strict=True):
        assert await store.tasks.done(task, ACTED, became)
    assert (await read(store, card)).certificates == (refused, revoked)


async def test_the_newest_wish_replaces_the_one_before(store: Store) -> None:
    card, certificate, lease = await certified(store)
    hold = a_task(card, certificate, action=CertificateAction.HOLD, attempts=5, failure="down")
    revoke = a_task(card, certificate, asked_at=LATER)
    await ask(store, lease, hold, revoke)
    assert (await read(store, card)).tasks == (revoke,)
    assert not await store.tasks.failed(hold, "refused", LATER)
    assert not await store.tasks.done(hold, ACTED)
    assert await acts(store) == [ACTED]
    assert list(await store.tasks.all()) == [revoke]
    assert await state(store, card) is CONFIRMED
    again = replace(revoke, asked_at=LATER + timedelta(microseconds=1))
    await ask(store, lease, again)
    assert not await store.tasks.done(revoke, ACTED)
    assert list(await store.tasks.all()) == [again]


async def test_a_failure_is_counted_and_tried_again_later(store: Store) -> None:
    card, certificate, lease = await certified(store)
    task = a_task(card, certificate)
    await ask(store, lease, task)
    for attempts, failure in ((1, "down"), (2, "still down")):
        assert await store.tasks.failed(task, failure, LATER)
        assert list(await store.tasks.all()) == [
            replace(task, attempts=attempts, failure=failure, next_at=LATER)
        ]
    assert await state(store, card) is CONFIRMED
    assert await acts(store) == []
    assert await store.tasks.done(task, ACTED)  # whoever saw it before the failures did it after all
    assert not await store.tasks.failed(task, "late", LATER)


async def test_due_are_the_tasks_whose_time_has_come_the_oldest_wish_first(store: Store) -> None:
    tasks = []
    for asked, due in ((3, 5), (1, 5), (0, 9), (1, 1)):
        card, certificate, lease = await certified(store)
        asked_at, next_at = NOON + timedelta(minutes=asked), NOON + timedelta(minutes=due)
        task = a_task(card, certificate, asked_at=asked_at, next_at=next_at)
        await ask(store, lease, task)
        tasks.append(task)
    last, first, _, second = tasks
    assert list(await store.tasks.due(NOON + timedelta(minutes=5), 10)) == [first, second, last]
    assert list(await store.tasks.due(NOON + timedelta(minutes=5), 2)) == [first, second]
    assert list(await store.tasks.due(NOON + timedelta(minutes=1), 10)) == [second]
    assert list(await store.tasks.due(NOON, 10)) == []
    assert list(await store.tasks.all()) == tasks


async def test_the_many_tasks_of_one_authority_do_not_hide_those_of_another(store: Store) -> None:
    tasks = []
    for connection in ("asleep", "asleep", "asleep", "awake"):
        card, certificate, lease = await certified(store)
        task = a_task(card, certificate, connection=connection)
        await ask(store, lease, task)
        tasks.append(task)
    assert list(await store.tasks.due(LATER, 2)) == [tasks[0], tasks[1], tasks[3]]


async def test_a_task_that_is_given_up_is_kept_and_not_due(store: Store) -> None:
    card, certificate, lease = await certified(store)
    task = a_task(card, certificate, attempts=9, failure="down")
    await ask(store, lease, task)
    before = store.commits
    assert await store.tasks.give_up(task, "the authority is gone", ACTED)
    assert store.commits == before + 1
    (kept,) = await store.tasks.all()
    assert kept == replace(task, failure="the authority is gone", next_at=NEVER)
    assert kept.given_up
    assert not task.given_up
    assert list(await store.tasks.due(LATER + timedelta(days=3650), 10)) == []
    assert await state(store, card) is CONFIRMED
    assert await acts(store) == [ACTED]
    newer = replace(task, asked_at=LATER)
    await ask(store, lease, newer)
    assert list(await store.tasks.all()) == [newer]
    assert not await store.tasks.give_up(task, "late", ACTED)
    assert list(await store.tasks.all()) == [newer]
    assert await acts(store) == [ACTED]


async def test_an_attempt_is_no_change_of_the_card(store: Store) -> None:
    """Who was asked for a PIN meanwhile need not begin again; what an authority did is a change."""
    card, certificate, lease = await certified(store)
    task = a_task(card, certificate)
    await ask(store, lease, task)
    seen = await read(store, card)
    assert await store.tasks.failed(task, "down", LATER)
    opening = an_opening(card, HERE)
    going_on = replace(opening, operation_id=lease.operation_id, new_card=None, seen=seen)
    await store.cards.open(going_on)
    assert await store.tasks.done(task, ACTED)
    with conflict("card"):
        await store.cards.open(going_on)


async def test_an_operation_may_do_a_task_itself(store: Store) -> None:
    card, certificate, lease = await certified(store)
    other, other_certificate, other_lease = await certified(store)
    task, others = a_task(card, certificate), a_task(other, other_certificate)
    await ask(store, lease, task)
    await ask(store, other_lease, others)
    await store.cards.apply(lease, [CertificateTaskDone(request_id=others.request_id)])
    assert list(await store.tasks.all()) == [task, others]
    await store.cards.apply(lease, [CertificateTaskDone(request_id=task.request_id)])
    assert list(await store.tasks.all()) == [others]
    assert await state(store, card) is CONFIRMED


async def test_a_task_is_about_a_certificate_of_its_card(store: Store) -> None:
    card, certificate, lease = await certified(store)
    other, other_certificate, _ = await certified(store)
    with conflict("reference"):
        await ask(store, lease, a_task(card, a_certificate()))
    with conflict("reference"):
        await ask(store, lease, a_task(card, other_certificate))
    with pytest.raises(errors.Invalid):
        await ask(store, lease, a_task(other, certificate))
    assert list(await store.tasks.all()) == []


# --- unblock codes --------------------------------------------------------------------------------------


async def a_code(store: Store, **changed: object) -> UnblockCode:
    """Return a code for a credential that exists; it is not stored yet."""
    credential = a_credential()
    await begin(store, a_card(), CredentialChanged(credential=credential))
    plain = UnblockCode(
        credential_id=credential.credential_id, digest=b"right" * 4, expires_at=LATER, attempts_left=3
    )
    return replace(plain, **changed)  # type: ignore[arg-type]  # whichever field


async def test_a_code_is_redeemed_once(store: Store) -> None:
    code = await a_code(store)
    await store.codes.add(code, EVIDENCE)
    assert await acts(store) == [EVIDENCE]
    came = await asyncio.gather(
        *(store.codes.redeem(code.credential_id, code.digest, NOON) for _ in range(5))
    )
    assert sorted(came) == [False] * 4 + [True]


async def test_a_code_is_redeemed_in_one_commit(store: Store) -> None:
    code = await a_code(store)
    await store.codes.add(code, EVIDENCE)
    before = store.commits
    assert await store.codes.redeem(code.credential_id, code.digest, NOON)
    assert store.commits == before + 1


@pytest.mark.parametrize(("wrong", "redeemed"), [(2, True), (3, False)])
async def test_a_code_is_gone_after_wrong_ones(store: Store, wrong: int, redeemed: bool) -> None:  # noqa: FBT001  # a case
    code = await a_code(store)
    await store.codes.add(code, EVIDENCE)
    for guess in range(wrong):
        assert not await store.codes.redeem(code.credential_id, bytes([guess]) * 20, NOON)
    assert await store.codes.redeem(code.credential_id, code.digest, NOON) is redeemed


async def test_a_code_of_another_credential_does_not_fit(store: Store) -> None:
    code, other = await a_code(store), await a_code(store, digest=b"other" * 4)
    await store.codes.add(code, EVIDENCE)
    assert not await store.codes.redeem(other.credential_id, code.digest, NOON)
    await store.codes.add(other, EVIDENCE)
    assert not await store.codes.redeem(other.credential_id, code.digest, NOON)
    assert await store.codes.redeem(code.credential_id, code.digest, NOON)


async def test_a_code_expires(store: Store) -> None:
    code = await a_code(store)
    await store.codes.add(code, EVIDENCE)
    assert not await store.codes.redeem(code.credential_id, code.digest, LATER)
    assert not await store.codes.redeem(code.credential_id, code.digest, NOON)


async def test_the_newest_code_counts_with_all_its_attempts(store: Store) -> None:
    first = await a_code(store, attempts_left=1)
    second = replace(first, digest=b"newer" * 4, attempts_left=2)
    await store.codes.add(first, EVIDENCE)
    await store.codes.add(second, EVIDENCE)
    assert not await store.codes.redeem(first.credential_id, first.digest, NOON)
    assert await store.codes.redeem(first.credential_id, second.digest, NOON)


async def test_a_code_that_is_checked_stays(store: Store) -> None:
    code = await a_code(store)
    await store.codes.add(code, EVIDENCE)
    for _ in range(2):
        assert await store.codes.check(code.credential_id, code.digest, NOON)
    assert await store.codes.redeem(code.credential_id, code.digest, NOON)
    assert not await store.codes.check(code.credential_id, code.digest, NOON)


@pytest.mark.parametrize(("wrong", "left"), [(2, True), (3, False)])
async def test_checking_wrong_codes_costs_attempts(store: Store, wrong: int, left: bool) -> None:  # noqa: FBT001  # a case
    code = await a_code(store)
    await store.codes.add(code, EVIDENCE)
    for guess in range(wrong):
        assert not await store.codes.check(code.credential_id, bytes([guess]) * 20, NOON)
    assert await store.codes.check(code.credential_id, code.digest, NOON) is left


async def test_a_code_ends_with_the_commit_that_does_what_it_is_for(store: Store) -> None:
    card, credential = a_card(), a_credential()
    lease = await begin(store, card, CredentialChanged(credential=credential))
    code = UnblockCode(
        credential_id=credential.credential_id, digest=b"right" * 4, expires_at=LATER, attempts_left=3
    )
    await store.codes.add(code, EVIDENCE)
    other = await a_code(store)
    await store.codes.add(other, EVIDENCE)
    for _ in range(2):
        await store.cards.apply(lease, [CodeEnded(credential_id=code.credential_id)])
    assert not await store.codes.redeem(code.credential_id, code.digest, NOON)
    assert await store.codes.redeem(other.credential_id, other.digest, NOON)


async def test_a_code_needs_a_credential_and_an_attempt(store: Store) -> None:
    code = await a_code(store)
    with conflict("reference"):
        unknown: CredentialId = a_credential().credential_id
        await store.codes.add(replace(code, credential_id=unknown), EVIDENCE)
    with pytest.raises(errors.Invalid):
        await store.codes.add(replace(code, attempts_left=0), EVIDENCE)
    assert await acts(store) == []


async def test_what_a_code_is_judged_by_is_not_shown(store: Store) -> None:
    code = await a_code(store)
    assert "right" not in repr(code)


# --- jobs -----------------------------------------------------------------------------------------------


async def test_a_job_is_done_by_one_process_at_a_time(store: Store) -> None:
    came = await asyncio.gather(*(store.jobs.begin("revoke", f"server-{n}", NOON, 60) for n in range(5)))
    assert sorted(came) == [False] * 4 + [True]
    assert await store.jobs.begin("expire", "server-9", NOON, 60)
    (_, taken) = await store.jobs.all()
    assert taken.expires_at == NOON + timedelta(seconds=60)


async def test_a_job_that_ended_may_begin_again(store: Store) -> None:
    assert await store.jobs.begin("revoke", "one", NOON, 60)
    soon = NOON + timedelta(seconds=1)
    assert not await store.jobs.begin("revoke", "one", soon, 60)
    assert not await store.jobs.end("revoke", "two", soon, "not mine")
    assert not await store.jobs.end("expire", "one", soon, "never began")
    assert await store.jobs.end("revoke", "one", soon, "3 done")
    ended = JobRecord(name="revoke", holder="one", expires_at=soon, last_run_at=soon, note="3 done")
    assert list(await store.jobs.all()) == [ended]
    assert await store.jobs.begin("revoke", "two", soon, 0.5)
    running = replace(ended, holder="two", expires_at=soon + timedelta(seconds=0.5))
    assert list(await store.jobs.all()) == [running]


async def test_a_job_whose_process_died_is_taken_over(store: Store) -> None:
    assert await store.jobs.begin("revoke", "dead", NOON, 60)
    after = NOON + timedelta(seconds=60)
    assert not await store.jobs.begin("revoke", "next", after - timedelta(microseconds=1), 60)
    assert await store.jobs.begin("revoke", "next", after, 60)
    assert not await store.jobs.end("revoke", "dead", after, "late")
    assert [job.name for job in await store.jobs.all()] == ["revoke"]


async def test_a_server_that_is_alone_takes_every_job_from_a_dead_one(store: Store) -> None:
    assert await store.jobs.begin("revoke", "dead", NOON, 3600)
    assert await store.jobs.begin("expire", "dead", NOON, 1)
    soon = NOON + timedelta(seconds=2)
    await store.jobs.release_all(soon)
    expired, taken = await store.jobs.all()
    assert (expired.expires_at, taken.expires_at) == (NOON + timedelta(seconds=1), soon)
    assert await store.jobs.begin("revoke", "next", soon, 60)
