"""Roles: what grants mean together, what the presets promise, and the form in which roles are kept."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.roles import (
    PRESETS,
    SENSITIVE,
    SUBJECTS,
    SYSTEM_ADMINISTRATOR,
    WITH_TEMPLATE,
    Act,
    Area,
    Grant,
    Level,
    Role,
    allowed,
    checked,
    clone,
    edited,
    from_document,
    level_of,
    normal,
    subject_of,
    to_document,
    union,
)

TEMPLATES = ("badge", "token", "lab-1")
subjects = st.sampled_from(list(SUBJECTS.values()))
levels = st.sampled_from(Level)
some_templates = st.none() | st.frozensets(st.sampled_from(TEMPLATES))
asked = st.none() | st.sampled_from(TEMPLATES)


@st.composite
def grants(draw: st.DrawFn, least: Level = Level.HIDDEN) -> Grant:
    subject = draw(subjects)
    level = draw(levels.filter(lambda each: each >= least))
    return Grant(
        subject=subject,
        level=level,
        templates=draw(some_templates) if subject in WITH_TEMPLATE else None,
    )


roles = st.builds(
    Role,
    name=st.from_regex(r"[a-z][a-z0-9-]{0,39}", fullmatch=True),
    title=st.text("abc ÄÖ漢", min_size=1, max_size=80).filter(lambda title: title == title.strip()),
    grants=st.lists(grants(), max_size=8).map(tuple),
    preset=st.booleans(),
)


def a_role(*granted: Grant) -> Role:
    return Role(name="desk", title="Desk", grants=granted)


# --- what grants mean together ----------------------------------------------------------------------------


def test_subjects_have_one_word_each() -> None:
    assert len(SUBJECTS) == len(OperationKind) + len(Act) + len(Area)
    assert {subject_of(word) for word in SUBJECTS} == set(SUBJECTS.values())
    assert set(SUBJECTS.values()) >= SENSITIVE


@given(subjects, asked)
def test_nobody_may_do_anything(subject: Any, template: str | None) -> None:
    assert allowed([], subject, template) is Level.HIDDEN
    assert union([]).anywhere(subject) is Level.HIDDEN


@given(st.lists(roles, max_size=3), roles, subjects, asked)
def test_one_more_role_takes_nothing_away(
    some: list[Role], more: Role, subject: Any, template: str | None
) -> None:
    both = allowed([*some, more], subject, template)
    assert both == max(allowed(some, subject, template), allowed([more], subject, template))


@given(st.lists(roles, min_size=1, max_size=4), st.data(), subjects, asked)
def test_the_order_of_roles_means_nothing(
    some: list[Role], data: st.DataObject, subject: Any, template: str | None
) -> None:
    shuffled = data.draw(st.permutations(some))
    assert allowed(some, subject, template) is allowed(shuffled, subject, template)
    assert allowed(some + some, subject, template) is allowed(some, subject, template)


@given(roles, subjects, some_templates, subjects, asked)
def test_a_hidden_grant_means_nothing(
    role: Role, hidden: Any, templates: frozenset[str] | None, subject: Any, template: str | None
) -> None:
    more = a_role(*role.grants, Grant(subject=hidden, level=Level.HIDDEN, templates=templates))
    assert allowed([more], subject, template) is allowed([role], subject, template)
    assert union([more]).anywhere(subject) is union([role]).anywhere(subject)


@given(roles, subjects)
def test_what_is_allowed_somewhere_is_the_best_of_all_templates(role: Role, subject: Any) -> None:
    each = [allowed([role], subject, template) for template in (None, *TEMPLATES, "another")]
    assert union([role]).anywhere(subject) is max(each)


@given(roles, roles)
def test_what_covers_a_role_gains_nothing_by_it(mine: Role, other: Role) -> None:
    before, both = union([mine]), union([mine, other])
    gains = any(
        both.allowed(subject, template) > before.allowed(subject, template)
        for subject in SUBJECTS.values()
        for template in (None, *TEMPLATES)
    )
    assert before.covers(other.grants) is not gains


def test_a_grant_for_one_template_is_none_for_another_or_for_a_card_without() -> None:
    role = a_role(
        Grant(subject=OperationKind.ISSUE, level=Level.VIEW),
        Grant(subject=OperationKind.ISSUE, level=Level.EXECUTE, templates=frozenset({"badge"})),
    )
    assert allowed([role], OperationKind.ISSUE, "badge") is Level.EXECUTE
    assert allowed([role], OperationKind.ISSUE, "token") is Level.VIEW
    assert allowed([role], OperationKind.ISSUE, None) is Level.VIEW
    assert allowed([role], OperationKind.REVOKE, "badge") is Level.HIDDEN


# --- presets ----------------------------------------------------------------------------------------------


def executes(name: str) -> set[str]:
    may = union([PRESETS[name]])
    return {word for word, subject in SUBJECTS.items() if may.allowed(subject, None) is Level.EXECUTE}


def test_the_presets_are_the_five() -> None:
    assert list(PRESETS) == [SYSTEM_ADMINISTRATOR, "elevated", "normal", "restricted", "key-recovery"]
    for name, role in PRESETS.items():
        assert (role.name, role.preset, checked(role)) == (name, True, role)
        assert role.grants == normal(role.grants)


def test_each_preset_may_do_what_it_is_for() -> None:
    looking = {"look-up", "find-people", "find-credentials"}
    assert executes(SYSTEM_ADMINISTRATOR) == set(SUBJECTS)
    assert executes("elevated") == set(SUBJECTS) - {"operators", "roles", "keys", "connections"}
    assert executes("normal") == {*OperationKind, *Act} - {"delete"}
    assert executes("restricted") == {"unblock", "read-out", "unblock-code", *looking}
    assert executes("key-recovery") == looking


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {SYSTEM_ADMINISTRATOR}))
def test_only_system_administrators_decide_who_may_do_what(name: str) -> None:
    may = union([PRESETS[name]])
    for area in (Area.OPERATORS, Area.ROLES, Area.KEYS, Area.CONNECTIONS):
        assert may.anywhere(area) < Level.EXECUTE


# --- making and changing --------------------------------------------------------------------------------


def test_a_clone_may_do_the_same_and_is_no_preset() -> None:
    made = clone(PRESETS["restricted"], name="helpdesk", title="Help desk")
    assert made == Role(name="helpdesk", title="Help desk", grants=PRESETS["restricted"].grants)


@given(roles, st.lists(grants(), max_size=4), subjects, asked)
def test_an_edit_replaces_what_was_said_of_its_subjects(
    role: Role, new: list[Grant], subject: Any, template: str | None
) -> None:
    after = edited(role, new)
    source = a_role(*new) if subject in {grant.subject for grant in new} else role
    assert allowed([after], subject, template) is allowed([source], subject, template)
    assert (after.name, after.title, after.preset) == (role.name, role.title, role.preset)


def test_an_edit_may_change_the_title() -> None:
    assert edited(PRESETS["normal"], (), title="Desk").title == "Desk"


@pytest.mark.parametrize("name", ["", "-", "9to5", "Desk", "a b", "a" * 41, "é", "a\n"])
def test_names_are_plain(name: str) -> None:
    with pytest.raises(errors.Invalid) as refused:
        clone(PRESETS["normal"], name=name, title="Desk")
    assert refused.value.facts["field"] == "name"


@pytest.mark.parametrize("title", ["", " ", "Desk ", "De\x1bsk", "x" * 81])
def test_titles_can_be_shown(title: str) -> None:
    with pytest.raises(errors.Invalid) as refused:
        clone(PRESETS["normal"], name="desk", title=title)
    assert refused.value.facts["field"] == "title"


@pytest.mark.parametrize("subject", sorted(set(SUBJECTS.values()) - WITH_TEMPLATE))
def test_what_has_no_template_is_not_granted_for_one(subject: Any) -> None:
    grant = Grant(subject=subject, level=Level.VIEW, templates=frozenset({"badge"}))
    with pytest.raises(errors.Invalid) as refused:
        edited(PRESETS["normal"], [grant])
    assert refused.value.facts["field"] == subject


def test_a_grant_names_templates_as_they_are_named() -> None:
    grant = Grant(subject=OperationKind.ISSUE, level=Level.VIEW, templates=frozenset({"No Template"}))
    with pytest.raises(errors.Invalid):
        edited(PRESETS["normal"], [grant])


# --- the form -------------------------------------------------------------------------------------------


@given(roles, subjects, asked)
def test_a_document_says_all_of_a_role(role: Role, subject: Any, template: str | None) -> None:
    read = from_document(to_document(role))
    assert (read.name, read.title, read.preset) == (role.name, role.title, role.preset)
    assert allowed([read], subject, template) is allowed([role], subject, template)
    assert to_document(read) == to_document(role)


@given(roles, st.data())
def test_the_form_is_stable(role: Role, data: st.DataObject) -> None:
    shuffled = tuple(data.draw(st.permutations(role.grants)))
    other = Role(name=role.name, title=role.title, grants=shuffled, preset=role.preset)
    assert to_document(other) == to_document(role)


def test_the_form_is_this_one() -> None:
    role = a_role(
        Grant(subject=Area.TASKS, level=Level.VIEW),
        Grant(subject=OperationKind.ISSUE, level=Level.EXECUTE, templates=frozenset({"token", "badge"})),
    )
    assert to_document(role) == (
        '{"grants":[{"level":"execute","subject":"issue","templates":["badge","token"]},'
        '{"level":"view","subject":"tasks","templates":null}],"name":"desk","preset":false,"title":"Desk"}'
    )


def a_document(**changed: object) -> str:
    return json.dumps({**json.loads(to_document(PRESETS["restricted"])), **changed})


@pytest.mark.parametrize(
    "document",
    [
        *("", "[]", "null", "7", "{}", "[" * 100_000),
        a_document(more=1),
        a_document(name=7),
        a_document(title=None),
        a_document(preset=1),
        a_document(grants=None),
        a_document(grants=7),
        a_document(grants=["issue"]),
        a_document(grants=[{"subject": "issue", "level": "execute"}]),
        a_document(grants=[{"subject": "fly", "level": "execute", "templates": None}]),
        a_document(grants=[{"subject": ["issue"], "level": "execute", "templates": None}]),
        a_document(grants=[{"subject": "issue", "level": "2", "templates": None}]),
        a_document(grants=[{"subject": "issue", "level": 2, "templates": None}]),
        a_document(grants=[{"subject": "issue", "level": "view", "templates": "badge"}]),
        a_document(grants=[{"subject": "issue", "level": "view", "templates": [7]}]),
        a_document(grants=[{"subject": "roles", "level": "view", "templates": ["badge"]}]),
    ],
)
def test_what_is_no_role_is_refused(document: str) -> None:
    with pytest.raises(errors.Invalid):
        from_document(document)


def test_words_that_mean_nothing_name_those_that_do() -> None:
    with pytest.raises(errors.Invalid, match="invalid-request") as refused:
        level_of("write")
    assert "hidden, view, execute" in str(refused.value.facts["why"])
    with pytest.raises(errors.Invalid) as refused:
        subject_of("fly")
    assert "find-people" in str(refused.value.facts["why"])
