"""What one credential means for its holder's others, as a table."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.credential.lifecycle import OperationKind
from shared.credential.model import (
    FACTORY,
    CardRecord,
    CredentialId,
    CredentialRecord,
    HolderId,
    OpenOperation,
    OperationId,
    PinState,
    RecordId,
    SecretRecord,
    State,
    TemplateRef,
)
from shared.credential.reasons import OFFERED, Cause
from shared.credential.succession import (
    AT_ONCE,
    IN_USE,
    REPLACING,
    STANDING_IN,
    due,
    notices,
    stands_in,
)
from shared.piv.ids import ManagementAlgorithm

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
OLD, NEW, DAY = CredentialId(UUID(int=1)), CredentialId(UUID(int=2)), CredentialId(UUID(int=3))
Short = tuple[OperationKind, CredentialId, Cause]


def card(
    credential: CredentialId | None,
    state: State = State.ACTIVE,
    *,
    reason: str = "",
    replaces: CredentialId | None = None,
    primary: CredentialId | None = None,
    making: CredentialId | None = None,
) -> CardRecord:
    """Return a card with a credential, or one on which an issue was cut that replaces `making`."""
    plain = CardRecord(
        record_id=RecordId(UUID(int=(credential or CredentialId(UUID(int=9))).int + 100)),
        state=State.REGISTERED,
        profile="yubikey-5.7",
        serial=None,
        virtual=True,
        management_algorithm=ManagementAlgorithm.AES192,
        management_key=SecretRecord(proven=FACTORY),
        puk=SecretRecord(proven=FACTORY),
        pin=PinState.HOLDER,
    )
    if credential is None:
        cut = OpenOperation(
            operation_id=OperationId(UUID(int=5)),
            kind="issue",
            holder=HolderId("bob"),
            template=None,
            began_at=NOON,
            reason=reason,
            replaces=making,
        )
        return replace(plain, open_operation=cut)
    record = CredentialRecord(
        credential_id=credential,
        holder=HolderId("bob"),
        holder_name="Bob",
        template=TemplateRef(name="badge", version=1, digest=b""),
        state=state,
        reason=reason,
        replaces=replaces,
        primary=primary,
        ends_at=NOON if primary else None,
    )
    return replace(plain, state=state, credential=record)


def shown(cards: Sequence[CardRecord], suspending: Sequence[CredentialId] = (DAY,)) -> list[Short]:
    found = []
    for each in due(cards, suspending):
        assert each.card.credential is not None
        found.append((each.operation, each.card.credential.credential_id, each.cause))
    return found


REVOKE, SUSPEND = OperationKind.REVOKE, OperationKind.SUSPEND


@pytest.mark.parametrize("old", sorted(IN_USE))
@pytest.mark.parametrize("cause", REPLACING)
def test_a_replacement_ends_what_it_replaces_when_it_is_active(old: State, cause: Cause) -> None:
    for state in (State.ACTIVE, State.SUSPENDED):
        new = card(NEW, state, reason=cause.value, replaces=OLD)
        assert shown([card(OLD, old), new]) == [(REVOKE, OLD, cause)]
    assert shown([card(OLD, old), card(NEW, State.ISSUED, reason=cause.value, replaces=OLD)]) == []


@pytest.mark.parametrize("cause", REPLACING)
def test_where_it_may_be_misused_a_begun_replacement_is_enough(cause: Cause) -> None:
    begun = card(None, reason=cause.value, making=OLD)
    assert shown([card(OLD), begun]) == ([(REVOKE, OLD, cause)] if cause in AT_ONCE else [])


def test_a_replacement_whose_reason_was_overwritten_still_replaces() -> None:
    new = card(NEW, State.SUSPENDED, reason="left", replaces=OLD)
    assert shown([card(OLD), new]) == [(REVOKE, OLD, Cause.REPLACED)]


@pytest.mark.parametrize(
    ("cards", "what"),
    [
        ([card(OLD), card(DAY, State.ISSUED, primary=OLD)], []),
        ([card(OLD), card(DAY, primary=OLD)], [(SUSPEND, OLD, Cause.FORGOTTEN)]),
        ([card(OLD), card(DAY, primary=OLD, reason="lost")], [(SUSPEND, OLD, Cause.LOST)]),
        ([card(OLD), card(DAY, State.SUSPENDED, primary=OLD)], []),
        ([card(OLD, State.SUSPENDED), card(DAY, primary=OLD)], []),
        ([card(OLD), card(DAY, State.REVOKED, primary=OLD)], []),
        ([card(OLD, State.REVOKED), card(DAY, primary=OLD)], [(REVOKE, DAY, Cause.ENDED)]),
        ([card(DAY, State.ISSUED, primary=OLD)], [(REVOKE, DAY, Cause.ENDED)]),
        ([card(OLD, State.REVOKED), card(DAY, primary=OLD), card(None, making=OLD)], []),
        ([card(OLD, State.REVOKED), card(DAY, primary=OLD), card(NEW, State.ISSUED, replaces=OLD)], []),
        (
            [card(OLD, State.REVOKED), card(DAY, primary=OLD), card(NEW, replaces=OLD)],
            [(REVOKE, DAY, Cause.ENDED)],
        ),
    ],
)
def test_a_temporary_one_and_its_primary_one(cards: list[CardRecord], what: list[Short]) -> None:
    assert shown(cards) == what


def test_a_temporary_one_that_suspends_nothing() -> None:
    assert shown([card(OLD), card(DAY, primary=OLD)], suspending=()) == []
    assert shown([card(OLD, State.REVOKED), card(DAY, primary=OLD)], suspending=()) == [
        (REVOKE, DAY, Cause.ENDED)
    ]


def test_what_is_remarkable_among_others() -> None:
    cards = [card(OLD), card(DAY, primary=OLD), card(NEW, State.ISSUED, replaces=OLD)]
    told = [notices(cards, each.credential) for each in cards if each.credential is not None]
    assert told == [("temporary-out", "replacement-issued"), ("temporary",), ()]
    assert stands_in(cards, OLD) == (cards[1],)
    assert stands_in(cards, DAY) == ()


def test_every_cause_that_people_give_has_its_place() -> None:
    assert {*REPLACING, *STANDING_IN, Cause.LEFT} == set(OFFERED)
    assert set(REPLACING) >= AT_ONCE


STATES = st.sampled_from(sorted({*IN_USE, State.REVOKED}))
REASONS = st.sampled_from(["", *(cause.value for cause in OFFERED)])


@given(old=STATES, new=STATES, day=STATES, reason=REASONS, begun=st.booleans())
def test_what_is_due_comes_to_an_end_and_leaves_one_in_use(
    old: State, new: State, day: State, reason: str, *, begun: bool
) -> None:
    """Whatever is carried out in whatever state, in the end nothing is due, and no two are active in one place."""
    cards = [
        card(OLD, old),
        card(NEW, new, reason=reason, replaces=OLD),
        card(DAY, day, reason=reason, primary=OLD),
        *([card(None, reason=reason, making=OLD)] if begun else []),
    ]
    after = {REVOKE: State.REVOKED, SUSPEND: State.SUSPENDED}
    for _ in range(4):
        found = due(cards, (DAY,))
        if not found:
            break
        for item in found:
            credential = item.card.credential
            assert credential is not None
            done = replace(item.card, credential=replace(credential, state=after[item.operation]))
            cards = [done if each is item.card else each for each in cards]
    assert due(cards, (DAY,)) == ()
    states = {each.credential.credential_id: each.credential.state for each in cards if each.credential}
    active = {credential for credential, state in states.items() if state is State.ACTIVE}
    assert not {OLD, NEW} <= active
    assert not {OLD, DAY} <= active
