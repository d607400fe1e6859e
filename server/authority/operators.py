"""Operators and roles, looked after: who may log on, which roles they have, and what roles may do.

Nobody gives what they may not do themselves, and no change leaves an installation without somebody who may manage operators
and can log on. Every change says why, and leaves evidence in the same commit.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from server.authority.acting import all_roles
from server.authority.acts import Acts
from server.authority.approved import ApprovalPolicy
from server.authority.fleet import check_why
from server.authority.policy import MORE_THAN_OWN, Principal, roles_of
from server.ports.audit import AuditKind, AuditRecord
from server.ports.operators import (
    LogonMethod,
    OperatorId,
    OperatorKind,
    OperatorRecord,
    OperatorState,
    RoleRecord,
)
from server.ports.store import Store
from shared import errors
from shared.clock import Clock
from shared.credential.approval import Way
from shared.errors import Fact
from shared.roles import (
    PRESETS,
    SYSTEM_ADMINISTRATOR,
    Area,
    Grant,
    Level,
    Role,
    clone,
    edited,
    to_document,
    union,
)

NOBODY_LEFT: Final = "it would leave nobody who may manage operators and can log on"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleView:
    """A role as it is now. `edited`: a preset that is not as in the program; `operators` is how many have it."""

    role: Role
    edited: bool
    operators: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSession:
    """Where an operator is logged on, and how; `station` is its name."""

    method: LogonMethod
    possession_only: bool
    station: str
    began_at: datetime
    last_seen_at: datetime


class Operators:
    """List and change operators and roles. `by` is who asks, with what they may do themselves."""

    def __init__(self, store: Store, clock: Clock, acts: Acts | None = None) -> None:
        """Keep everything in `store`; `acts` judges what takes a second person."""
        self._store = store
        self.acts: Final = acts or Acts(store, clock, ApprovalPolicy())
        self._clock = clock
        self._changing = asyncio.Lock()
        """What is checked about everybody stays true until the change is written."""

    # --- operators --------------------------------------------------------------------------------------

    async def all(self) -> Sequence[OperatorRecord]:
        """Return every operator, by name."""
        return await self._store.operators.all()

    async def activate(self, which: str, why: str, by: Principal) -> OperatorRecord:
        """Let an operator log on again; failed log-ons are forgotten, and a lock is lifted.

        Raises:
            Invalid: there is no such operator, several have this name, or there is no reason.
            NotAllowed: the operator may do what `by` may not.
        """
        why = check_why(why)
        async with self._changing:
            operator = await self._find(which)
            _check_covers(by, roles_of(operator, await self._roles()))
            facts: dict[str, Fact] = {"name": operator.name, "why": why}
            who = str(operator.operator_id)
            await self.acts.clear(Way.ACTIVATE_OPERATOR, by.actor, about=who, name=operator.name)
            audit = _evidence("operator-activated", by, operator, facts)
            await self._store.operators.set_state(operator.operator_id, OperatorState.ACTIVE, audit)
            return await self._find(str(operator.operator_id))

    async def deactivate(self, which: str, why: str, by: Principal) -> OperatorRecord:
        """Let an operator log on no more, from this moment; sessions end.

        Raises:
            Invalid: there is no such operator, several have this name, or there is no reason.
            NotAllowed: nobody would be left who manages operators.
        """
        why = check_why(why)
        async with self._changing:
            operator = await self._find(which)
            off = replace(operator, state=OperatorState.INACTIVE)
            await self._check_somebody_left(await self._roles(), off)
            facts: dict[str, Fact] = {"name": operator.name, "why": why}
            audit = _evidence("operator-deactivated", by, operator, facts)
            await self._store.operators.set_state(operator.operator_id, OperatorState.INACTIVE, audit)
            ended = replace(audit, kind=AuditKind.SESSION, event="sessions-ended")
            await self._store.sessions.end_of_operator(operator.operator_id, self._clock.now(), ended)
            return off

    async def set_roles(self, which: str, roles: Collection[str], why: str, by: Principal) -> OperatorRecord:
        """Give an operator these roles and no others.

        Raises:
            Invalid: there is no such operator or role, several have this name, it is the System Owner, or there is no
                reason.
            NotAllowed: a role that is new may do what `by` may not, or nobody would be left who manages operators.
        """
        why = check_why(why)
        async with self._changing:
            operator = await self._find(which)
            if operator.kind is OperatorKind.SYSTEM_OWNER:
                raise errors.Invalid(field="operator", why="the System Owner's roles do not change")
            known = await self._roles()
            unknown = sorted(set(roles) - known.keys())
            if unknown:
                raise errors.Invalid(field="role", why=f"no role {unknown[0]}; there are {', '.join(known)}")
            _check_covers(by, (known[name] for name in set(roles) - operator.roles))
            changed = replace(operator, roles=frozenset(roles))
            await self._check_somebody_left(known, changed)
            facts: dict[str, Fact] = {
                "name": operator.name,
                "before": _listed(operator.roles),
                "after": _listed(roles),
                "why": why,
            }
            who = str(operator.operator_id)
            await self.acts.clear(Way.SET_ROLES, by.actor, about=who, name=operator.name, roles=roles)
            audit = _evidence("operator-roles", by, operator, facts)
            await self._store.operators.set_roles(operator.operator_id, roles, audit)
            return changed

    async def check_gives(self, roles: Collection[str], by: Principal) -> None:
        """Refuse roles that `by` may give nobody.

        Raises:
            Invalid: there is no such role.
            NotAllowed: one may do what `by` may not.
        """
        known = await self._roles()
        _check_covers(by, (_role(known, name) for name in sorted(roles)))

    async def sessions(self) -> Mapping[OperatorId, Sequence[OperatorSession]]:
        """Return where operators are logged on, the oldest first; one that nobody uses any more is there until it is shown."""
        names = {station.station_id: station.name for station in await self._store.stations.all()}
        now = self._clock.now()
        found: dict[OperatorId, list[OperatorSession]] = {}
        for session in await self._store.sessions.live():
            if session.expires_at > now:
                view = OperatorSession(
                    method=session.method,
                    possession_only=session.possession_only,
                    station=names.get(session.station_id, ""),
                    began_at=session.began_at,
                    last_seen_at=session.last_seen_at,
                )
                found.setdefault(session.operator_id, []).append(view)
        return found

    # --- roles ------------------------------------------------------------------------------------------

    async def roles(self) -> Sequence[RoleView]:
        """Return every role: the presets, then those that were made here, by name."""
        records = {record.name: record for record in await self._store.roles.all()}
        operators = await self._store.operators.all()
        return [
            RoleView(
                role=role,
                edited=role.preset and role.name in records,
                operators=sum(role.name in each.roles for each in operators),
            )
            for role in (await self._roles()).values()
        ]

    async def clone(self, source: str, name: str, title: str, why: str, by: Principal) -> RoleView:
        """Make a role that may do what another one may.

        Raises:
            Invalid: there is no such role, one is called so already, the name or title is not acceptable, or no reason.
            NotAllowed: it may do what `by` may not.
        """
        why = check_why(why)
        async with self._changing:
            known = await self._roles()
            made = clone(_role(known, source), name=name, title=title)
            if made.name in known:
                raise errors.Invalid(field="name", why="another role is called so")
            _check_covers(by, [made])
            await self.acts.clear(Way.CHANGE_ROLE, by.actor, detail=to_document(made))
            audit = _about_role("role-made", by, made.name, {"from": source, "title": title, "why": why})
            await self._store.roles.add(self._record(made), audit)
            return await self._view(made.name)

    async def edit(self, name: str, grants: Sequence[Grant], title: str, why: str, by: Principal) -> RoleView:
        """Put grants in the place of what a role says of their subjects; an empty title leaves the present one.

        Raises:
            Invalid: there is no such role, it is the one that stays as it is, or a grant is not acceptable.
            NotAllowed: a grant is more than `by` may do, or nobody would be left who manages operators.
        """
        why = check_why(why)
        async with self._changing:
            known = await self._roles()
            before = _role(known, name)
            after = edited(before, grants, title=title or None)
            if name == SYSTEM_ADMINISTRATOR:
                raise errors.Invalid(field="role", why="this one stays as it is; clone another one")
            _check_covers(by, [replace(after, grants=tuple(grants))])
            await self._check_somebody_left({**known, name: after})
            await self.acts.clear(Way.CHANGE_ROLE, by.actor, detail=to_document(after))
            audit = _about_role("role-edited", by, name, {"changed": _difference(before, after), "why": why})
            kept = await self._kept(name)
            if kept is None:
                await self._store.roles.add(self._record(after), audit)
            else:
                await self._store.roles.replace(self._record(after), kept, audit)
            return await self._view(name)

    async def reset(self, name: str, why: str, by: Principal) -> RoleView:
        """Make a preset what it is in the program again.

        Raises:
            Invalid: it is no preset, or is as in the program.
            NotAllowed: it would then do what `by` may not, or nobody would be left who manages operators.
        """
        why = check_why(why)
        async with self._changing:
            known = await self._roles()
            before = _role(known, name)
            if not before.preset:
                raise errors.Invalid(field="role", why="it is no preset; delete it")
            if await self._kept(name) is None:
                raise errors.Invalid(field="role", why="it is as in the program")
            after = PRESETS[name]
            _check_covers(by, [after])
            await self._check_somebody_left({**known, name: after})
            await self.acts.clear(Way.CHANGE_ROLE, by.actor, detail=to_document(after))
            audit = _about_role("role-reset", by, name, {"changed": _difference(before, after), "why": why})
            await self._store.roles.remove(name, audit)
            return await self._view(name)

    async def delete(self, name: str, why: str, by: Principal) -> None:
        """Remove a role that was made here.

        Raises:
            Invalid: there is no such role, it is a preset, or somebody has it.
        """
        why = check_why(why)
        async with self._changing:
            view = await self._view(name)
            if view.role.preset:
                raise errors.Invalid(field="role", why="a preset is reset, not deleted")
            if view.operators:
                raise errors.Invalid(field="role", why=f"operators have it: {view.operators}")
            await self.acts.clear(Way.CHANGE_ROLE, by.actor, detail=f"delete {name}")
            audit = _about_role("role-deleted", by, name, {"was": _difference(view.role, None), "why": why})
            await self._store.roles.remove(name, audit)

    # --- what there is ----------------------------------------------------------------------------------

    async def _find(self, which: str) -> OperatorRecord:
        """Return the operator of this id, or the only one of this name."""
        operators = await self._store.operators.all()
        found = [each for each in operators if each.operator_id == _read_id(which)]
        found = found or [each for each in operators if each.name == which]
        if not found:
            raise errors.Invalid(field="operator", why="no operator is called so")
        if len(found) > 1:
            raise errors.Invalid(field="operator", why=f"{len(found)} operators are called so; give the id")
        return found[0]

    async def _roles(self) -> Mapping[str, Role]:
        return await all_roles(self._store.roles)

    async def _kept(self, name: str) -> RoleRecord | None:
        return next((record for record in await self._store.roles.all() if record.name == name), None)

    async def _view(self, name: str) -> RoleView:
        views = await self.roles()
        role = _role({view.role.name: view.role for view in views}, name)
        return next(view for view in views if view.role is role)

    def _record(self, role: Role) -> RoleRecord:
        return RoleRecord(
            name=role.name, document=to_document(role), preset=role.preset, changed_at=self._clock.now()
        )

    async def _check_somebody_left(
        self, roles: Mapping[str, Role], changed: OperatorRecord | None = None
    ) -> None:
        """Refuse a change after which nobody manages operators, where somebody does now.

        Raises:
            NotAllowed: nobody would.
        """
        before = await self._store.operators.all()
        now = await self._roles()
        after = (
            changed if changed is not None and each.operator_id == changed.operator_id else each
            for each in before
        )
        if any(_manages(each, now) for each in before) and not any(_manages(each, roles) for each in after):
            raise errors.NotAllowed(what=NOBODY_LEFT)


def _manages(operator: OperatorRecord, roles: Mapping[str, Role]) -> bool:
    """Whether this is a person who may manage operators and can log on."""
    return (
        operator.kind is not OperatorKind.APPLICATION
        and any(operator.may_use(key.digest) for key in operator.keys)
        and union(roles_of(operator, roles)).allowed(Area.OPERATORS, None) is Level.EXECUTE
    )


def _check_covers(by: Principal, roles: Iterable[Role]) -> None:
    for role in roles:
        if not by.permissions.covers(role.grants):
            raise errors.NotAllowed(what=MORE_THAN_OWN)


def _role(known: Mapping[str, Role], name: str) -> Role:
    found = known.get(name)
    if found is None:
        raise errors.Invalid(field="role", why=f"no role {name}; there are {', '.join(known)}")
    return found


# --- evidence -------------------------------------------------------------------------------------------


def _evidence(event: str, by: Principal, operator: OperatorRecord, facts: dict[str, Fact]) -> AuditRecord:
    return AuditRecord(
        kind=AuditKind.OPERATOR,
        event=event,
        actor=by.actor,
        subject=str(operator.operator_id),
        facts=facts,
    )


def _about_role(event: str, by: Principal, name: str, facts: dict[str, Fact]) -> AuditRecord:
    return AuditRecord(kind=AuditKind.ROLE, event=event, actor=by.actor, subject=name, facts=facts)


def _difference(before: Role, after: Role | None) -> str:
    """Say what a role may do no more (-) and what it may do now (+), and its title where that changed."""
    old = set(map(_grant, before.grants))
    new = set(map(_grant, after.grants)) if after is not None else set[str]()
    said = [f"-{each}" for each in sorted(old - new)] + [f"+{each}" for each in sorted(new - old)]
    if after is not None and after.title != before.title:
        said.append(f"title {after.title}")
    return " ".join(said)


def _grant(grant: Grant) -> str:
    of = "" if grant.templates is None else f":{','.join(sorted(grant.templates))}"
    return f"{grant.subject.value}={grant.level.word}{of}"


def _listed(names: Iterable[str]) -> str:
    return " ".join(sorted(names))


def _read_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
