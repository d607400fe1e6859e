"""A scripted inbox: requests that come and go, a PIN that approves, and what was asked of it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from kiosk.station.faces import Person
from shared import errors
from shared.approval import Intent
from shared.approvals import ApprovalState, ApprovalView, ApprovalWish, Signed
from shared.credential.approval import Approvers, Way
from shared.credential.effects import PERMITTED
from shared.credential.model import State
from tests.tui.guarded import PIN

AT = datetime(2026, 11, 20, 14, 2, tzinfo=UTC)


def request(
    number: int, way: Way = Way.UNBLOCK, *, name: str = "Bob Smith", **fields: object
) -> ApprovalView:
    """Return a request of Chidi's, who is no operator that is logged on here."""
    intent = Intent(
        way=way,
        request_id=UUID(int=number),
        requester=str(UUID(int=9)),
        requester_name="Chidi Okafor",
        station=UUID(int=3),
        directory="people",
        holder=f"p{number}",
        holder_name=name,
        template="employee",
        template_digest=bytes(32),
        state=State.ACTIVE,
        effects=PERMITTED[way],
        by=Approvers.OPERATORS,
        count=1,
        created_at=AT,
        expires_at=AT + timedelta(hours=24),
        nonce=bytes(32),
        card=UUID(int=number + 100),
    )
    told = {key: fields.pop(key) for key in ("state", "signed", "why", "mine", "open_to_me") if key in fields}
    intent = replace(intent, **fields)  # type: ignore[arg-type]  # the caller's fields
    view = ApprovalView(content=bytes(intent), state=ApprovalState.OPEN, open_to_me=True)
    return replace(view, **told)  # type: ignore[arg-type]  # likewise


class ScriptedInbox:
    """Keeps requests. `decide` is what somebody does elsewhere."""

    def __init__(self, *views: ApprovalView) -> None:
        self.waiting: tuple[ApprovalView, ...] = views
        self.ended: dict[UUID, ApprovalView] = {}
        self.asked: list[object] = []
        self.refusal: errors.KioskError | None = None
        self._changed = asyncio.Condition()

    async def put(self, *views: ApprovalView) -> None:
        """Show these and no others."""
        async with self._changed:
            self.waiting = views
            self._changed.notify_all()

    async def decide(self, view: ApprovalView, state: ApprovalState, why: str = "") -> ApprovalView:
        """Let a request be gone."""
        ended = self.ended[view.request_id] = replace(view, state=state, why=why)
        await self.put(*(each for each in self.waiting if each.request_id != view.request_id))
        return ended

    async def views(self) -> AsyncIterator[Sequence[ApprovalView]]:
        last = None
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda last=last: self.waiting is not last)  # type: ignore[misc]  # a default
                last = self.waiting
            yield last

    def _one(self, request_id: UUID) -> ApprovalView:
        return next(view for view in self.waiting if view.request_id == request_id)

    async def show(self, request_id: UUID) -> ApprovalView:
        return self.ended[request_id]

    async def ask(self, wish: ApprovalWish) -> ApprovalView:
        self.asked.append(wish)
        if self.refusal is not None:
            raise self.refusal
        view = request(50, wish.way, mine=True, open_to_me=False, detail=wish.note)
        await self.put(*self.waiting, view)
        return view

    async def approve(self, seen: ApprovalView, reader: str, person: Person) -> ApprovalView:
        pin = await person.current_pin(3, None)
        if pin is None:
            raise errors.Cancelled(question="current-pin")
        right = pin.reveal() == PIN.encode()
        pin.wipe()
        if not right:
            raise errors.PinRejected(tries_left=2)
        self.asked.append(("approve", seen.request_id, reader))
        if self.refusal is not None:
            raise self.refusal
        signed = replace(seen, signed=(*seen.signed, Signed(name="Anna Berg", at=AT)), open_to_me=False)
        await self.put(*(signed if each.request_id == seen.request_id else each for each in self.waiting))
        return signed

    async def decline(self, request_id: UUID, why: str) -> ApprovalView:
        self.asked.append(("decline", request_id, why))
        return await self.decide(self._one(request_id), ApprovalState.DECLINED, why)

    async def withdraw(self, request_id: UUID) -> ApprovalView:
        self.asked.append(("withdraw", request_id))
        return await self.decide(self._one(request_id), ApprovalState.WITHDRAWN, "withdrawn")
