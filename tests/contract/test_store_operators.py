"""What every store must do with operators, their keys and roles, and the passcode of the first start."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from server.ports.store import (
    AuditKind,
    AuditRecord,
    CredentialChanged,
    FirstStartRecord,
    LogonMethod,
    OperatorId,
    OperatorKey,
    OperatorKind,
    OperatorRegistered,
    OperatorState,
    PasscodeRecord,
    RoleRecord,
    Store,
)
from shared import errors
from shared.credential.model import CredentialId, HolderId, State
from tests.contract.stores import conflict
from tests.server.store.examples import EVIDENCE, NOON, a_key, a_station, an_operator, with_credential

ACTED = AuditRecord(kind=AuditKind.OPERATOR, event="operator-changed", actor="admin", subject="1")
LATER = NOON + timedelta(hours=1)
NOBODY = OperatorId(uuid4())
PASSCODE = PasscodeRecord(
    salt=b"s" * 16, digest=b"d" * 32, cost=2**15, block_size=8, parallelism=1, made_at=NOON
)
ROLE = RoleRecord(name="helpdesk", document="{}", preset=False, changed_at=NOON)


async def acts(store: Store) -> Sequence[AuditRecord]:
    return [entry.record for entry in await store.audit.page(1, 100)]


async def a_first_start(store: Store) -> FirstStartRecord:
    station = a_station()
    await store.stations.add_station(station, EVIDENCE)
    return FirstStartRecord(
        token_digest=uuid4().bytes,
        station_id=station.station_id,
        fingerprint=station.fingerprint,
        expires_at=LATER,
    )


# --- operators ------------------------------------------------------------------------------------------


async def test_an_operator_is_kept_and_found(store: Store) -> None:
    assert not await store.operators.exist()
    key, other = a_key(), a_key(method=LogonMethod.AGENT, active=False)
    berg = an_operator(
        key,
        other,
        name="Berg",
        holder=HolderId("4711"),
        roles=frozenset({"normal", "restricted"}),
        last_logon_at=NOON,
        failed_logons=3,
        locked_until=LATER,
    )
    plain = an_operator(name="Adler", kind=OperatorKind.APPLICATION, state=OperatorState.INACTIVE)
    for operator in (berg, plain):
        await store.operators.add(operator, ACTED)
    assert await store.operators.exist()
    assert await store.operators.by_id(berg.operator_id) == berg
    assert await store.operators.by_key(key.digest) == berg
    assert await store.operators.by_key(other.digest) == berg
    assert list(await store.operators.all()) == [plain, berg]
    assert list(await store.operators.of_holder(HolderId("4711"))) == [berg]
    assert await acts(store) == [ACTED, ACTED]


async def test_nobody_is_found_where_nobody_is(store: Store) -> None:
    await store.operators.add(an_operator(a_key()), ACTED)
    assert await store.operators.by_id(NOBODY) is None
    assert await store.operators.by_key(b"\x00" * 32) is None
    assert await store.operators.by_credential(CredentialId(uuid4())) is None
    assert list(await store.operators.of_holder(HolderId("nobody"))) == []


async def test_an_inactive_operator_is_one(store: Store) -> None:
    """Otherwise deactivating the last one would open every station that may do without."""
    await store.operators.add(an_operator(state=OperatorState.INACTIVE), ACTED)
    assert await store.operators.exist()


async def test_what_was_told_once_is_not_told_again(store: Store) -> None:
    key = a_key()
    operator = an_operator(key)
    await store.operators.add(operator, ACTED)
    with conflict("operator"):
        await store.operators.add(replace(operator, keys=()), ACTED)
    with conflict("operator_key"):
        await store.operators.add(an_operator(key), ACTED)
    with conflict("operator_key"):
        await store.operators.add_key(operator.operator_id, key, ACTED)
    assert list(await store.operators.all()) == [operator]
    assert await acts(store) == [ACTED]


async def test_there_is_one_system_owner(store: Store) -> None:
    owners = [an_operator(kind=OperatorKind.SYSTEM_OWNER) for _ in range(2)]
    came = await asyncio.gather(
        *(store.operators.add(owner, ACTED) for owner in owners), return_exceptions=True
    )
    assert [type(each) for each in came] == [type(None), errors.StoreConflict]
    assert list(await store.operators.all()) == [owners[0]]
    assert await acts(store) == [ACTED]


# --- keys -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(set(State) - {State.REGISTERED, State.UNREGISTERED}))
async def test_a_key_counts_while_its_credential_is_active(store: Store, state: State) -> None:
    credential, lease = await with_credential(store)
    key = a_key(credential_id=credential.credential_id)
    operator = an_operator(key, holder=HolderId("4711"))
    await store.operators.add(operator, ACTED)
    await store.cards.apply(lease, [CredentialChanged(credential=replace(credential, state=state))])
    found = await store.operators.by_credential(credential.credential_id)
    assert found is not None
    assert found.keys == (replace(key, credential_state=state),)
    assert found.may_use(key.digest) is (state is State.ACTIVE)
    assert list(await store.operators.all()) == [found]
    assert await store.operators.by_key(key.digest) == found
    assert list(await store.operators.of_holder(HolderId("4711"))) == [found]


async def test_what_is_said_of_a_credential_with_a_key_is_not_kept(store: Store) -> None:
    key = a_key(credential_state=State.ACTIVE)
    operator = an_operator(key)
    await store.operators.add(operator, ACTED)
    assert await store.operators.by_id(operator.operator_id) == replace(
        operator, keys=(replace(key, credential_state=None),)
    )


async def test_a_key_of_no_credential_is_refused(store: Store) -> None:
    key = a_key(credential_id=CredentialId(uuid4()))
    operator = an_operator()
    with conflict("reference"):
        await store.operators.add(replace(operator, keys=(key,)), ACTED)
    await store.operators.add(operator, ACTED)
    with conflict("reference"):
        await store.operators.add_key(operator.operator_id, key, ACTED)
    assert await acts(store) == [ACTED]


async def test_keys_come_and_no_longer_count(store: Store) -> None:
    first, second = a_key(), a_key(method=LogonMethod.CERTIFICATE)
    operator = an_operator(first)
    await store.operators.add(operator, ACTED)
    await store.operators.add_key(operator.operator_id, second, ACTED)
    await store.operators.set_key(first.digest, ACTED, active=False)
    off = replace(first, active=False)
    found = await store.operators.by_id(operator.operator_id)
    assert found == replace(operator, keys=(off, second))
    assert (found.may_use(first.digest), found.may_use(second.digest)) == (False, True)
    await store.operators.set_key(first.digest, ACTED, active=True)
    found = await store.operators.by_id(operator.operator_id)
    assert found == replace(operator, keys=(first, second))
    assert len(await acts(store)) == 4


# --- states, roles, failures ----------------------------------------------------------------------------


async def test_activating_forgets_what_failed(store: Store) -> None:
    operator = an_operator(a_key(), failed_logons=3, locked_until=LATER)
    await store.operators.add(operator, ACTED)
    await store.operators.set_state(operator.operator_id, OperatorState.INACTIVE, ACTED)
    off = replace(operator, state=OperatorState.INACTIVE)
    assert await store.operators.by_id(operator.operator_id) == off
    assert not off.may_use(operator.keys[0].digest)
    await store.operators.set_state(operator.operator_id, OperatorState.ACTIVE, ACTED)
    assert await store.operators.by_id(operator.operator_id) == replace(
        operator, failed_logons=0, locked_until=None
    )


async def test_roles_are_given_and_taken(store: Store) -> None:
    operator, other = an_operator(roles=frozenset({"normal"})), an_operator(roles=frozenset({"normal"}))
    for each in (operator, other):
        await store.operators.add(each, ACTED)
    await store.roles.add(ROLE, ACTED)
    for roles in ({"helpdesk", "restricted"}, {"elevated"}, set[str]()):
        await store.operators.set_roles(operator.operator_id, roles, ACTED)
        assert await store.operators.by_id(operator.operator_id) == replace(operator, roles=frozenset(roles))
    assert await store.operators.by_id(other.operator_id) == other


async def test_no_role_that_there_is_not_is_given(store: Store) -> None:
    operator = an_operator(roles=frozenset({"normal"}))
    await store.operators.add(operator, ACTED)
    with pytest.raises(errors.Invalid):
        await store.operators.set_roles(operator.operator_id, {"elevated", "helpdesk"}, ACTED)
    with pytest.raises(errors.Invalid):
        await store.operators.add(an_operator(roles=frozenset({"helpdesk"})), ACTED)
    assert list(await store.operators.all()) == [operator]
    assert await acts(store) == [ACTED]


async def test_failed_logons_are_counted_and_a_lock_is_never_shortened(store: Store) -> None:
    operator = an_operator()
    await store.operators.add(operator, ACTED)
    wanted = None
    for count, lock in enumerate((None, LATER, NOON, None, LATER + timedelta(hours=1)), 1):
        assert await store.operators.note_failure(operator.operator_id, lock, ACTED) == count
        wanted = max((each for each in (wanted, lock) if each), default=None)
        assert await store.operators.by_id(operator.operator_id) == replace(
            operator, failed_logons=count, locked_until=wanted
        )
    assert len(await acts(store)) == 6


async def test_nobody_is_changed_where_nobody_is(store: Store) -> None:
    for change in (
        store.operators.set_roles(NOBODY, {"normal"}, ACTED),
        store.operators.set_state(NOBODY, OperatorState.ACTIVE, ACTED),
        store.operators.add_key(NOBODY, a_key(), ACTED),
        store.operators.set_key(b"\x00" * 32, ACTED, active=False),
        store.operators.note_failure(NOBODY, None, ACTED),
    ):
        with pytest.raises(errors.Invalid):
            await change
    assert await acts(store) == []


# --- roles ----------------------------------------------------------------------------------------------


async def test_roles_are_kept_by_name(store: Store) -> None:
    edited = RoleRecord(name="elevated", document='{"a":1}', preset=True, changed_at=LATER)
    for role in (ROLE, edited):
        await store.roles.add(role, ACTED)
    assert list(await store.roles.all()) == [edited, ROLE]
    with conflict("role"):
        await store.roles.add(replace(ROLE, document="[]"), ACTED)
    assert len(await acts(store)) == 2


async def test_a_role_is_replaced_as_it_was_seen(store: Store) -> None:
    await store.roles.add(ROLE, ACTED)
    after = replace(ROLE, document="[]", changed_at=LATER)
    await store.roles.replace(after, ROLE, ACTED)
    assert list(await store.roles.all()) == [after]
    with conflict("role"):
        await store.roles.replace(replace(ROLE, document="{ }"), ROLE, ACTED)
    other = replace(ROLE, name="other")
    with conflict("role"):
        await store.roles.replace(other, other, ACTED)
    assert list(await store.roles.all()) == [after]
    assert len(await acts(store)) == 2


async def test_a_role_that_somebody_has_stays(store: Store) -> None:
    edited = replace(ROLE, name="elevated", preset=True)
    for role in (ROLE, edited):
        await store.roles.add(role, ACTED)
    operator = an_operator(roles=frozenset({"helpdesk", "elevated"}))
    await store.operators.add(operator, ACTED)
    with conflict("operator_role"):
        await store.roles.remove("helpdesk", ACTED)
    await store.roles.remove("elevated", ACTED)  # the preset is still there
    assert list(await store.roles.all()) == [ROLE]
    await store.operators.set_roles(operator.operator_id, {"elevated"}, ACTED)
    await store.roles.remove("helpdesk", ACTED)
    assert list(await store.roles.all()) == []
    with pytest.raises(errors.Invalid):
        await store.roles.remove("helpdesk", ACTED)


# --- the passcode of the first start --------------------------------------------------------------------


async def test_the_passcode_goes_with_the_first_operator(store: Store) -> None:
    assert await store.passcode.get() is None
    await store.passcode.set(PASSCODE, ACTED)
    await store.operators.add(an_operator(kind=OperatorKind.SYSTEM_OWNER), ACTED)
    assert await store.passcode.get() == PASSCODE
    with conflict("operator"):
        await store.passcode.set(PASSCODE, ACTED)
    await store.operators.add(an_operator(), ACTED)
    assert await store.passcode.get() is None
    with conflict("operator"):
        await store.passcode.set(PASSCODE, ACTED)
    assert await store.passcode.get() is None
    assert len(await acts(store)) == 3


async def test_a_passcode_that_ends_opens_a_first_start_anew(store: Store) -> None:
    await store.operators.add(an_operator(), ACTED)
    ending = replace(PASSCODE, expires_at=LATER)
    await store.passcode.set(ending, ACTED)
    assert await store.passcode.get() == ending


async def test_an_operator_that_is_refused_leaves_the_passcode(store: Store) -> None:
    await store.passcode.set(PASSCODE, ACTED)
    operator = an_operator(a_key(credential_id=CredentialId(uuid4())))
    with conflict("reference"):
        await store.operators.add(operator, ACTED)
    assert await store.passcode.get() == PASSCODE


async def test_wrong_passcodes_are_counted_until_the_right_one(store: Store) -> None:
    assert await store.passcode.note_failure(None, ACTED) == 0
    assert not await acts(store)
    await store.passcode.set(PASSCODE, ACTED)
    assert await store.passcode.note_failure(None, ACTED) == 1
    until = NOON + timedelta(seconds=5)
    assert await store.passcode.note_failure(until, ACTED) == 2
    assert await store.passcode.get() == replace(PASSCODE, failures=2, locked_until=until)
    session = await a_first_start(store)
    await store.passcode.begin(session, PASSCODE, ACTED)
    assert await store.passcode.get() == replace(PASSCODE, session=session)


async def test_one_session_of_the_first_start_at_a_time(store: Store) -> None:
    await store.passcode.set(PASSCODE, ACTED)
    first, second = await a_first_start(store), await a_first_start(store)
    await store.passcode.begin(first, PASSCODE, ACTED)
    await store.passcode.begin(second, PASSCODE, ACTED)
    before = len(await acts(store))
    assert not await store.passcode.end(first.token_digest, ACTED)
    assert len(await acts(store)) == before
    assert await store.passcode.end(second.token_digest, ACTED)
    assert await store.passcode.get() == PASSCODE
    with conflict("passcode"):
        await store.passcode.begin(first, replace(PASSCODE, salt=b"t" * 16), ACTED)
    await store.operators.add(an_operator(), ACTED)
    with conflict("passcode"):
        await store.passcode.begin(first, PASSCODE, ACTED)


def test_no_secret_shows_in_words() -> None:
    assert "ssss" not in repr(PASSCODE)
    assert "dddd" not in repr(PASSCODE)


async def test_one_operator_has_several_keys_of_one_credential(store: Store) -> None:
    """The same person, in a reader and from afar."""
    credential, _ = await with_credential(store)
    keys = [a_key(credential_id=credential.credential_id, method=each) for each in LogonMethod]
    operator = an_operator(*keys)
    await store.operators.add(operator, ACTED)
    found = await store.operators.by_credential(credential.credential_id)
    assert found is not None
    assert [key.method for key in found.keys] == list(LogonMethod)
    assert {key.credential_state for key in found.keys} == {credential.state}
    assert found.key(b"") is None


def test_a_key_without_credential_counts_while_it_is_active() -> None:
    key = OperatorKey(digest=b"k" * 32, method=LogonMethod.CERTIFICATE)
    assert key.counts
    assert not replace(key, active=False).counts


# --- registered by a card -------------------------------------------------------------------------------


async def test_a_card_makes_its_holder_an_operator(store: Store) -> None:
    credential, lease = await with_credential(store)
    key = a_key(credential_id=credential.credential_id)
    bob = an_operator(key, holder=credential.holder, roles=frozenset({"normal"}))
    await store.cards.apply(lease, [OperatorRegistered(operator=bob), ACTED])
    shown = replace(bob, keys=(replace(key, credential_state=State.ACTIVE),))
    assert await store.operators.by_key(key.digest) == shown
    assert (await acts(store))[-1] == ACTED


async def test_another_key_of_an_operator_takes_the_place_of_the_old_one(store: Store) -> None:
    credential, lease = await with_credential(store)
    old, new = (a_key(credential_id=credential.credential_id) for _ in range(2))
    first = an_operator(old, holder=credential.holder, roles=frozenset({"normal"}))
    await store.cards.apply(lease, [OperatorRegistered(operator=first)])
    await store.operators.set_roles(first.operator_id, {"restricted"}, ACTED)
    again = an_operator(new, holder=credential.holder, roles=frozenset({"system-administrator"}))
    for _ in range(2):  # the same once more changes nothing
        await store.cards.apply(lease, [OperatorRegistered(operator=again)])
        (operator,) = await store.operators.all()
        assert (operator.operator_id, operator.roles) == (first.operator_id, frozenset({"restricted"}))
        assert [(key.digest, key.active) for key in operator.keys] == [
            (old.digest, False),
            (new.digest, True),
        ]


async def test_a_replacement_ends_the_keys_of_what_it_replaces_and_no_others(store: Store) -> None:
    (lost, first), (other, second), (new, third) = [await with_credential(store) for _ in range(3)]
    keys = [a_key(credential_id=each.credential_id) for each in (lost, other, new)]
    for key, lease in ((keys[0], first), (keys[1], second)):
        bob = an_operator(key, holder=lost.holder)
        await store.cards.apply(lease, [OperatorRegistered(operator=bob)])
    bob = an_operator(keys[2], holder=lost.holder)
    await store.cards.apply(third, [OperatorRegistered(operator=bob, replaces=lost.credential_id)])
    (operator,) = await store.operators.all()
    assert [key.active for key in operator.keys] == [False, True, True]


async def test_a_key_of_somebody_else_registers_nobody(store: Store) -> None:
    credential, lease = await with_credential(store)
    key = a_key(credential_id=credential.credential_id)
    await store.operators.add(an_operator(key, holder=HolderId("else")), ACTED)
    bob = an_operator(key, holder=credential.holder)
    with conflict("operator_key"):
        await store.cards.apply(lease, [OperatorRegistered(operator=bob)])
    assert list(await store.operators.of_holder(credential.holder)) == []


async def test_an_application_of_the_same_name_stays_apart(store: Store) -> None:
    credential, lease = await with_credential(store)
    program = an_operator(holder=credential.holder, kind=OperatorKind.APPLICATION)
    await store.operators.add(program, ACTED)
    bob = an_operator(a_key(credential_id=credential.credential_id), holder=credential.holder)
    await store.cards.apply(lease, [OperatorRegistered(operator=bob)])
    assert len(await store.operators.of_holder(credential.holder)) == 2
