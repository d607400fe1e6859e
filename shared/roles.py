"""Who may do what: levels, subjects, roles, and the presets that every installation begins with.

Pure: a role is a set of grants; several roles together may do whatever one of them may (union). What no role grants is
hidden. The server judges by this (`server.authority.policy`); faces show what it leaves.

A grant is for all templates or for some. What is asked without a template (a card without a credential, a search) needs
a grant for all of them.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum, unique
from functools import lru_cache
from itertools import chain
from types import MappingProxyType
from typing import Any, Final

from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.credential.template_reading import NAME as TEMPLATE_NAME

# --- words ----------------------------------------------------------------------------------------------


@unique
class Level(IntEnum):
    """How far a permission goes; more includes less."""

    HIDDEN = 0
    VIEW = 1
    """It is shown, and may be read or rehearsed."""
    EXECUTE = 2

    @property
    def word(self) -> str:
        """How people and documents write it."""
        return self.name.lower()


@unique
class Area(StrEnum):
    """What an administrator looks after."""

    TEMPLATES = "templates"
    STATIONS = "stations"
    OPERATORS = "operators"
    ROLES = "roles"
    KEYS = "keys"
    """Generations of the master key."""
    CONNECTIONS = "connections"
    """Directories, certificate authorities: which, and with which credentials."""
    TASKS = "tasks"
    """What waits for certificate authorities, and the server's jobs."""
    SETTINGS = "settings"
    """The server itself: what it needs, and whether that is well."""


@unique
class Act(StrEnum):
    """What operators do besides operations on cards."""

    LOOK_UP = "look-up"
    """See what the record says of a card, and how it differs from its template."""
    FIND_PEOPLE = "find-people"
    FIND_CREDENTIALS = "find-credentials"
    READ_OUT = "read-out"
    """Be told the code that unblocks a card far away."""
    UNBLOCK_CODE = "unblock-code"
    """Make a code with which a holder unblocks a card at a station."""


Subject = OperationKind | Act | Area

SUBJECTS: Final[Mapping[str, Subject]] = MappingProxyType(
    {subject.value: subject for subject in chain[Subject](OperationKind, Act, Area)}
)
"""Everything that a role may name, in the order in which it is listed."""

WITH_TEMPLATE: Final[frozenset[Subject]] = frozenset({*OperationKind, Act.READ_OUT, Act.UNBLOCK_CODE})
"""What may be granted for some templates only; the rest is about no template, or about all of them."""

SENSITIVE: Final[frozenset[Subject]] = frozenset(
    {
        OperationKind.ISSUE,
        OperationKind.ACTIVATE,
        OperationKind.UNBLOCK,
        OperationKind.REISSUE,
        OperationKind.RESUME,
        OperationKind.REVOKE,
        OperationKind.RETIRE,
        OperationKind.UNREGISTER,
        OperationKind.DELETE,
        *(Act.READ_OUT, Act.UNBLOCK_CODE),
        *(Area.TEMPLATES, Area.STATIONS, Area.OPERATORS, Area.ROLES, Area.KEYS, Area.CONNECTIONS),
    }
)
"""What the operator's PIN is asked for again, at level *execute*: it makes a usable card, discloses a secret, cannot be taken
back, or changes who may do what. Suspension is not among them: it must be quick, and can be lifted."""

