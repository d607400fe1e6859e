"""What a station may be used for.

Decided on the server, whoever is logged on: a kiosk for holders does no operator's work. A station is told its own so that
it offers nothing that would be refused.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Any, Final, TypeVar

from shared import errors
from shared.credential.lifecycle import OperationKind


@unique
class Face(StrEnum):
    """What speaks with people, or with other programs, at a station."""

    DESK = "desk"
    SELF_SERVICE = "self-service"
    BATCH = "batch"
    CLI = "cli"


OPERATORS: Final = frozenset({Face.DESK, Face.BATCH, Face.CLI})
"""Faces at which operators work; the other one is the holders' own."""

MAX_TEMPLATES: Final = 200
MAX_NAME: Final = 64
"""Characters of a template's name."""

MAX_DOCUMENT: Final = 32_768
"""Characters of a profile as it is kept."""

S = TypeVar("S", bound=StrEnum)


@dataclass(frozen=True, slots=True, kw_only=True)
class StationProfile:
    """What is allowed at a station; None where everything is. `default_template` is offered first."""

    faces: frozenset[Face] | None = None
    operations: frozenset[OperationKind] | None = None
    templates: frozenset[str] | None = None
    default_template: str = ""

    def __post_init__(self) -> None:
        """Refuse what could not be kept to: `Invalid`."""
        names = {*(self.templates or ()), *filter(None, [self.default_template])}
        if len(names) > MAX_TEMPLATES or not all(_prints(name) for name in names):
            raise errors.Invalid(field="templates", why=f"at most {MAX_TEMPLATES} names")
        if self.default_template and not self.allows_template(self.default_template):
            raise errors.Invalid(field="default_template", why="it is not among the templates")

    @property
    def for_operators(self) -> bool:
        """Whether an operator may work here at all."""
        return self.faces is None or not self.faces.isdisjoint(OPERATORS)

    def allows_face(self, face: Face | None) -> bool:
        """Whether this face may be used; one that is not named only where all may."""
        return self.faces is None or face in self.faces

    def allows(self, operation: OperationKind) -> bool:
        """Whether this may be done to cards."""
        return self.operations is None or operation in self.operations

    def allows_template(self, name: str) -> bool:
        """Whether credentials of this template may be worked on."""
        return self.templates is None or name in self.templates


EVERYTHING: Final = StationProfile()
"""What a station may be used for unless somebody says otherwise."""


def read_face(text: str) -> Face | None:
    """Return the face that a station names, or None for one that nobody knows."""
    return next((face for face in Face if face.value == text), None)


def to_document(profile: StationProfile) -> str:
    """Return a profile as it is kept: JSON with sorted keys, without what says nothing."""
    kept: dict[str, object] = {
        "faces": _names(profile.faces),
        "operations": _names(profile.operations),
        "templates": _names(profile.templates),
        "default-template": profile.default_template or None,
    }
    return json.dumps(
        {key: value for key, value in kept.items() if value is not None}, sort_keys=True, ensure_ascii=False
    )


def said(profile: StationProfile) -> str:
    """Return a profile in words."""
    parts = [
        f"{what}: {', '.join(_names(allowed) or ['none'])}"
        for what, allowed in (
            ("faces", profile.faces),
            ("operations", profile.operations),
            ("templates", profile.templates),
        )
        if allowed is not None
    ]
    if profile.default_template:
        parts.append(f"first template: {profile.default_template}")
    return "; ".join(parts) or "everything"


def from_document(text: str) -> StationProfile:
    """Read a profile.

    Raises:
        Invalid: it is not one, or names what this program does not know; nothing is guessed.
    """
    try:
        kept = _fields(json.loads(text))
        return StationProfile(
            faces=_members(kept, "faces", Face),
            operations=_members(kept, "operations", OperationKind),
            templates=_texts(kept, "templates"),
            default_template=_text(kept.get("default-template", "")),
        )
    except (ValueError, TypeError) as cause:
        raise errors.Invalid(field="profile", why="cannot be read") from cause


_FIELDS: Final = {"faces", "operations", "templates", "default-template"}


def _fields(kept: object) -> Mapping[str, Any]:
    if not isinstance(kept, dict) or not kept.keys() <= _FIELDS:
        message = "not a profile"
        raise TypeError(message)
    return kept


def _names(values: Iterable[str] | None) -> list[str] | None:
    return None if values is None else sorted(str(value) for value in values)


def _members(kept: Mapping[str, Any], key: str, kind: type[S]) -> frozenset[S] | None:
    texts = _texts(kept, key)
    return None if texts is None else frozenset(kind(text) for text in texts)


def _texts(kept: Mapping[str, Any], key: str) -> frozenset[str] | None:
    if key not in kept:
        return None
    if not isinstance(kept[key], list):
        message = f"{key} is not a list"
        raise TypeError(message)
    return frozenset(_text(each) for each in kept[key])


def _text(value: object) -> str:
    if not isinstance(value, str):
        message = "not a text"
        raise TypeError(message)
    return value


def _prints(name: str) -> bool:
    return 0 < len(name) <= MAX_NAME and name.isprintable()
