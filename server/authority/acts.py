"""Acts of administration that take a second person, where the server's policy says so.

Nobody asks for one in words of their own: whoever tries it is refused, and by that has asked. Once somebody has approved
just this act, doing it again does it, once.

Source: card-rules section 7 (approvals).
"""

import secrets
from collections.abc import Callable, Collection
from typing import Final
from uuid import UUID, uuid4

from server.authority.approved import ApprovalPolicy, approvers, intent_in
from server.ports.approvals import ApprovalRecord, ApprovalState
from server.ports.store import AuditKind, AuditRecord, Store
from shared import errors
from shared.approval import NONCE_LENGTH, Intent, differences
from shared.clock import Clock
from shared.credential.approval import ADMINISTRATIVE, Approvers, Way
from shared.credential.effects import PERMITTED
from shared.credential.model import State

_NOWHERE: Final = UUID(int=0)
_OVER: Final = frozenset(f"approval-{each.value}" for each in ApprovalState if each is not ApprovalState.OPEN)


class Acts:
    """Let acts pass, or ask for them to be approved."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        policy: ApprovalPolicy,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Judge by `policy`; `random` draws nonces."""
        self._store = store
        self._clock = clock
        self._policy = policy
        self._random = random

    async def clear(
        self,
        way: Way,
        by: str,
        *,
        about: str = "",
        name: str = "",
        roles: Collection[str] = (),
        detail: str = "",
    ) -> None:
        """Let an act of `by` pass that takes no approval, or spend the one that it has; else ask for one.

        `about` is the operator that it is about, who is called `name`; `detail` says in full what is changed.

        Raises:
            ApprovalNeeded: it was asked for just now, or waits already; `why` names the request.
        """
        assert way in ADMINISTRATIVE
        if way not in self._policy.acts or not await self._store.operators.exist():
            return
        now = self._clock.now()
        await self._store.approvals.expire(now)
        wanted = self._intent(way, by, about=about, name=name, roles=roles, detail=detail)
        for kept in await self._store.approvals.waiting(now):
            intent = intent_in(kept)
            if intent is None or intent.requester != by or differences(intent, wanted):
                continue
            if intent.expires_at <= now or await self._is_over(kept.request_id):
                continue
            found = await approvers(self._store, kept, intent, now)
            if len(found) < intent.count:
                raise self._needed(intent)
            spent = _evidence("approval-spent", by, intent)
            await self._store.approvals.spend(kept.request_id, now, spent)
            return
        request = ApprovalRecord(
            request_id=wanted.request_id,
            intent=bytes(wanted),
            state=ApprovalState.OPEN,
            asked_at=now,
            expires_at=wanted.expires_at,
        )
        await self._store.approvals.add(request, _evidence("approval-asked", by, wanted))
        raise self._needed(wanted)

    def _intent(
        self, way: Way, by: str, *, about: str, name: str, roles: Collection[str], detail: str
    ) -> Intent:
        now = self._clock.now().replace(microsecond=0)
        return Intent(
            way=way,
            request_id=uuid4(),
            requester=by,
            requester_name="",
            station=_NOWHERE,
            directory="",
            holder=about,
            holder_name=name,
            template="",
            template_digest=b"",
            state=State.UNREGISTERED,
            effects=PERMITTED[way],
            by=Approvers.OPERATORS,
            count=1,
            created_at=now,
            expires_at=now + self._policy.valid_for,
            nonce=self._random(NONCE_LENGTH),
            roles=tuple(sorted(set(roles))),
            detail=detail,
        )

    async def _is_over(self, request_id: UUID) -> bool:
        """Whether the evidence says that a request was spent, declined, withdrawn or has expired."""
        entries = await self._store.audit.about(str(request_id))
        return any(each.record.event in _OVER for each in entries)

    @staticmethod
    def _needed(intent: Intent) -> errors.ApprovalNeeded:
        why = f"it was asked for, request {intent.request_id}; do it again when somebody has approved it"
        return errors.ApprovalNeeded(operation=intent.way.value, why=why, request=str(intent.request_id))


def _evidence(event: str, by: str, intent: Intent) -> AuditRecord:
    return AuditRecord(
        kind=AuditKind.OPERATION,
        event=event,
        actor=by,
        subject=str(intent.request_id),
        facts={"operation": intent.way.value, "holder": intent.holder, "digest": intent.digest.hex()},
    )