# --- grants and roles -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A level on a subject. `templates` are names; None is all of them."""

    subject: Subject
    level: Level
    templates: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A named set of grants. `preset`: it comes with the program."""

    name: str
    title: str
    grants: tuple[Grant, ...]
    preset: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """What roles may do together: by subject, the level for all templates and those for single ones."""

    overall: Mapping[Subject, Level]
    single: Mapping[tuple[Subject, str], Level]
    highest: Mapping[Subject, Level]

    def allowed(self, subject: Subject, template: str | None) -> Level:
        """Return the level on `subject` for a template; None where it is about no template."""
        level = self.overall.get(subject, Level.HIDDEN)
        if template is None:
            return level
        return max(level, self.single.get((subject, template), Level.HIDDEN))

    def anywhere(self, subject: Subject) -> Level:
        """Return the highest level on `subject` for any template: what a face shows before a card is there."""
        return self.highest.get(subject, Level.HIDDEN)

    def covers(self, grants: Iterable[Grant]) -> bool:
        """Whether all that `grants` give is allowed already: nobody gives what they do not have."""
        return all(
            self.allowed(grant.subject, template) >= grant.level
            for grant in grants
            for template in (grant.templates if grant.templates is not None else (None,))
        )


def union(roles: Iterable[Role]) -> Permissions:
    """Return what these roles may do together."""
    overall: dict[Subject, Level] = {}
    single: dict[tuple[Subject, str], Level] = {}
    highest: dict[Subject, Level] = {}
    for grant in chain.from_iterable(role.grants for role in roles):
        subject, level = grant.subject, grant.level
        if grant.templates is None:
            overall[subject] = max(level, overall.get(subject, level))
        else:
            for name in grant.templates:
                single[subject, name] = max(level, single.get((subject, name), level))
        if grant.templates is None or grant.templates:
            highest[subject] = max(level, highest.get(subject, level))
    return Permissions(
        overall=MappingProxyType(overall), single=MappingProxyType(single), highest=MappingProxyType(highest)
    )


def limited(permissions: Permissions, highest: Callable[[Subject], Level]) -> Permissions:
    """Return these permissions, on every subject no more than the `highest` level there is for it."""

    def cut(subject: Subject, level: Level) -> Level:
        return min(level, highest(subject))

    return Permissions(
        overall={subject: cut(subject, level) for subject, level in permissions.overall.items()},
        single={
            (subject, name): cut(subject, level) for (subject, name), level in permissions.single.items()
        },
        highest={subject: cut(subject, level) for subject, level in permissions.highest.items()},
    )


def allowed(roles: Iterable[Role], subject: Subject, template: str | None) -> Level:
    """Return the level that these roles give on `subject` for a template; None where it is about no template."""
    return union(roles).allowed(subject, template)


# --- presets --------------------------------------------------------------------------------------------

SYSTEM_ADMINISTRATOR: Final = "system-administrator"
"""The role that every installation can come back to: it cannot be edited."""


_LOOKING: Final[frozenset[Subject]] = frozenset({Act.LOOK_UP, Act.FIND_PEOPLE, Act.FIND_CREDENTIALS})
_HELPING: Final[frozenset[Subject]] = frozenset({OperationKind.UNBLOCK, Act.READ_OUT, Act.UNBLOCK_CODE})
_DAILY: Final[frozenset[Subject]] = (
    _LOOKING
    | _HELPING
    | {
        OperationKind.REGISTER,
        OperationKind.ISSUE,
        OperationKind.ACTIVATE,
        OperationKind.CHANGE_PIN,
        OperationKind.UPDATE,
        OperationKind.RENEW,
        OperationKind.REISSUE,
        OperationKind.SUSPEND,
        OperationKind.RESUME,
        OperationKind.REVOKE,
        OperationKind.RETIRE,
        OperationKind.UNREGISTER,
    }
)
_RUNNING: Final[frozenset[Subject]] = frozenset({Area.TEMPLATES, Area.STATIONS, Area.TASKS})
"""What an installation is kept running with."""


def _preset(name: str, title: str, executes: Iterable[Subject], views: Iterable[Subject] = ()) -> Role:
    """Return a preset. What is named nowhere stays hidden: something new is nobody's until it was decided here."""
    levels = {**dict.fromkeys(views, Level.VIEW), **dict.fromkeys(executes, Level.EXECUTE)}
    grants = (Grant(subject=each, level=levels[each]) for each in SUBJECTS.values() if each in levels)
    return Role(name=name, title=title, grants=tuple(grants), preset=True)


PRESETS: Final[Mapping[str, Role]] = MappingProxyType(
    {
        role.name: role
        for role in (
            _preset(SYSTEM_ADMINISTRATOR, "System Administrator", frozenset(SUBJECTS.values())),
            _preset(
                "elevated",
                "Elevated",
                _DAILY | _RUNNING | {OperationKind.DELETE, Area.SETTINGS},
                {Area.OPERATORS, Area.ROLES, Area.KEYS, Area.CONNECTIONS},
            ),
            _preset("normal", "Normal", _DAILY, _RUNNING | {OperationKind.DELETE}),
            _preset("restricted", "Restricted", _LOOKING | _HELPING),
            _preset("key-recovery", "Key Recovery", _LOOKING, {*OperationKind, Area.KEYS}),
        )
    }
)
"""By name, the most powerful first."""

# --- making and changing roles --------------------------------------------------------------------------

TITLE_MAX: Final = 80
TEMPLATES_MAX: Final = 500
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")


def clone(role: Role, *, name: str, title: str) -> Role:
    """Return a role of another name that may do the same.

    Raises:
        Invalid: the name or the title is not acceptable.
    """
    return checked(replace(role, name=name, title=title, preset=False))


