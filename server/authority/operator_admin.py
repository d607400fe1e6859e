"""What an administrator asks about operators and roles, on the server's own machine: what is told, and to whom it is put."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from server.authority.administrator import administrator
from server.authority.operators import Operators, OperatorSession, RoleView
from server.authority.policy import Principal
from server.ports.operators import OperatorId, OperatorKind, OperatorRecord, OperatorState
from shared.roles import Grant


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorView:
    """An operator, as lists show one. Of `keys`, `usable_keys` count now; `failed_logons` are those since `last_logon_at`.

    Where operators are logged on is in the list of all only.
    """

    operator_id: OperatorId
    name: str
    kind: OperatorKind
    active: bool
    roles: frozenset[str]
    keys: int
    usable_keys: int
    registered_at: datetime
    last_logon_at: datetime | None = None
    failed_logons: int = 0
    locked_until: datetime | None = None
    sessions: Sequence[OperatorSession] = ()


class OperatorAdminService(Protocol):
    """Look after operators and roles. Who may ask was judged before (`access`). An operator is named, or given by id."""

    async def all(self) -> Sequence[OperatorView]:
        """Return every operator, by name."""
        ...

    async def activate(self, which: str, why: str) -> OperatorView:
        """Let an operator log on again; `Invalid` where there is no such one, or no reason."""
        ...

    async def deactivate(self, which: str, why: str) -> OperatorView:
        """Let an operator log on no more.

        Raises:
            Invalid: there is no such one, or no reason.
            NotAllowed: nobody would be left who manages operators.
        """
        ...

    async def set_roles(self, which: str, roles: Collection[str], why: str) -> OperatorView:
        """Give an operator these roles and no others; raises as above, and `Invalid` for a role that there is not."""
        ...

    async def roles(self) -> Sequence[RoleView]:
        """Return every role: the presets, then those that were made here, by name."""
        ...

    async def clone(self, source: str, name: str, title: str, why: str) -> RoleView:
        """Make a role that may do what another one may; `Invalid` where that cannot be."""
        ...

    async def edit(self, name: str, grants: Sequence[Grant], title: str, why: str) -> RoleView:
        """Put grants in the place of what a role says of their subjects.

        Raises:
            Invalid: there is no such role, or a grant or the title is not acceptable.
            NotAllowed: nobody would be left who manages operators.
        """
        ...

    async def reset(self, name: str, why: str) -> RoleView:
        """Make a preset what it is in the program again; raises as above."""
        ...

    async def delete(self, name: str, why: str) -> None:
        """Remove a role that was made here; `Invalid` for a preset, or where somebody has it."""
        ...


class OperatorAdmin:
    """Implements `OperatorAdminService` for whoever asks over one line, with what this one may do."""

    def __init__(self, operators: Operators, by: Principal) -> None:
        """Ask `operators` in the name of who is logged on, else of `by`."""
        self._operators = operators
        self._default = by

    @property
    def _by(self) -> Principal:
        return administrator(self._default)

    async def all(self) -> Sequence[OperatorView]:
        """Return every operator, by name."""
        sessions = await self._operators.sessions()
        found = await self._operators.all()
        return [replace(_view(each), sessions=tuple(sessions.get(each.operator_id, ()))) for each in found]

    async def activate(self, which: str, why: str) -> OperatorView:
        """Let an operator log on again."""
        return _view(await self._operators.activate(which, why, self._by))

    async def deactivate(self, which: str, why: str) -> OperatorView:
        """Let an operator log on no more."""
        return _view(await self._operators.deactivate(which, why, self._by))

    async def set_roles(self, which: str, roles: Collection[str], why: str) -> OperatorView:
        """Give an operator these roles and no others."""
        return _view(await self._operators.set_roles(which, roles, why, self._by))

    async def roles(self) -> Sequence[RoleView]:
        """Return every role."""
        return await self._operators.roles()

    async def clone(self, source: str, name: str, title: str, why: str) -> RoleView:
        """Make a role that may do what another one may."""
        return await self._operators.clone(source, name, title, why, self._by)

    async def edit(self, name: str, grants: Sequence[Grant], title: str, why: str) -> RoleView:
        """Put grants in the place of what a role says of their subjects."""
        return await self._operators.edit(name, grants, title, why, self._by)

    async def reset(self, name: str, why: str) -> RoleView:
        """Make a preset what it is in the program again."""
        return await self._operators.reset(name, why, self._by)

    async def delete(self, name: str, why: str) -> None:
        """Remove a role that was made here."""
        await self._operators.delete(name, why, self._by)


def _view(operator: OperatorRecord) -> OperatorView:
    return OperatorView(
        operator_id=operator.operator_id,
        name=operator.name,
        kind=operator.kind,
        active=operator.state is OperatorState.ACTIVE,
        roles=operator.roles,
        keys=len(operator.keys),
        usable_keys=sum(key.counts for key in operator.keys),
        registered_at=operator.registered_at,
        last_logon_at=operator.last_logon_at,
        failed_logons=operator.failed_logons,
        locked_until=operator.locked_until,
    )
