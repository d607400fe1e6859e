"""Every kind of drift and of difference has a sentence, whatever the server sends in it."""

import pytest

from kiosk.station import drift_words, wording
from shared.console import CardView
from shared.credential.difference import Aspect, Difference
from shared.credential.drift_kinds import CALL, CONTINUE, Drift, Kind
from shared.credential.lifecycle import OperationKind
from shared.credential.model import State

MENDS = (
    CALL,
    CONTINUE,
    *(
        OperationKind.UPDATE,
        OperationKind.UNBLOCK,
        OperationKind.ACTIVATE,
        OperationKind.RESUME,
        OperationKind.RENEW,
        OperationKind.REISSUE,
        OperationKind.RETIRE,
        OperationKind.ISSUE,
    ),
)
"""Everything that `shared.credential.drift` proposes."""


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_is_worded(kind: Kind) -> None:
    words = drift_words.drift(Drift(key=kind, subject="9C", expected="this", found="that"))
    assert kind in drift_words._DRIFT
    assert words[0].isupper()
    assert words[-1] == "."
    assert "{" not in words
    assert "…" not in words, "a sentence names what no difference has"


def test_every_way_to_mend_is_worded() -> None:
    help_wanted = wording.next_action(CALL)
    assert all(wording.next_action(way) != help_wanted for way in MENDS if way != CALL)


@pytest.mark.parametrize("aspect", Aspect)
def test_every_aspect_is_worded(aspect: Aspect) -> None:
    (line,) = drift_words.difference_lines([Difference(aspect=aspect, subject="9C", expected="this")])
    assert aspect in drift_words._ASPECTS
    assert str(line).startswith("- ")
    assert "{" not in line.text


@pytest.mark.parametrize(
    ("expected", "found", "told", "line"),
    [
        ("P-256", "", True, "- Key 9C: P-256"),
        ("", "P-384", True, "+ Key 9C: P-384"),
        ("P-256", "P-384", True, "~ Key 9C: P-256, the card has P-384"),
        ("P-256", "", False, "? Key 9C: P-256; what the card has is not known"),
    ],
)
def test_the_sign_says_who_has_it(expected: str, found: str, line: str, *, told: bool) -> None:
    difference = Difference(aspect=Aspect.KEY, subject="9C", expected=expected, found=found, told=told)
    assert [str(each) for each in drift_words.difference_lines([difference])] == [line]


def test_what_is_mended_alike_stands_together() -> None:
    revoked = [
        Drift(key=Kind.CERTIFICATE_REVOKED, subject=slot, found="ab", mend="retire") for slot in ("9A", "9C")
    ]
    card = CardView(
        state=State.ISSUED,
        drift=(
            revoked[0],
            Drift(key=Kind.PIN_BLOCKED, mend="activate"),
            revoked[1],
            Drift(key=Kind.OPERATION_CUT, subject="issue", found="2026-11-17", mend=CONTINUE),
        ),
    )
    assert [str(line) for line in drift_words.drift_lines(card)] == [
        "+ Certificate 9A, 9C: revoked, and still on the card.",
        "→ Retire the card; it may be issued again then.",
        "~ PIN: blocked.",
        "→ Let the holder set the PIN (activate).",
    ]


def test_a_notice_gives_way_to_the_line_that_says_more() -> None:
    notices = ("update-needed", "pin-blocked", "holder-disabled")
    older = Drift(key=Kind.PUK_OLDER, mend="update")
    assert list(drift_words.notices(CardView(state=State.ACTIVE, notices=notices))) == list(notices)
    said = drift_words.notices(CardView(state=State.ACTIVE, notices=notices, drift=(older,)))
    assert said == ["pin-blocked", "holder-disabled"]


def test_what_a_newer_server_says_is_still_shown() -> None:
    strange = Drift(key="moon-phase", subject="9C", expected="full", found="new", mend="wait")
    card = CardView(state=State.ACTIVE, drift=(strange,))
    assert [str(line) for line in drift_words.drift_lines(card)] == [
        "~ Moon phase 9C full new",
        "→ Call an administrator.",
    ]
    (line,) = drift_words.difference_lines([Difference(aspect="moon-phase", subject="9C", found="new")])
    assert str(line) == "+ Moon phase 9C: new"


@pytest.mark.parametrize("text", ["{subject}", "{0}", "[x]", "{", "%s", "{subject.__class__}"])
def test_facts_are_never_templates(text: str) -> None:
    for kind in Kind:
        words = drift_words.drift(Drift(key=kind, subject=text, expected=text, found=text))
        assert "<class" not in words
    (line,) = drift_words.difference_lines([Difference(aspect=Aspect.KEY, subject=text, found=text)])
    assert line.text == f"Key {text}: {text}"
