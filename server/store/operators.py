"""Operators, their keys and roles."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, case, delete, false, literal, or_, select, update

from server.ports.store import (
    AuditRecord,
    OperatorId,
    OperatorKey,
    OperatorKind,
    OperatorRecord,
    OperatorState,
)
from server.store import evidence
from server.store.operator_schema import operator, operator_key, operator_role, role
from server.store.passcode import forget_passcode
from server.store.schema import credential
from server.store.statements import Cursor, Prepared, Row, add, given
from server.store.writer import Writer
from shared import errors
from shared.clock import Clock
from shared.credential.model import CredentialId, HolderId
from shared.roles import PRESETS

_OF_THIS: Final = operator.c.operator_id == given(operator.c.operator_id)
_OPERATORS: Final = select(*operator.columns)
_KEYS: Final = select(
    operator_key.c.operator_id,
    operator_key.c.digest,
    operator_key.c.method,
    operator_key.c.credential_id,
    operator_key.c.active,
    credential.c.state,
).outerjoin_from(operator_key, credential, operator_key.c.credential_id == credential.c.credential_id)
_HOLDERS: Final = select(operator_role.c.operator_id, operator_role.c.role)
_BY_NAME: Final = (operator.c.name, operator.c.registered_at, operator.c.operator_id)


def _with_key(condition: ColumnElement[bool]) -> Select[Any]:
    return _OPERATORS.where(operator.c.operator_id.in_(select(operator_key.c.operator_id).where(condition)))


_EXIST: Final = Prepared(
    select(literal(1)).select_from(operator).where(operator.c.kind != OperatorKind.APPLICATION).limit(1)
)
_ALL: Final = Prepared(_OPERATORS.order_by(*_BY_NAME))
_BY_ID: Final = Prepared(_OPERATORS.where(_OF_THIS))
_BY_KEY: Final = Prepared(_with_key(operator_key.c.digest == given(operator_key.c.digest)))
_BY_CREDENTIAL: Final = Prepared(
    _with_key(operator_key.c.credential_id == given(operator_key.c.credential_id))
    .order_by(*_BY_NAME)
    .limit(1)
)
_OF_HOLDER: Final = Prepared(
    _OPERATORS.where(operator.c.holder == given(operator.c.holder)).order_by(*_BY_NAME)
)
_ALL_KEYS: Final = Prepared(_KEYS.order_by(operator_key.c.number))
_KEYS_OF: Final = Prepared(
    _KEYS.where(operator_key.c.operator_id == given(operator_key.c.operator_id)).order_by(
        operator_key.c.number
    )
)
_ALL_ROLES: Final = Prepared(_HOLDERS)
_ROLES_OF: Final = Prepared(_HOLDERS.where(operator_role.c.operator_id == given(operator_role.c.operator_id)))
_ADD: Final = add(operator)
_ADD_KEY: Final = add(operator_key)
_ADD_ROLE: Final = add(operator_role)
_DROP_ROLES: Final = Prepared(
    delete(operator_role).where(operator_role.c.operator_id == given(operator_role.c.operator_id))
)
_HAS_ROLE: Final = Prepared(select(role.c.name).where(role.c.name == given(role.c.name)))
_RENAME: Final = Prepared(update(operator).where(_OF_THIS).values(name=given(operator.c.name)))
_DEACTIVATE: Final = Prepared(update(operator).where(_OF_THIS).values(state=OperatorState.INACTIVE))
_ACTIVATE: Final = Prepared(
    update(operator).where(_OF_THIS).values(state=OperatorState.ACTIVE, failed_logons=0, locked_until=None)
)
_SET_KEY: Final = Prepared(
    update(operator_key)
    .where(operator_key.c.digest == given(operator_key.c.digest))
    .values(active=given(operator_key.c.active))
)
_OTHER_KEYS: Final = Prepared(
    update(operator_key)
    .where(
        operator_key.c.operator_id == given(operator_key.c.operator_id),
        operator_key.c.credential_id == given(operator_key.c.credential_id),
    )
    .values(active=false())
)
_NO_KEY: Final = Prepared(
    update(operator_key)
    .where(operator_key.c.operator_id == given(operator_key.c.operator_id))
    .values(active=false())
)
_LOCK: Final = given(operator.c.locked_until)
_COUNT_FAILURE: Final = Prepared(
    update(operator)
    .where(_OF_THIS)
    .values(
        failed_logons=operator.c.failed_logons + 1,
        locked_until=case(
            (or_(_LOCK.is_(None), operator.c.locked_until > _LOCK), operator.c.locked_until), else_=_LOCK
        ),
    )
    .returning(operator.c.failed_logons)
)


class OperatorTables:
    """The port `OperatorStore`."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        """Work through `writer`."""
        self._writer = writer
        self._clock = clock

    async def exist(self) -> bool:
        """Whether there is any operator but applications."""
        return await self._writer.read(lambda cursor: _EXIST.row(cursor) is not None)

    async def add(self, operator: OperatorRecord, audit: AuditRecord) -> None:
        """Store a new operator; with one of kind *operator* the passcode goes."""

        def work(cursor: Cursor) -> None:
            insert_operator(cursor, operator)
            if operator.kind is OperatorKind.OPERATOR:
                forget_passcode(cursor)
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)

    async def by_id(self, operator_id: OperatorId) -> OperatorRecord | None:
        """Return this operator."""
        return await self._writer.read(lambda cursor: operator_of(cursor, operator_id))

    async def by_key(self, digest: bytes) -> OperatorRecord | None:
        """Return the operator whom a key with this digest belongs to."""
        return await self._writer.read(lambda cursor: _whole(cursor, _BY_KEY.row(cursor, digest=digest)))

    async def by_credential(self, credential_id: CredentialId) -> OperatorRecord | None:
        """Return the operator whom this credential logs on, or once did."""
        return await self._writer.read(
            lambda cursor: _whole(cursor, _BY_CREDENTIAL.row(cursor, credential_id=credential_id))
        )

    async def of_holder(self, holder: HolderId) -> Sequence[OperatorRecord]:
        """Return the operators that are this person."""

        def work(cursor: Cursor) -> Sequence[OperatorRecord]:
            found = (_whole(cursor, row) for row in _OF_HOLDER.rows(cursor, holder=holder))
            return tuple(operator for operator in found if operator is not None)

        return await self._writer.read(work)

    async def all(self) -> Sequence[OperatorRecord]:
        """Return every operator, by name."""

        def work(cursor: Cursor) -> Sequence[OperatorRecord]:
            keys, roles = _ALL_KEYS.rows(cursor), _ALL_ROLES.rows(cursor)
            return tuple(
                _operator(
                    row,
                    [name for operator_id, name in roles if operator_id == row[0]],
                    [key for key in keys if key[0] == row[0]],
                )
                for row in _ALL.rows(cursor)
            )

        return await self._writer.read(work)

    async def set_roles(self, operator_id: OperatorId, roles: Collection[str], audit: AuditRecord) -> None:
        """Give an operator these roles and no others."""

        def work(cursor: Cursor) -> None:
            _known(cursor, operator_id)
            _DROP_ROLES.run(cursor, {"operator_id": operator_id})
            _give(cursor, operator_id, roles)
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)

    async def set_state(self, operator_id: OperatorId, state: OperatorState, audit: AuditRecord) -> None:
        """Activate or deactivate an operator."""
        statement = _ACTIVATE if state is OperatorState.ACTIVE else _DEACTIVATE

        def work(cursor: Cursor) -> None:
            _known(cursor, operator_id)
            statement.run(cursor, {"operator_id": operator_id})
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)

    async def add_key(self, operator_id: OperatorId, key: OperatorKey, audit: AuditRecord) -> None:
        """Let another key log the operator on."""

        def work(cursor: Cursor) -> None:
            _known(cursor, operator_id)
            _add_key(cursor, operator_id, key)
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)

    async def set_key(self, digest: bytes, audit: AuditRecord, *, active: bool) -> None:
        """Let a key count, or not any more."""

        def work(cursor: Cursor) -> None:
            if _SET_KEY.run(cursor, {"digest": digest, "active": active}) != 1:
                raise errors.Invalid(field="key", why="no such key")
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)

    async def note_failure(
        self, operator_id: OperatorId, locked_until: datetime | None, audit: AuditRecord
    ) -> int:
        """Count a failed log-on and return how many there were since the last good one."""

        def work(cursor: Cursor) -> int:
            row = _COUNT_FAILURE.row(cursor, operator_id=operator_id, locked_until=locked_until)
            if row is None:
                raise errors.Invalid(field="operator", why="no such operator")
            evidence.append(cursor, self._clock, audit)
            return int(row[0])

        return await self._writer.write(work)


def operator_of(cursor: Cursor, operator_id: OperatorId) -> OperatorRecord | None:
    """Return this operator as the transaction sees it."""
    return _whole(cursor, _BY_ID.row(cursor, operator_id=operator_id))


def register_operator(cursor: Cursor, operator: OperatorRecord, replaces: CredentialId | None) -> None:
    """Let the operator's keys log its holder on, who is added where it is no operator yet; see `OperatorRegistered`."""
    found = (_whole(cursor, row) for row in _OF_HOLDER.rows(cursor, holder=operator.holder))
    known = next(
        (each for each in found if each is not None and each.kind is not OperatorKind.APPLICATION), None
    )
    if known is None:
        _insert(cursor, operator)
        for name in sorted(operator.roles):
            _ADD_ROLE.run(cursor, {"operator_id": operator.operator_id, "role": name})
    owner = known or operator
    if operator.kind is OperatorKind.OPERATOR:
        forget_passcode(cursor)
    elif operator.kind is OperatorKind.SYSTEM_OWNER:
        _NO_KEY.run(cursor, {"operator_id": owner.operator_id})
        _ACTIVATE.run(cursor, {"operator_id": owner.operator_id})
    for credential_id in {replaces, *(key.credential_id for key in operator.keys)} - {None}:
        _OTHER_KEYS.run(cursor, {"operator_id": owner.operator_id, "credential_id": credential_id})
    for key in operator.keys:
        if known is not None and known.key(key.digest) is not None:
            _SET_KEY.run(cursor, {"digest": key.digest, "active": True})
        else:
            _add_key(cursor, owner.operator_id, key)


