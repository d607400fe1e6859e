"""Requests for approval: asked for, seen, approved with a card, declined, withdrawn.

Whoever may do something may ask for it, and be asked: a request is put before those who may do the same, but for who asked and
who it is for. Approvals by colleagues of the holder are given at a station where an operator is logged on.

Each step leaves evidence; what is spent is spent where it is done (`server.operations.approval`).

Source: card-rules section 7 (approvals).
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID, uuid4

from server.authority.access import Caller
from server.authority.acting import all_roles
from server.authority.approval_proof import ApprovalProofs
from server.authority.approval_wishes import doing_of
from server.authority.approved import (
    ApprovalPolicy,
    approvers,
    check_may_approve,
    colleague_with,
    intent_in,
    needs_for,
    people_in,
    person_of,
)
from server.authority.operator_cards import authorise_carried
from server.authority.places import at_station
from server.authority.policy import authorise, unrestricted
from server.operations.approval import Doing, intent_of, rule_of
from server.operations.services import Services
from server.ports.approvals import ApprovalRecord, ApprovalSignature
from server.ports.store import AuditKind, AuditRecord
from shared import errors
from shared.approval import NONCE_LENGTH, Intent, read_intent
from shared.approvals import MAX_NOTE, ApprovalState, ApprovalView, ApprovalWish, Signed
from shared.credential.approval import Approvers
from shared.errors import Fact
from shared.sessions import LogonProof

MOST_WAITING: Final = 1000
"""Requests that wait at a time."""
MOST_LISTED: Final = 500


class Approvals:
    """What stations ask about approvals, and what an administrator does."""

    def __init__(
        self,
        services: Services,
        proofs: ApprovalProofs,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Keep requests in the record of `services`; `proofs` judges cards, `random` draws nonces."""
        self._services = services
        self._store = services.store
        self._proofs = proofs
        self._random = random

    # --- asking -----------------------------------------------------------------------------------------

    async def request(self, caller: Caller, wish: ApprovalWish) -> ApprovalView:
        """Ask for approvals.

        Raises:
            LogonNeeded, NotAllowed: who asks may not do it either, or gives more than they have.
            Invalid: it takes no approval, or something that it needs is not named.
            UnknownCard, UnknownHolder, UnknownTemplate, HolderDisabled: what is named does not exist, or must not.
            TooManyAttempts: too many requests wait.
        """
        if caller.principal is None:
            raise errors.LogonNeeded
        doing = await doing_of(self._services, wish)
        authorise(caller.principal, needs_for(doing.way), doing.ref.name)
        if doing.roles:
            known = await all_roles(self._store.roles)
            authorise_carried(caller.principal, [known[name] for name in doing.roles if name in known])
        operator = caller.session.operator if caller.session is not None else None
        name = operator.name if operator is not None else caller.name
        return await self.ask(caller, doing, note=wish.note, name=name)

    async def ask(self, caller: Caller, doing: Doing, *, note: str, name: str) -> ApprovalView:
        """Ask for what the caller, who is called `name`, was found to be allowed to do; raises as `request`."""
        note = " ".join(note.split())
        if len(note) > MAX_NOTE:
            raise errors.Invalid(field="note", why=f"up to {MAX_NOTE} characters")
        rule = await rule_of(self._services, doing)
        if rule is None:
            raise errors.Invalid(field="operation", why="it takes no approval")
        now = self._services.clock.now()
        await self._store.approvals.expire(now)
        if len(await self._store.approvals.waiting(now)) >= MOST_WAITING:
            raise errors.TooManyAttempts(seconds=60)
        intent = replace(
            await intent_of(self._services, doing, rule),
            request_id=uuid4(),
            requester=caller.actor,
            requester_name=name,
            station=caller.station_id,
            nonce=self._random(NONCE_LENGTH),
            detail=note,
        )
        await self.add(intent, caller.actor)
        return await self._view(caller, await self._record(intent.request_id))

    async def add(self, intent: Intent, actor: str) -> None:
        """Keep a request, with evidence."""
        facts: dict[str, Fact] = {
            "operation": intent.way.value,
            "holder": intent.holder,
            "template": intent.template,
            "card": str(intent.card or ""),
            "digest": intent.digest.hex(),
        }
        record = ApprovalRecord(
            request_id=intent.request_id,
            intent=bytes(intent),
            state=ApprovalState.OPEN,
            asked_at=self._services.clock.now(),
            expires_at=intent.expires_at,
        )
        await self._store.approvals.add(record, _evidence("approval-asked", actor, intent.request_id, facts))

    # --- seeing -----------------------------------------------------------------------------------------

    async def list(self, caller: Caller) -> Sequence[ApprovalView]:
        """Return the requests that wait and that the caller may approve, or asked for, the oldest first."""
        now = self._services.clock.now()
        await self._store.approvals.expire(now)
        views = await self._views(caller, await self._store.approvals.waiting(now))
        return [view for view in views if view.mine or view.open_to_me][:MOST_LISTED]

    async def mine(self, caller: Caller) -> Sequence[ApprovalView]:
        """Return the requests of the caller that wait, the oldest first."""
        now = self._services.clock.now()
        await self._store.approvals.expire(now)
        return [
            view for view in await self._views(caller, await self._store.approvals.waiting(now)) if view.mine
        ]

    async def show(self, caller: Caller, request_id: UUID) -> ApprovalView:
        """Return one request, whatever became of it.

        Raises:
            LogonNeeded, NotAllowed: the caller neither asked for it nor may do what is asked for.
            Invalid: there is no such request.
        """
        await self._store.approvals.expire(self._services.clock.now())
        record = await self._record(request_id)
        view = await self._view(caller, record)
        if not view.mine:
            _check_sees(caller, view.intent)
        return view

    async def all(self) -> Sequence[ApprovalView]:
        """Return the newest requests, for an administrator."""
        await self._store.approvals.expire(self._services.clock.now())
        return await self._views(None, await self._store.approvals.newest(MOST_LISTED))

    async def _views(
        self, caller: Caller | None, records: Sequence[ApprovalRecord]
    ) -> Sequence[ApprovalView]:
        """Return requests as somebody may see them; a damaged row is none, and hides no other."""
        return [await self._view(caller, each) for each in records if intent_in(each) is not None]

    async def _view(self, caller: Caller | None, record: ApprovalRecord) -> ApprovalView:
        intent = read_intent(record.intent)
        found = await approvers(self._store, record, intent, self._services.clock.now(), standing=False)
        mine = caller is not None and caller.actor == intent.requester
        return ApprovalView(
            content=record.intent,
            state=record.state,
            signed=tuple(Signed(name=each.name, at=each.signed_at) for each in found),
            why=record.why,
            mine=mine,
            open_to_me=caller is not None
            and record.state is ApprovalState.OPEN
            and await self._is_open_to(caller, intent, {each.person for each in found}),
        )

    async def _is_open_to(self, caller: Caller, intent: Intent, already: set[str]) -> bool:
        """Whether the operator who is logged on may approve, or has colleagues approve, what is asked for."""
        if caller.session is None:
            return False
        operator = caller.session.operator
        try:
            await check_may_approve(self._store, operator, intent)
        except errors.NotAllowed:
            return False
        if intent.by is Approvers.COLLEAGUES:
            return True
        return person_of(operator) not in {*await people_in(self._store, intent), *already}

    # --- answering --------------------------------------------------------------------------------------

    async def challenge(self, caller: Caller, request_id: UUID, server: str) -> bytes:
        """Return a text for the approver's card to sign.

        Raises:
            ApprovalRefused: the request does not wait any more.
            NotAllowed: what is asked for is nothing that is done at this station.
            Invalid: there is no such request, or no name of this server.
            TooManyAttempts: this station, or all together, asked too often.
        """
        intent = await self._waiting(request_id)
        _check_here(caller, intent)
        return await self._proofs.challenge(caller, intent, server)

    async def approve(
        self, caller: Caller, request_id: UUID, proof: LogonProof, card: UUID | None
    ) -> ApprovalView:
        """Take somebody's approval: whose card signed. `card` is its record, where it is a colleague's.

        Raises:
            LogonRefused, TooManyAttempts: the proof does not count.
            ApprovalRefused: the request does not wait any more, or this person does not approve it.
            NotAllowed: this operator may not do what is asked for, or nobody may at this station.
            Invalid: there is no such request.
        """
        intent = await self._waiting(request_id)
        _check_here(caller, intent)
        policy = self._services.approvals or ApprovalPolicy()
        signature = ApprovalSignature(
            text=proof.text,
            certificate=proof.certificate,
            signature=proof.signature,
            station_id=caller.station_id,
            signed_at=self._services.clock.now(),
        )
        if intent.by is Approvers.COLLEAGUES:
            await self._proofs.anybody(caller, intent, proof)
            credential = await colleague_with(
                self._store, proof.certificate, card, intent, signature.signed_at
            )
            if credential is None:
                raise errors.ApprovalRefused(why="it is no active card of a colleague of the holder")
            person = str(credential.holder)
            signature = replace(signature, credential_id=credential.credential_id)
        else:
            operator = await self._proofs.operator(caller, intent, proof)
            await check_may_approve(self._store, operator, intent)
            person = person_of(operator)
            signature = replace(signature, operator_id=operator.operator_id)
        asked_by, about = await people_in(self._store, intent)
        if person == asked_by:
            raise errors.ApprovalRefused(why="whoever asked does not approve")
        if person == about:
            raise errors.ApprovalRefused(why="nobody approves for themselves")
        if not policy.same_station and caller.station_id == intent.station:
            raise errors.ApprovalRefused(why="it is not approved at the station where it was asked for")
        record = await self._record(request_id)
        now = self._services.clock.now()
        present = await approvers(self._store, record, intent, now, standing=False)
        if person in {each.person for each in present}:
            raise errors.ApprovalRefused(why="this person approved it already")
        facts: dict[str, Fact] = {
            "operator": str(signature.operator_id or ""),
            "credential": str(signature.credential_id or ""),
            "station": str(caller.station_id),
            "digest": intent.digest.hex(),
        }
        evidence = _evidence("approved", person, request_id, facts)
        try:
            await self._store.approvals.sign(request_id, signature, now, evidence)
        except errors.StoreConflict as cause:
            raise errors.ApprovalRefused(why="it does not wait any more") from cause
        return await self._view(caller, await self._record(request_id))

    async def decline(self, caller: Caller, request_id: UUID, why: str) -> ApprovalView:
        """Decline a request for good.

        Raises:
            LogonNeeded, NotAllowed: the caller may not do what is asked for.
            ApprovalRefused: it does not wait any more.
            Invalid: there is no such request, or no reason.
        """
        intent = await self._waiting(request_id)
        _check_sees(caller, intent)
        await self._close(request_id, ApprovalState.DECLINED, why, caller.actor)
        return await self._view(caller, await self._record(request_id))

    async def end(self, request_id: UUID, why: str, actor: str) -> ApprovalView:
        """Decline a request as an administrator on the server's own machine; raises as `decline`."""
        await self._waiting(request_id)
        await self._close(request_id, ApprovalState.DECLINED, why, actor)
        return await self._view(None, await self._record(request_id))

    async def withdraw(self, caller: Caller, request_id: UUID) -> ApprovalView:
        """Take back what one asked for.

        Raises:
            ApprovalRefused: it is somebody else's, or does not wait any more.
            Invalid: there is no such request.
        """
        intent = await self._waiting(request_id)
        if caller.actor != intent.requester:
            raise errors.ApprovalRefused(why="somebody else asked for it; it can be declined")
        await self._close(request_id, ApprovalState.WITHDRAWN, "withdrawn", caller.actor)
        return await self._view(caller, await self._record(request_id))

    async def _close(self, request_id: UUID, state: ApprovalState, why: str, actor: str) -> None:
        """End a request that waits, with a reason; raises as `decline`."""
        why = " ".join(why.split())
        if not 0 < len(why) <= MAX_NOTE:
            raise errors.Invalid(field="why", why=f"1 to {MAX_NOTE} characters")
        evidence = _evidence(f"approval-{state.value}", actor, request_id, {"why": why})
        try:
            await self._store.approvals.close(request_id, state, why, evidence)
        except errors.StoreConflict as cause:
            raise errors.ApprovalRefused(why="it does not wait any more") from cause

    async def _waiting(self, request_id: UUID) -> Intent:
        now = self._services.clock.now()
        await self._store.approvals.expire(now)
        record = await self._record(request_id)
        intent = read_intent(record.intent)
        if record.state is not ApprovalState.OPEN or intent.expires_at <= now:
            raise errors.ApprovalRefused(why=f"it does not wait any more ({record.state.value})")
        return intent

    async def _record(self, request_id: UUID) -> ApprovalRecord:
        record = await self._store.approvals.by_id(request_id)
        if record is None:
            raise errors.Invalid(field="request", why="there is none of this id")
        return record


def _check_here(caller: Caller, intent: Intent) -> None:
    """Refuse to approve at a station what nobody may do there: one for holders is none for whoever approves, either.

    Raises:
        NotAllowed: its profile leaves it out.
    """
    anybody = unrestricted(caller.actor)
    here = replace(anybody, permissions=at_station(anybody.permissions, caller.profile))
    authorise(here, needs_for(intent.way), intent.template or None)


def _check_sees(caller: Caller, intent: Intent) -> None:
    """Refuse who may not do what is asked for.

    Raises:
        LogonNeeded, NotAllowed: nobody is logged on, or without the permission.
    """
    if caller.principal is None:
        raise errors.LogonNeeded
    authorise(caller.principal, needs_for(intent.way), intent.template or None)


def _evidence(event: str, actor: str, request_id: UUID, facts: dict[str, Fact]) -> AuditRecord:
    return AuditRecord(
        kind=AuditKind.OPERATION, event=event, actor=actor, subject=str(request_id), facts=facts
    )
