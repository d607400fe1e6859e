"""Every code, key and state that a person may meet, as a sentence.

A failure says three things: what was wrong (`failure`, from `shared.wording`), what state the card is in (`state`),
what to do next (`next_action`). Keys are stable and travel; their sentences are made here and nowhere else.

English; one sentence per key, addressed to whoever stands at the station.
"""

from collections.abc import Mapping
from typing import Final

from shared.credential.model import State
from shared.credential.pins import Characters, PinPolicy
from shared.credential.self_service import HolderProof
from shared.errors import Fact, KioskError
from shared.relay import OperationKind, Question, StepLine
from shared.self_service import DeviceCode, HolderView
from shared.sessions import LogonMethod, SessionView
from shared.wording import failure, said

__all__ = (
    "characters", "done", "ends", "failure", "followed", "next_action", "notice", "operation", "pin_rules", "question", "state", "step",
    "tries", "waiting",
)  # fmt: skip

_STATES: Final[dict[str, str]] = {
    State.UNREGISTERED: "The card is not registered.",
    State.REGISTERED: "The card is registered and belongs to nobody yet.",
    State.ISSUED: "The card is issued and waits for its holder to set the PIN.",
    State.ACTIVE: "The card is active.",
    State.SUSPENDED: "The card is suspended.",
    State.REVOKED: "The card is revoked.",
    State.RETIRED: "The card is retired.",
    State.DELETED: "The card's record is deleted.",
    "unknown": "The state of the card is not known until it is read again.",
}

_NEXT_ACTIONS: Final[dict[str, str]] = {
    "insert-again": "Insert the card again; the work is continued where it stopped.",
    "insert-later": "Insert the card again when it was agreed to; the work is continued where it stopped.",
    "try-again": "Try again.",
    "activate": "Let the holder set the PIN (activate).",
    "call-administrator": "Call an administrator.",
    "use-another-card": "Use another card.",
    "unblock": "Unblock it: the holder chooses a new PIN.",
    "issue": "Issue the card to a person.",
    "update": "Update the card; its holder is not needed.",
    "renew": "Renew its certificates.",
    "reissue": "Reissue it: new keys and certificates.",
    "resume": "Resume it: the holder chooses a new PIN.",
    "retire": "Retire the card; it may be issued again then.",
    "continue": "Choose the operation again; it goes on where it stopped.",
    "ask-administrator-template": "Ask an administrator to correct the template, or choose another one.",
    "continue-first": "Go on for the person that it was begun for, or use another card.",
    "ask-for-approval": "Ask for an approval, and do it again when somebody has approved it.",
    "choose-again": "Choose another person or another template.",
    "none": "There is nothing more to do.",
}

_AFTER_REFUSAL: Final[dict[str, str]] = {
    "cancelled": "Begin again when you want to.",
    "transition-forbidden": "Choose what is possible with it now.",
}

_STEPS: Final[dict[str, str]] = {
    "own": "Own the card",
    "rekey": "New management key, generation {generation}",
    "template": "Version {version} of the template",
    "chuid": "Card identifier (CHUID)",
    "ccc": "Card capabilities (CCC)",
    "puk": "Unblocking code",
    "pin": "PIN",
    "key": "Key {slot} {algorithm}",
    "request": "Certificate request {slot}",
    "certificate": "Certificate {slot}",
    "write": "Certificate {slot} on the card",
    "retries": "Tries for PIN {pin} and unblocking code {puk}",
    "revoke": "Revoke certificate {slot}",
    "hold": "Put certificate {slot} on hold",
    "release": "Release certificate {slot}",
    "delete": "Delete key and certificate {slot}",
    "move": "Move the retired key {slot} to {to}, with its certificate",
    "keep": "Keep key {slot}: it decrypts, and this card cannot move it",
    "empty": "Delete all keys, certificates and data",
    "factory": "Factory PIN, unblocking code and management key",
    "forget": "Delete what identifies the card",
    "security-object": "Security object",
    "read-back": "Read everything back",
    "verify": "Prove the keys {slot}",
    "change-pin": "Change the PIN",
    "record": "Record",
}