def insert_operator(cursor: Cursor, operator: OperatorRecord) -> None:
    """Write a new operator down, with roles and keys; `Invalid` where there is no such role."""
    _insert(cursor, operator)
    _give(cursor, operator.operator_id, operator.roles)
    for key in operator.keys:
        _add_key(cursor, operator.operator_id, key)


def rename_operator(cursor: Cursor, operator_id: UUID, name: str) -> None:
    """Call an operator by another name, where there is one with this id."""
    _RENAME.run(cursor, {"operator_id": operator_id, "name": name})


def _insert(cursor: Cursor, operator: OperatorRecord) -> None:
    _ADD.run(
        cursor,
        {
            "operator_id": operator.operator_id,
            "name": operator.name,
            "holder": operator.holder,
            "kind": operator.kind,
            "state": operator.state,
            "registered_at": operator.registered_at,
            "last_logon_at": operator.last_logon_at,
            "failed_logons": operator.failed_logons,
            "locked_until": operator.locked_until,
        },
    )


def _whole(cursor: Cursor, row: Row | None) -> OperatorRecord | None:
    if row is None:
        return None
    keys = _KEYS_OF.rows(cursor, operator_id=row[0])
    roles = _ROLES_OF.rows(cursor, operator_id=row[0])
    return _operator(row, (name for _, name in roles), keys)


