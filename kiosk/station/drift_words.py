"""Drift and differences as lines for people: a sign, then words; and for drift the way to mend it below.

The signs are those of a diff with the card on the right: `-` is missing from the card, `+` is on it unasked, `~` is
different, `?` is not known. A notice that says the same as a line of drift is left out: the line says it better.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

from kiosk.station import wording
from shared.console import CardView
from shared.credential.difference import Aspect, Difference
from shared.credential.drift_kinds import Drift, Kind
from shared.relay import OperationKind, StepLine
from shared.wording import said

MEND: Final = "→"
"""The sign before the way to mend what stands above."""

_DRIFT: Final[dict[str, str]] = {
    Kind.OPERATION_CUT: "Cut on {found}, not done: {subject}.",
    Kind.CARD_RESET: "The management key is the factory's: the card was reset, or it is another one.",
    Kind.MANAGEMENT_KEY_ALGORITHM: "Management key: {found} instead of {expected}; somebody else has set it.",
    Kind.MANAGEMENT_KEY_OLDER: "Management key: generation {found}, the newest is {expected}.",
    Kind.PUK_DEFAULT: "Unblocking code: the factory's instead of ours.",
    Kind.PUK_UNKNOWN: "Unblocking code: not the recorded one; somebody else has changed it.",
    Kind.PUK_BLOCKED: "Unblocking code: blocked.",
    Kind.PUK_TRIES: "Unblocking code: {found} tries instead of {expected}.",
    Kind.PUK_OLDER: "Unblocking code: due for a new one.",
    Kind.PIN_DEFAULT: "PIN: the factory's.",
    Kind.PIN_BLOCKED: "PIN: blocked.",
    Kind.PIN_TRIES: "PIN: {found} tries instead of {expected}.",
    Kind.CHUID_FOREIGN: "CHUID: {found} instead of {expected}.",
    Kind.OBJECT_MISSING: "No {subject}.",
    Kind.OBJECT_UNVOUCHED: "Not covered by the security object as it is: {subject}.",
    Kind.KEY_MISSING: "Key {subject}: missing ({expected}).",
    Kind.KEY_FOREIGN: "Key {subject}: {found} instead of {expected}.",
    Kind.KEY_UNKNOWN: "Key {subject}: not ours ({found}).",
    Kind.KEY_UNPROVEN: "Key {subject}: never proved that it is the recorded one.",
    Kind.CERTIFICATE_MISSING: "Certificate {subject}: missing ({expected}).",
    Kind.CERTIFICATE_FOREIGN: "Certificate {subject}: {found} instead of {expected}.",
    Kind.CERTIFICATE_UNKNOWN: "Certificate {subject}: not ours ({found}).",
    Kind.CERTIFICATE_REVOKED: "Certificate {subject}: revoked, and still on the card.",
    Kind.CERTIFICATE_EXPIRED: "Certificate {subject}: expired on {found}.",
    Kind.CERTIFICATE_EXPIRES: "Certificate {subject}: expires on {found}.",
    Kind.TEMPLATE_OLDER: "Template: version {found}, the newest is {expected}.",
    Kind.TEMPLATE_REISSUE: "Template: a newer version wants other keys or certificates.",
    Kind.UPDATE_DUE: "Due: {subject}.",
}

_ASPECTS: Final[dict[str, str]] = {
    Aspect.VERSION: "Version of the template",
    Aspect.MANAGEMENT_KEY: "Management key",
    Aspect.KEY: "Key {subject}",
    Aspect.PIN_POLICY: "Key {subject}, PIN",
    Aspect.TOUCH_POLICY: "Key {subject}, touch",
    Aspect.CERTIFICATE: "Certificate {subject}",
    Aspect.OBJECT: "Object {subject}",
    Aspect.PIN_TRIES: "Tries of the PIN",
    Aspect.PUK_TRIES: "Tries of the unblocking code",
}

_SAID_BY_DRIFT: Final[dict[str, frozenset[str]]] = {
    "update-needed": frozenset(
        {Kind.MANAGEMENT_KEY_OLDER, Kind.PUK_OLDER, Kind.TEMPLATE_OLDER, Kind.UPDATE_DUE}
    ),
    "reissue-needed": frozenset({Kind.TEMPLATE_REISSUE}),
    "renewal-due": frozenset({Kind.CERTIFICATE_EXPIRED, Kind.CERTIFICATE_EXPIRES}),
    "pin-blocked": frozenset({Kind.PIN_BLOCKED}),
    "known-card-in-factory-state": frozenset({Kind.CARD_RESET}),
}
"""Notices, and the lines of drift that say the same with more in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line: its sign, and its words."""

    sign: str
    text: str

    def __str__(self) -> str:
        """Return it as plain text."""
        return f"{self.sign} {self.text}"


def notices(record: CardView) -> Sequence[str]:
    """Return the notices about a card that no line of its drift says."""
    keys = {each.key for each in record.drift}
    return [notice for notice in record.notices if not _SAID_BY_DRIFT.get(notice, frozenset()) & keys]


def drift_lines(record: CardView, *, besides: frozenset[str] = frozenset()) -> Sequence[Line]:
    """Return a card's drift as lines: what is mended in the same way stands together, above the way.

    A cut operation has a place of its own on every face, and no line here; nor have the kinds in `besides`.
    """
    wanted = [each for each in record.drift if each.key not in {Kind.OPERATION_CUT, *besides}]
    ways = list(dict.fromkeys(each.mend for each in wanted))
    lines: list[Line] = []
    for way in ways:
        lines += _joined([each for each in wanted if each.mend == way])
        lines.append(Line(sign=MEND, text=wording.next_action(way)))
    return lines


def _joined(drifts: Sequence[Drift]) -> list[Line]:
    """Word each difference; subjects that say the same share a line."""
    lines = []
    for _, group in groupby(drifts, key=lambda each: replace(each, subject="")):
        alike = list(group)
        subject = ", ".join(each.subject for each in alike)
        lines.append(Line(sign=alike[0].sign, text=drift(replace(alike[0], subject=subject))))
    return lines


def drift(found: Drift) -> str:
    """Word one difference from the record; a key that is not known is shown as words."""
    subject = found.subject
    if found.key == Kind.OPERATION_CUT and subject in set(OperationKind):
        subject = wording.operation(OperationKind(subject))
    if found.key == Kind.UPDATE_DUE:
        subject = wording.step(StepLine(key=subject))
    facts = {"subject": subject, "expected": found.expected, "found": found.found}
    words = _DRIFT.get(found.key)
    if words is None:
        head = found.key.replace("-", " ").capitalize()
        return " ".join(part for part in (head, *facts.values()) if part)
    return said(words, facts)


def difference_lines(differences: Sequence[Difference]) -> Sequence[Line]:
    """Return how a card differs from a template, a line each; no line where it does not."""
    return [Line(sign=each.sign, text=f"{_aspect(each)}: {_values(each)}") for each in differences]


def _aspect(difference: Difference) -> str:
    words = _ASPECTS.get(difference.aspect)
    if words is None:
        return f"{difference.aspect.replace('-', ' ').capitalize()} {difference.subject}".strip()
    return said(words, {"subject": difference.subject})


def _values(difference: Difference) -> str:
    expected, found = difference.expected, difference.found
    if not difference.told:
        return f"{expected}; what the card has is not known"
    if not found:
        return expected
    return f"{expected}, the card has {found}" if expected else found
