from kiosk.station import wording
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
    "rekey",
    "template",
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


def sentence(text: str) -> bool:
    return text[:1].isupper() and text[-1] in ".?" and "{" not in text and len(text) > 8


def test_the_server_can_only_say_what_is_worded() -> None:
    assert set(STEPS) <= set(wording._STEPS)
    assert set(ACTIONS) <= set(wording._NEXT_ACTIONS)
    assert all(sentence(wording.next_action(key)) for key in ACTIONS)
    assert all(sentence(wording.state(member)) for member in State)
    assert all(wording.operation(kind) and sentence(wording.done(kind)) for kind in OperationKind)
    assert all(wording.question(asked, {"tries_left": 2}) for asked in Question)


def test_numbers_read_like_speech() -> None:
    assert wording.question(Question.CONFIRM, {"tries_left": 1}) == "Only one try is left. Go on?"
    assert wording.tries(0) == "no tries left"
    assert wording.tries(3) == "3 tries left"


def test_steps_name_their_slots() -> None:
    assert wording.step(StepLine(key="key", facts={"slot": "9A", "algorithm": "P-256"})) == "Key 9A P-256"
    assert wording.step(StepLine(key="verify")) == "Prove the keys"
    assert wording.step(StepLine(key="from-the-future")) == "From the future"


def test_what_a_newer_server_says_is_still_shown() -> None:
    assert wording.next_action("dance") == wording.next_action("call-administrator")
    assert wording.next_action("") == ""
    assert wording.state("melted") == wording.state("unknown")
    assert wording.notice("something-new") == "Something new."