def edited(role: Role, grants: Iterable[Grant], *, title: str | None = None) -> Role:
    """Return the role with `grants` in the place of what it said of their subjects; the rest stays.

    Raises:
        Invalid: the result is no acceptable role.
    """
    new = tuple(grants)
    subjects = {grant.subject for grant in new}
    kept = tuple(grant for grant in role.grants if grant.subject not in subjects)
    title = role.title if title is None else title
    return checked(replace(role, title=title, grants=normal((*kept, *new))))


def normal(grants: Iterable[Grant]) -> tuple[Grant, ...]:
    """Return grants that mean the same, in the one order: no hidden ones, at most one for a subject and level."""
    single: dict[tuple[Subject, Level], frozenset[str] | None] = {}
    for grant in grants:
        key = (grant.subject, grant.level)
        before = single.get(key, frozenset())
        both = None if before is None or grant.templates is None else before | grant.templates
        if grant.level and both != frozenset():
            single[key] = both
    order = {subject: place for place, subject in enumerate(SUBJECTS.values())}
    return tuple(
        Grant(subject=subject, level=level, templates=templates)
        for (subject, level), templates in sorted(
            single.items(), key=lambda item: (order[item[0][0]], item[0][1])
        )
    )


def checked(role: Role) -> Role:
    """Return the role as it is.

    Raises:
        Invalid: its name or title is not acceptable, or a grant names templates although its subject has none.
    """
    if not _NAME.fullmatch(role.name):
        raise errors.Invalid(field="name", why="1 to 40 of a to z, 0 to 9 and -, a letter first")
    if (
        not 0 < len(role.title) <= TITLE_MAX
        or not role.title.isprintable()
        or role.title != role.title.strip()
    ):
        raise errors.Invalid(field="title", why=f"1 to {TITLE_MAX} characters")
    for grant in role.grants:
        if grant.templates is None:
            continue
        if grant.subject not in WITH_TEMPLATE:
            raise errors.Invalid(
                field=grant.subject.value, why="it is granted for all templates or not at all"
            )
        if len(grant.templates) > TEMPLATES_MAX or not all(map(TEMPLATE_NAME.fullmatch, grant.templates)):
            raise errors.Invalid(field=grant.subject.value, why="not the names of templates")
    return role


# --- the form in which a role is kept and shown ---------------------------------------------------------


def to_document(role: Role) -> str:
    """Return the one JSON text of a role: keys in order, no blanks, grants in their order."""
    grants = [
        {
            "subject": grant.subject.value,
            "level": grant.level.word,
            "templates": None if grant.templates is None else sorted(grant.templates),
        }
        for grant in normal(role.grants)
    ]
    document = {"name": role.name, "title": role.title, "preset": role.preset, "grants": grants}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


@lru_cache(maxsize=256)  # roles are read with every call that is judged
def from_document(document: str) -> Role:
    """Return the role that a text describes.

    Raises:
        Invalid: it is not the form of `to_document`, or no acceptable role.
    """
    try:
        fields = json.loads(document)
        if not isinstance(fields, dict) or fields.keys() != {"name", "title", "preset", "grants"}:
            raise errors.Invalid(field="role", why="not name, title, preset and grants")
        name, title, preset, grants = (fields[key] for key in ("name", "title", "preset", "grants"))
        if not isinstance(name, str) or not isinstance(title, str) or not isinstance(preset, bool):
            raise errors.Invalid(field="role", why="name and title are texts, preset is true or false")
        read = tuple(_grant(**grant) for grant in grants)
    except (ValueError, TypeError, RecursionError) as cause:
        raise errors.Invalid(field="role", why="not the form of a role") from cause
    return checked(Role(name=name, title=title, grants=normal(read), preset=preset))


def _grant(*, subject: str, level: str, templates: Any) -> Grant:
    """Return one grant of a document.

    Raises:
        Invalid: no such subject or level, or templates are not texts.
    """
    if templates is not None and not (
        isinstance(templates, list) and all(isinstance(name, str) for name in templates)
    ):
        raise errors.Invalid(field="templates", why="a list of names, or null for all of them")
    return Grant(
        subject=subject_of(subject),
        level=level_of(level),
        templates=None if templates is None else frozenset(templates),
    )


def subject_of(word: str) -> Subject:
    """Return the subject that `word` names; `Invalid` where there is none."""
    found = SUBJECTS.get(word)
    if found is None:
        raise errors.Invalid(field="subject", why=f"no {word}; there are {', '.join(SUBJECTS)}")
    return found


def level_of(word: str) -> Level:
    """Return the level that `word` names; `Invalid` where there is none."""
    found = next((level for level in Level if level.word == word), None)
    if found is None:
        raise errors.Invalid(
            field="level", why=f"no {word}; there are {', '.join(each.word for each in Level)}"
        )
    return found