_NOTICES: Final[dict[str, str]] = {
    "known-card-in-factory-state": "The card is known, but it is in factory state: somebody has reset it, or it is a copy.",
    "interrupted": "The last operation on this card was cut; choose it again to continue.",
    "pin-blocked": "The PIN of this card is blocked.",
    "puk-blocked": "The unblocking code of this card is blocked.",
    "pin-change-due": "The PIN is due to be changed by its holder.",
    "foreign-management-key": "The management key of this card is not ours.",
    "virtual": "This is a virtual card; it is for tests and demonstrations only.",
    "holder-disabled": "The directory says that this person is disabled.",
    "unconfirmed-issue": "A certificate was asked for, and it is not known whether it was issued.",
    "card-not-genuine": "The card could not prove that it is the recorded one.",
    "carry-due": "What was decided about this card has not reached it yet; it is carried to it when it is here.",
    "update-needed": "There is a newer master key or template for this card: update it. It goes on working until then.",
    "reissue-needed": "The template has a newer version that wants other keys or certificates: reissue the card.",
    "temporary": "This is a temporary credential.",
    "temporary-out": "A temporary credential stands in for this one; resuming this one ends it.",
    "replacement-issued": "This credential is being replaced by another one.",
    "renewal-due": "Certificates of this card end soon, or have ended: renew them.",
}

_OPERATIONS: Final[dict[OperationKind, str]] = {
    OperationKind.ISSUE: "Issue",
    OperationKind.ACTIVATE: "Activate",
    OperationKind.CHANGE_PIN: "Change PIN",
    OperationKind.UNBLOCK: "Unblock",
    OperationKind.REVOKE: "Revoke",
    OperationKind.RETIRE: "Retire",
    OperationKind.UPDATE: "Update",
    OperationKind.REGISTER: "Register",
    OperationKind.RENEW: "Renew certificates",
    OperationKind.REISSUE: "Reissue keys and certificates",
    OperationKind.SUSPEND: "Suspend",
    OperationKind.RESUME: "Resume",
    OperationKind.UNREGISTER: "Unregister",
    OperationKind.DELETE: "Delete the record",
}

_DONE: Final[dict[OperationKind, str]] = {
    OperationKind.ISSUE: "The card is issued.",
    OperationKind.ACTIVATE: "The PIN is set and the card is active.",
    OperationKind.CHANGE_PIN: "The PIN is changed.",
    OperationKind.UNBLOCK: "The card has a new PIN.",
    OperationKind.REVOKE: "The credential is revoked for good.",
    OperationKind.RETIRE: "The card is empty and may be issued again.",
    OperationKind.UPDATE: "The card is up to date.",
    OperationKind.REGISTER: "The card is registered and may be issued.",
    OperationKind.RENEW: "The certificates are renewed; the keys are as before.",
    OperationKind.REISSUE: "The card has new keys and certificates.",
    OperationKind.SUSPEND: "The credential is suspended until somebody resumes it.",
    OperationKind.RESUME: "The credential is in use again.",
    OperationKind.UNREGISTER: "The card is as from the factory and no longer ours.",
    OperationKind.DELETE: "The record is closed.",
}

_QUESTIONS: Final[dict[Question, str]] = {
    Question.CURRENT_PIN: "Enter the present PIN",
    Question.NEW_PIN: "Choose a new PIN",
    Question.CONFIRM: "Only {tries_left} tries are left. Go on?",
    Question.NEW_CODE: "Keep the unblock code of the System Owner's card",
    Question.PRESENT_CODE: "Enter the unblock code of the System Owner's card",
}

_CHARACTERS: Final[dict[Characters, str]] = {
    Characters.DIGITS: "digits only",
    Characters.ALPHANUMERIC: "letters and digits",
    Characters.ANY: "any characters of the keyboard",
}


def state(name: str) -> str:
    """Say what state a card is in."""
    return _STATES.get(name, _STATES["unknown"])


