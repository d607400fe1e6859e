"""What is signed when somebody approves: one form, read whole or not at all."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import errors
from shared.approval import DIGEST_LENGTH, NONCE_LENGTH, Intent, differences, read_intent
from shared.credential import plan, update
from shared.credential.approval import (
    ADMINISTRATIVE,
    TOGETHER,
    WITH_ROLES,
    ApprovalRule,
    Approvers,
    Way,
    rule_for,
)
from shared.credential.effects import PERMITTED, STEP_EFFECTS, Effect, effects_of
from shared.credential.model import State
from shared.credential.template_reading import parse_template
from tests.scenario.templates import EMPLOYEE

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
INTENT = Intent(
    way=Way.ISSUE,
    request_id=UUID(int=1),
    requester=str(UUID(int=2)),
    requester_name="Anna Berg",
    station=UUID(int=3),
    directory="people",
    holder="8d3f",
    holder_name="Bob Smith",
    template="employee",
    template_digest=b"\x07" * DIGEST_LENGTH,
    state=State.ISSUED,
    effects=PERMITTED[Way.ISSUE],
    by=Approvers.OPERATORS,
    count=1,
    created_at=NOON,
    expires_at=NOON + timedelta(hours=24),
    nonce=b"\x09" * NONCE_LENGTH,
)
texts = st.text(max_size=20)
ids = st.none() | st.uuids()
card_ways = st.sampled_from(sorted(set(Way) - ADMINISTRATIVE))


@st.composite
def intents(draw: st.DrawFn) -> Intent:
    way = draw(card_ways)
    moment = NOON + timedelta(seconds=draw(st.integers(0, 10**9)))
    return replace(
        INTENT,
        way=way,
        request_id=draw(st.uuids()),
        requester=draw(texts.filter(bool)),
        requester_name=draw(texts),
        station=draw(st.uuids()),
        directory=draw(texts),
        holder=draw(texts),
        holder_name=draw(texts),
        template=draw(texts),
        template_digest=draw(st.binary(min_size=DIGEST_LENGTH, max_size=DIGEST_LENGTH)),
        state=draw(st.sampled_from(State)),
        effects=draw(st.frozensets(st.sampled_from(sorted(PERMITTED[way] | {Effect.END_OTHERS})))),
        by=draw(st.sampled_from(Approvers)),
        count=draw(st.integers(1, 9)),
        created_at=moment,
        expires_at=moment + timedelta(seconds=draw(st.integers(1, 10**6))),
        nonce=draw(st.binary(min_size=NONCE_LENGTH, max_size=NONCE_LENGTH)),
        card=draw(ids),
        credential=draw(ids),
        replaces=draw(ids),
        primary=draw(ids),
        roles=tuple(sorted(draw(st.frozensets(texts, max_size=4)))),
        detail=draw(texts),
    )


@given(intents())
def test_what_is_written_is_read(intent: Intent) -> None:
    assert read_intent(bytes(intent)) == intent


@given(intents(), st.data())
def test_one_bit_makes_another_digest_or_no_intent(intent: Intent, data: st.DataObject) -> None:
    content = bytearray(bytes(intent))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        read = read_intent(bytes(content))
    except errors.Garbled:
        return
    assert read != intent
    assert read.digest != intent.digest


@given(intents(), st.binary(min_size=1, max_size=8))
def test_nothing_may_follow_and_nothing_may_be_missing(intent: Intent, more: bytes) -> None:
    for content in (bytes(intent) + more, bytes(intent)[: -len(more)], b""):
        with pytest.raises(errors.Garbled):
            read_intent(content)


@pytest.mark.parametrize(
    "changed",
    [
        {"effects": PERMITTED[Way.ISSUE] | {Effect.DISCLOSE}},
        {"template_digest": b""},
        {"nonce": b"short"},
        {"count": 0},
        {"count": 10},
        {"requester": ""},
        {"roles": ("b", "a")},
        {"roles": ("a", "a")},
        {"expires_at": NOON},
        {"created_at": NOON + timedelta(microseconds=1)},
        {"holder": "x" * 1025},
        {"detail": "x" * 16385},
        {"way": Way.NEW_KEY_GENERATION},
    ],
)
def test_what_could_be_read_otherwise_is_none(changed: dict[str, object]) -> None:
    with pytest.raises(errors.Garbled):
        replace(INTENT, **changed)  # type: ignore[arg-type]  # that is what is tried


OWN = {
    *("request_id", "requester", "requester_name", "station", "holder_name"),
    *("created_at", "expires_at", "nonce", "detail"),
}
"""What an approval has of its own: it does not have to be what is about to be done."""

OTHERS: dict[str, object] = {
    "way": Way.REISSUE,
    "directory": "others",
    "holder": "9e4f",
    "template": "visitor",
    "template_digest": b"\x08" * DIGEST_LENGTH,
    "state": State.ACTIVE,
    "by": Approvers.COLLEAGUES,
    "count": 2,
    "credential": UUID(int=8),
    "replaces": UUID(int=8),
    "primary": UUID(int=8),
    "roles": ("normal",),
    "effects": PERMITTED[Way.ISSUE] | {Effect.END_OTHERS},
}


def test_every_field_is_compared_or_the_approvals_own() -> None:
    assert {each.name for each in fields(Intent)} == OWN | set(OTHERS) | {"card"}


@pytest.mark.parametrize("name", OTHERS)
def test_another_thing_is_not_what_was_approved(name: str) -> None:
    effects = {"effects": PERMITTED[Way.REISSUE]} if name == "way" else {}
    wanted = replace(INTENT, **{name: OTHERS[name], **effects})  # type: ignore[arg-type]  # by its name
    assert name in differences(INTENT, wanted)
    assert not differences(INTENT, INTENT)


def test_any_card_covers_each_one_and_one_covers_no_other() -> None:
    this, other = replace(INTENT, card=UUID(int=8)), replace(INTENT, card=UUID(int=9))
    assert not differences(INTENT, this)
    assert differences(this, other) == ("card",)
    assert differences(this, INTENT) == ("card",)


def test_less_than_was_permitted_is_covered() -> None:
    assert not differences(INTENT, replace(INTENT, effects=frozenset({Effect.CERTIFY})))


# --- rules ----------------------------------------------------------------------------------------------


def test_every_step_of_every_plan_was_decided_about() -> None:
    kinds = {*plan.Step.__args__, *update.UpdateStep.__args__}
    assert set(STEP_EFFECTS) == kinds
    with pytest.raises(KeyError):
        effects_of([object()])  # type: ignore[list-item]  # that is what is tried


def test_every_way_permits_something() -> None:
    assert set(PERMITTED) == set(Way)
    assert all(PERMITTED.values())


def test_ways_around_each_other_take_an_approval_together() -> None:
    for named in TOGETHER:
        rules = [ApprovalRule(ways=frozenset({named}), count=2, by=Approvers.COLLEAGUES)]
        assert all(rule_for(rules, way, roles=False) == rules[0] for way in TOGETHER)
        assert rule_for(rules, Way.ISSUE, roles=False) is None


def test_to_suspend_and_to_resume_is_no_way_around_unblocking() -> None:
    resume, unblock = (ApprovalRule(ways=frozenset({way})) for way in (Way.RESUME, Way.UNBLOCK))
    assert rule_for([unblock], Way.RESUME, roles=False) is unblock
    assert rule_for([unblock, resume], Way.RESUME, roles=False) is resume, "its own rule comes first"
    assert rule_for([resume], Way.UNBLOCK, roles=False) is None


def test_roles_take_an_operator_whatever_the_template_says() -> None:
    colleagues = [ApprovalRule(ways=TOGETHER, count=2, by=Approvers.COLLEAGUES)]
    for way in set(Way) - ADMINISTRATIVE:
        found = rule_for([], way, roles=True)
        assert (found is not None) == (way in WITH_ROLES)
    stricter = rule_for(colleagues, Way.UNBLOCK, roles=True)
    assert stricter is not None
    assert (stricter.by, stricter.count) == (Approvers.OPERATORS, 2)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[[approval]]\noperations = ["issue"]\n', ""),
        ('[[approval]]\noperations = ["unblock"]\nby = "colleagues"\ncount = 2\n', ""),
        ('[[approval]]\noperations = ["issues"]\n', "issues takes no approval"),
        ('[[approval]]\noperations = ["revoke"]\n', "revoke takes no approval"),
        ('[[approval]]\noperations = ["change-role"]\n', "change-role takes no approval"),
        ("[[approval]]\noperations = []\n", "operations that take approvals"),
        ("[[approval]]\ncount = 2\n", "operations that take approvals"),
        ('[[approval]]\noperations = ["issue"]\nby = "colleagues"\n', "colleagues approve"),
        ('[[approval]]\noperations = ["issue"]\ncount = 0\n', "a number from 1 to 9"),
        ('[[approval]]\noperations = ["issue", "issue"]\n[[approval]]\noperations = ["issue"]\n', "two"),
        (
            '[[approval]]\noperations = ["unblock"]\n[[approval]]\noperations = ["read-out"]\n',
            "ways around each other",
        ),
        ('[approval]\noperations = ["issue"]\n', "a list of tables"),
    ],
)
def test_a_template_says_what_takes_a_second_person(text: str, why: str) -> None:
    if not why:
        assert parse_template(EMPLOYEE + text).approvals
        return
    with pytest.raises(errors.TemplateInvalid) as refused:
        parse_template(EMPLOYEE + text)
    assert why in str(refused.value.facts["why"])
