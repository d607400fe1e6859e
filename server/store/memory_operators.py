"""Operators and roles, in memory."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime

from server.ports.store import (
    AuditRecord,
    OperatorId,
    OperatorKey,
    OperatorKind,
    OperatorRecord,
    OperatorState,
    RoleRecord,
)
from server.store.memory_state import Book, Draft
from shared import errors
from shared.credential.model import CredentialId, HolderId
from shared.roles import PRESETS


class MemoryOperators:
    """The port `OperatorStore`."""

    def __init__(self, book: Book) -> None:
        """Work on `book`."""
        self._book = book

    async def exist(self) -> bool:
        """Whether there is any operator but applications."""
        kept = self._book.state.operators.values()
        return any(each.kind is not OperatorKind.APPLICATION for each in kept)

    async def add(self, operator: OperatorRecord, audit: AuditRecord) -> None:
        """Store a new operator; with one of kind *operator* the passcode goes."""
        with self._book.writing() as draft:
            insert_operator(draft, operator)
            if operator.kind is OperatorKind.OPERATOR:
                draft.passcode = None
            self._book.note(draft, audit)

    async def by_id(self, operator_id: OperatorId) -> OperatorRecord | None:
        """Return this operator."""
        return operator_of(self._book.state, operator_id)

    async def by_key(self, digest: bytes) -> OperatorRecord | None:
        """Return the operator whom a key with this digest belongs to."""
        return self._first(lambda operator: operator.key(digest) is not None)

    async def by_credential(self, credential_id: CredentialId) -> OperatorRecord | None:
        """Return the operator whom this credential logs on, or once did."""
        return self._first(lambda each: any(key.credential_id == credential_id for key in each.keys))

    async def of_holder(self, holder: HolderId) -> Sequence[OperatorRecord]:
        """Return the operators that are this person."""
        return tuple(operator for operator in await self.all() if operator.holder == holder)

    async def all(self) -> Sequence[OperatorRecord]:
        """Return every operator, by name."""
        return self._in_order()

    async def set_roles(self, operator_id: OperatorId, roles: Collection[str], audit: AuditRecord) -> None:
        """Give an operator these roles and no others."""
        with self._book.writing() as draft:
            kept = _known(draft, operator_id)
            _check_roles(draft, roles)
            draft.operators[operator_id] = replace(kept, roles=frozenset(roles))
            self._book.note(draft, audit)

    async def set_state(self, operator_id: OperatorId, state: OperatorState, audit: AuditRecord) -> None:
        """Activate or deactivate an operator."""
        with self._book.writing() as draft:
            kept = replace(_known(draft, operator_id), state=state)
            if state is OperatorState.ACTIVE:
                kept = replace(kept, failed_logons=0, locked_until=None)
            draft.operators[operator_id] = kept
            self._book.note(draft, audit)

    async def add_key(self, operator_id: OperatorId, key: OperatorKey, audit: AuditRecord) -> None:
        """Let another key log the operator on."""
        with self._book.writing() as draft:
            _known(draft, operator_id)
            _add_key(draft, operator_id, key)
            self._book.note(draft, audit)

    async def set_key(self, digest: bytes, audit: AuditRecord, *, active: bool) -> None:
        """Let a key count, or not any more."""
        with self._book.writing() as draft:
            for operator_id, kept in draft.operators.items():
                if kept.key(digest) is not None:
                    keys = tuple(
                        replace(key, active=active) if key.digest == digest else key for key in kept.keys
                    )
                    draft.operators[operator_id] = replace(kept, keys=keys)
                    break
            else:
                raise errors.Invalid(field="key", why="no such key")
            self._book.note(draft, audit)

    async def note_failure(
        self, operator_id: OperatorId, locked_until: datetime | None, audit: AuditRecord
    ) -> int:
        """Count a failed log-on and return how many there were since the last good one."""
        with self._book.writing() as draft:
            kept = _known(draft, operator_id)
            locks = [lock for lock in (kept.locked_until, locked_until) if lock is not None]
            draft.operators[operator_id] = replace(
                kept, failed_logons=kept.failed_logons + 1, locked_until=max(locks, default=None)
            )
            self._book.note(draft, audit)
            return draft.operators[operator_id].failed_logons

    def _in_order(self) -> tuple[OperatorRecord, ...]:
        operators = (_shown(self._book.state, kept) for kept in self._book.state.operators.values())
        return tuple(
            sorted(operators, key=lambda each: (each.name, each.registered_at, each.operator_id.hex))
        )

    def _first(self, fits: Callable[[OperatorRecord], bool]) -> OperatorRecord | None:
        return next((operator for operator in self._in_order() if fits(operator)), None)


class MemoryRoles:
    """The port `RoleStore`."""

    def __init__(self, book: Book) -> None:
        """Work on `book`."""
        self._book = book

    async def all(self) -> Sequence[RoleRecord]:
        """Return every record, by name."""
        return tuple(role for _, role in sorted(self._book.state.roles.items()))

    async def add(self, role: RoleRecord, audit: AuditRecord) -> None:
        """Store a new record."""
        with self._book.writing() as draft:
            if role.name in draft.roles:
                raise errors.StoreConflict(what="role")
            draft.roles[role.name] = role
            self._book.note(draft, audit)

    async def replace(self, role: RoleRecord, seen: RoleRecord, audit: AuditRecord) -> None:
        """Put a record in the place of the one that was `seen`."""
        with self._book.writing() as draft:
            if draft.roles.get(role.name) != seen:
                raise errors.StoreConflict(what="role")
            draft.roles[role.name] = role
            self._book.note(draft, audit)

    async def remove(self, name: str, audit: AuditRecord) -> None:
        """Remove a record; a preset is then as in the program again."""
        with self._book.writing() as draft:
            kept = draft.roles.get(name)
            if kept is None:
                raise errors.Invalid(field="role", why=f"no role {name}")
            if not kept.preset and any(name in each.roles for each in draft.operators.values()):
                raise errors.StoreConflict(what="operator_role")
            del draft.roles[name]
            self._book.note(draft, audit)


def operator_of(state: Draft, operator_id: OperatorId) -> OperatorRecord | None:
    """Return this operator as a state has it."""
    kept = state.operators.get(operator_id)
    return None if kept is None else _shown(state, kept)


def register_operator(draft: Draft, operator: OperatorRecord, replaces: CredentialId | None) -> None:
    """Let the operator's keys log its holder on, who is added where it is no operator yet; see `OperatorRegistered`."""
    known = next(
        (
            each
            for each in draft.operators.values()
            if each.holder == operator.holder and each.kind is not OperatorKind.APPLICATION
        ),
        None,
    )
    if known is None:
        known = draft.operators[operator.operator_id] = replace(operator, keys=())
    if operator.kind is OperatorKind.OPERATOR:
        draft.passcode = None
    elif operator.kind is OperatorKind.SYSTEM_OWNER:
        none = tuple(replace(key, active=False) for key in known.keys)
        known = replace(known, keys=none, state=OperatorState.ACTIVE, failed_logons=0, locked_until=None)
    digests = {key.digest for key in operator.keys}
    over = {replaces, *(key.credential_id for key in operator.keys)} - {None}
    kept = tuple(
        replace(key, active=key.digest in digests) if key.credential_id in over else key for key in known.keys
    )
    draft.operators[known.operator_id] = replace(known, keys=kept)
    for key in operator.keys:
        if known.key(key.digest) is None:
            _add_key(draft, known.operator_id, key)