def next_action(key: str) -> str:
    """Say what to do next; nothing for an empty key, a call for help for one that is not known."""
    return _NEXT_ACTIONS.get(key, _NEXT_ACTIONS["call-administrator"]) if key else ""


def next_action_after(error: KioskError, key: str) -> str:
    """Say what to do next after a failure: the key `none` says that trying again is no use, not that all is well."""
    return _AFTER_REFUSAL.get(error.code, "") if key == "none" else next_action(key)


def step(line: StepLine) -> str:
    """Name a step of an operation; a key that is not known names itself."""
    words = _STEPS.get(line.key)
    if words is None:  # whoever sent it has no say in how facts are put into words
        return " ".join(line.key.replace("-", " ").capitalize().split())
    return " ".join(words.format_map(_Blank(line.facts)).split())


class _Blank(dict[str, Fact]):
    """Facts for a step's name; one that did not come leaves a gap."""

    def __missing__(self, _key: str) -> str:
        return ""


def notice(key: str) -> str:
    """Say what is remarkable about a card; a key that is not known is shown as words."""
    return _NOTICES.get(key, key.replace("-", " ").capitalize() + ".")


def operation(kind: OperationKind) -> str:
    """Name an operation."""
    return _OPERATIONS[kind]


def done(kind: OperationKind) -> str:
    """Say that an operation is done."""
    return _DONE[kind]


READ_OUT: Final = "Read it out in groups of four. It counts as disclosed now and is replaced when the card is next at a station."

UNBLOCKED_ALONE: Final = "Bring the card to a station soon: the code that was read out is replaced there."


def unblock_code(expires_at: str) -> str:
    """Say how long an unblock code lives; `expires_at` is ISO 8601."""
    return f"It works once, until {expires_at[:16].replace('T', ' ')} UTC, and is not shown again."


_FOLLOWED: Final[dict[str, str]] = {
    "revoke": "The credential that it replaces is revoked.",
    "suspend": "The credential that it stands in for is suspended until somebody resumes it.",
    "temporary": "The temporary credential of its holder has ended.",
    "operator": "It logs its holder on: from now on somebody has to be logged on at every station.",
    "later": "What this means for another credential of its holder is done as soon as possible.",
}


def followed(facts: Mapping[str, Fact]) -> tuple[str, ...]:
    """Say what an operation meant for other credentials of the holder; keys that are not known are left out."""
    return tuple(_FOLLOWED[key] for key in str(facts.get("followed", "")).split() if key in _FOLLOWED)


def ends(at: str) -> str:
    """Say when a temporary credential ends; `at` is ISO 8601."""
    return f"It is temporary and ends on {at[:16].replace('T', ' ')} UTC."


def waiting(count: int) -> str:
    """Say that certificate authorities have something left to do; they are asked again until it is done."""
    what = "One certificate waits" if count == 1 else f"{count} certificates wait"
    return f"{what} for their authority, which is asked again until it is done."


LOGGED_OFF: Final = "Nobody is logged on any more."

NOBODY: Final = "Nobody was logged on."


THROUGH_AGENT: Final = "Through an ssh-agent, which proves possession only: what is sensitive takes the card in a reader of a station."
THROUGH_TOUCH: Final = (
    "Through an ssh-agent, with a key that takes a touch: what is sensitive asks for one each time."
)
TOUCH: Final = "This takes a touch: the ssh-agent is asked for a signature. Touch the card when it blinks."


def logged_on(session: SessionView) -> tuple[str, ...]:
    """Say who is logged on and until when, and what an operator should know: log-ons that failed."""
    minutes = int(session.idle.total_seconds()) // 60
    until = f"{session.ends_at:%Y-%m-%d %H:%M} UTC"
    lines = [f"{session.name} is logged on until {until}, or until nothing was done for {minutes} minutes."]
    if session.method is LogonMethod.AGENT:
        lines.append(THROUGH_AGENT if session.possession_only else THROUGH_TOUCH)
    if session.failed_logons:
        since = session.last_logon_at
        count = "One log-on" if session.failed_logons == 1 else f"{session.failed_logons} log-ons"
        lines.append(f"{count} failed" + (f" since {since:%Y-%m-%d %H:%M} UTC." if since else " before."))
    return tuple(lines)


