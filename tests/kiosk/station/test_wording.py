import string

import pytest

from kiosk.station import wording
from shared import errors
from shared.credential.model import State
from shared.relay import OperationKind, Question, StepLine

STEPS = [
    "own",
    "chuid",
    "ccc",
    "puk",
    "pin",
    "key",
    "request",
    "certificate",
    "write",
    "security-object",
    "read-back",
    "verify",
    "change-pin",
    "record",
]
ACTIONS = [
    "insert-again",
    "try-again",
    "activate",
    "call-administrator",
    "use-another-card",
    "unblock",
    "none",
    "issue",
    "ask-administrator-template",
]
RULES = ("length", "characters", "sequence", "repeat", "well-known")


def sentence(text: str) -> bool:
    return text[:1].isupper() and text[-1] in ".?" and "{" not in text and len(text) > 8


@pytest.mark.parametrize("code", sorted(errors.BY_CODE))
def test_every_failure_is_a_sentence_with_and_without_its_facts(code: str) -> None:
    bare = wording.failure(errors.from_code(code, {}))
    assert sentence(bare), bare
    names = [name for _, name, _, _ in string.Formatter().parse(wording._FAILURES[code]) if name]
    facts: dict[str, errors.Fact] = {name: f"the-{name}" for name in names}
    said = wording.failure(errors.from_code(code, facts))
    assert all(f"the-{name}" in said for name in names), said


def test_no_sentence_is_left_over() -> None:
    assert set(wording._FAILURES) == set(errors.BY_CODE)


def test_the_server_can_only_say_what_is_worded() -> None:
    assert set(STEPS) <= set(wording._STEPS)
    assert set(ACTIONS) <= set(wording._NEXT_ACTIONS)
    assert all(sentence(wording.next_action(key)) for key in ACTIONS)
    assert all(sentence(wording.state(member)) for member in State)
    assert all(wording.operation(kind) and sentence(wording.done(kind)) for kind in OperationKind)
    assert all(wording.question(asked, {"tries_left": 2}) for asked in Question)


@pytest.mark.parametrize("rule", RULES)
def test_every_broken_rule_has_its_own_sentence(rule: str) -> None:
    said = wording.failure(errors.PinPolicyViolated(rule=rule))
    assert sentence(said)
    assert said != wording.failure(errors.PinPolicyViolated(rule="another"))


def test_numbers_read_like_speech() -> None:
    assert wording.failure(errors.PinRejected(tries_left=2)) == "The PIN is wrong: 2 tries left."
    assert wording.failure(errors.PinRejected(tries_left=1)) == "The PIN is wrong: one try left."
    assert wording.question(Question.CONFIRM, {"tries_left": 1}) == "Only one try is left. Go on?"
    assert wording.tries(0) == "no tries left"
    assert wording.tries(3) == "3 tries left"


def test_a_wrong_setting_names_place_and_nearest_key() -> None:
    error = errors.ConfigInvalid(
        file="kiosk.toml", line=7, key="serverr", why="unknown key", nearest="server"
    )
    assert wording.failure(error) == (
        "The configuration is wrong in kiosk.toml, line 7: serverr: unknown key. Did you mean “server”?"
    )
    assert wording.failure(errors.ConfigMissing(file="kiosk.toml")).endswith("kiosk.toml.")


def test_steps_name_their_slots() -> None:
    assert wording.step(StepLine(key="key", facts={"slot": "9A", "algorithm": "P-256"})) == "Key 9A P-256"
    assert wording.step(StepLine(key="verify")) == "Prove the keys"
    assert wording.step(StepLine(key="from-the-future")) == "From the future"


def test_what_a_newer_server_says_is_still_shown() -> None:
    assert wording.next_action("dance") == wording.next_action("call-administrator")
    assert wording.next_action("") == ""
    assert wording.state("melted") == wording.state("unknown")
    assert wording.notice("something-new") == "Something new."