def _shown(state: Draft, operator: OperatorRecord) -> OperatorRecord:
    """Return an operator with what the record says of the credentials now."""
    keys = tuple(
        key
        if key.credential_id is None
        else replace(key, credential_state=state.credentials[key.credential_id][1].state)
        for key in operator.keys
    )
    return replace(operator, keys=keys)


def insert_operator(draft: Draft, operator: OperatorRecord) -> None:
    """Write a new operator down, with roles and keys; `Invalid` where there is no such role."""
    owner = operator.kind is OperatorKind.SYSTEM_OWNER
    if operator.operator_id in draft.operators or (owner and _owned(draft)):
        raise errors.StoreConflict(what="operator")
    _check_roles(draft, operator.roles)
    draft.operators[operator.operator_id] = replace(operator, keys=())
    for key in operator.keys:
        _add_key(draft, operator.operator_id, key)


def _owned(draft: Draft) -> bool:
    return any(operator.kind is OperatorKind.SYSTEM_OWNER for operator in draft.operators.values())


def _known(draft: Draft, operator_id: OperatorId) -> OperatorRecord:
    kept = draft.operators.get(operator_id)
    if kept is None:
        raise errors.Invalid(field="operator", why="no such operator")
    return kept


def _check_roles(draft: Draft, roles: Collection[str]) -> None:
    for name in sorted(set(roles)):
        if name not in PRESETS and name not in draft.roles:
            raise errors.Invalid(field="roles", why=f"no role {name}")


def _add_key(draft: Draft, operator_id: OperatorId, key: OperatorKey) -> None:
    if any(kept.key(key.digest) is not None for kept in draft.operators.values()):
        raise errors.StoreConflict(what="operator_key")
    if key.credential_id is not None and key.credential_id not in draft.credentials:
        raise errors.StoreConflict(what="reference")
    kept = draft.operators[operator_id]
    draft.operators[operator_id] = replace(kept, keys=(*kept.keys, replace(key, credential_state=None)))