def _operator(row: Row, roles: Iterable[str], keys: Iterable[Row]) -> OperatorRecord:
    operator_id, name, holder, kind, state, registered_at, last_logon_at, failed_logons, locked_until = row
    return OperatorRecord(
        operator_id=operator_id,
        name=name,
        kind=kind,
        registered_at=registered_at,
        holder=holder,
        state=state,
        roles=frozenset(roles),
        keys=tuple(
            OperatorKey(
                digest=digest,
                method=method,
                credential_id=credential_id,
                active=active,
                credential_state=credential_state,
            )
            for _, digest, method, credential_id, active, credential_state in keys
        ),
        last_logon_at=last_logon_at,
        failed_logons=failed_logons,
        locked_until=locked_until,
    )


def _known(cursor: Cursor, operator_id: OperatorId) -> None:
    if _BY_ID.row(cursor, operator_id=operator_id) is None:
        raise errors.Invalid(field="operator", why="no such operator")


def _give(cursor: Cursor, operator_id: OperatorId, roles: Collection[str]) -> None:
    for name in sorted(set(roles)):
        if name not in PRESETS and _HAS_ROLE.row(cursor, name=name) is None:
            raise errors.Invalid(field="roles", why=f"no role {name}")
        _ADD_ROLE.run(cursor, {"operator_id": operator_id, "role": name})


def _add_key(cursor: Cursor, operator_id: OperatorId, key: OperatorKey) -> None:
    values = {
        "digest": key.digest,
        "operator_id": operator_id,
        "method": key.method,
        "credential_id": key.credential_id,
        "active": key.active,
    }
    _ADD_KEY.run(cursor, values)