_PROVEN_BY: Final = {
    HolderProof.PASSWORD: "the password",
    HolderProof.CARD: "the card",
    HolderProof.CODE: "the code",
    HolderProof.DEVICE: "the other device",
}


def on_another_device(code: DeviceCode) -> tuple[str, ...]:
    """Say what to do there, and until when; and that nobody types a code that somebody else shows."""
    return (
        f"On your phone or computer, open {code.address} and type {code.code}",
        f"until {code.ends_at:%H:%M} UTC. Type only a code that you asked for yourself, here.",
    )


def holder_logged_on(session: HolderView) -> tuple[str, ...]:
    """Say which holder is logged on, how, and until when."""
    minutes = int(session.idle.total_seconds()) // 60
    until = f"{session.ends_at:%H:%M} UTC"
    return (
        f"{session.name} is logged on by {_PROVEN_BY[session.proof]}, for their own cards alone.",
        f"That ends at {until}, or when nothing was done for {minutes} minutes.",
        "kiosk do says what may be done now; kiosk log-off ends it.",
    )


CODE_SHOWN: Final = (
    "This is the unblock code of the System Owner's card. It is shown once, and kept nowhere else:",
    "without it nobody, not even the server, opens this card again when its PIN is blocked.",
    "Write it down on paper, and lock it away where the card is not.",
)
CODE_ON_PAPER: Final = "Unblock code of the System Owner's card. Lock this paper away where the card is not."
CODE_COPIED: Final = "Copied, if your terminal takes it; the code is asked for again in any case."
CODE_COPY_STAYS: Final = (
    "A copy stays in the clipboard of the machine in front of you, where every program reads it, until something else is copied."
    " Press c again to copy."
)
CODE_PRINTED: Final = "It is with the printer {printer}. Fetch the paper before anybody else does."
CODE_PRINT_STAYS: Final = "The print service and the printer {printer} may keep what they printed, for a day or longer. Press p again to print."
CODE_NO_PRINT: Final = "It cannot be printed: {why}."
OWNER_MEANS: Final = (
    "The System Owner's card is the way back in when every operator's card is lost. It may do everything, and belongs in a safe.",
    "What cannot be undone: its unblock code is shown once and kept nowhere; who loses card, PIN and code loses this way for good.",
    "Then only the key store's passphrase is left: kiosk-server operators recover.",
)
OWNER_MADE: Final = "The System Owner's card is active. The first operator's card comes next."
FIRST_START_OVER: Final = "The first operator's card is active. The passcode is gone for good; from now on operators log on with their cards."
CODE_AGAIN: Final = "The code again, as you wrote it down"
CODE_NOWHERE: Final = "The unblock code has nowhere to go: give --keep-code-fd."


def question(asked: Question, facts: Mapping[str, Fact] | None = None) -> str:
    """Say what a person is asked."""
    return said(_QUESTIONS[asked], facts or {})


def too_few_tries(left: int) -> str:
    """Say why a script gives no PIN."""
    return f"The PIN is not given to the card, {tries(left)}: a script leaves the last tries to its holder, at a terminal."


def tries(left: int) -> str:
    """Say how many tries are left."""
    return {0: "no tries left", 1: "one try left"}.get(left, f"{left} tries left")


def characters(kind: Characters) -> str:
    """Say which characters a PIN may have."""
    return _CHARACTERS[kind]


def pin_rules(policy: PinPolicy) -> tuple[str, ...]:
    """Say what a new PIN must not be, in lines; nothing of the holder's own data is in them."""
    rows = [row for row, may in (("1234", policy.allow_sequences), ("1111", policy.allow_repeats)) if not may]
    weak = [f"no rows such as {' or '.join(rows)}"] if rows else []
    own = ["not the present PIN"] if policy.present is not None else []
    if policy.personal:
        own.append("no birth date or number of yours")
    return tuple(filter(None, (", ".join([*weak, "nothing well-known"]), ", ".join(own))))
