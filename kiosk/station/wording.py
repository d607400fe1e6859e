"""Every code, key and state that a person may meet, as a sentence.

A failure says three things: what was wrong (`failure`), what state the card is in (`state`), what to do next
(`next_action`). Keys are stable and travel; sentences are made here and nowhere else. A fact that a sentence
names and that did not come is left out with a neutral word, never with an error.

English; one sentence per key, addressed to whoever stands at the station.
"""

from collections.abc import Mapping
from typing import Final

from shared.credential.model import State
from shared.errors import Fact, KioskError
from shared.relay import OperationKind, Question, StepLine

_FAILURES: Final[dict[str, str]] = {
    # the card
    "card-lost": "The card left the reader, or another program reset it, before it had answered.",
    "card-missing": "There is no card in the reader.",
    "card-changed": "Another card answered than before; nothing was written to it.",
    "not-piv-card": "This card has no PIV application.",
    "unexpected-status": "The card answered {sw} to “{command}”, which it should not have.",
    "pin-rejected": "The PIN is wrong: {tries_left} tries left.",
    "pin-blocked": "The PIN is blocked: it was entered wrongly too often.",
    "pin-not-accepted": "The card did not take the new PIN because of its length or its characters.",
    "puk-rejected": "The card refused the unblocking code of the record: {tries_left} tries left.",
    "puk-blocked": "The unblocking code of this card is blocked.",
    "card-not-authorised": "The card refused “{command}” because it was not unlocked for that.",
    "object-missing": "Something is not on the card that should be (“{command}”).",
    "card-full": "There is no room left on the card.",
    "not-supported-by-card": "This card cannot do what is needed: {what}.",
    "management-key-rejected": "The card does not accept our management key; it belongs to somebody else.",
    "card-not-genuine": "The card could not prove that it is the recorded one: {why}.",
    "card-malformed": "The card sent something that is not as the standard says: {what}.",
    "read-back-failed": "After writing, the card does not hold what it should: {what}.",
    "secret-unresolved": "It is not known which {secret} the card has now, and trying again could block it.",
    # reader
    "no-reader": "No such reader is attached.",
    "reader-busy": "Another program is using the card.",
    "reader-failed": "The reader failed: {reason}.",
    "pcsc-unavailable": "The smart card service of this machine is not available: {reason}.",
    # rules
    "not-allowed": "This is not allowed: {what}.",
    "station-unknown": "The server does not know this station.",
    "station-blocked": "This station is blocked at the server.",
    "station-expired": "The certificate of this station has expired; it has to join again.",
    "too-many-attempts": "Too many attempts came from here; wait a little.",
    "virtual-card-refused": "Virtual cards are for lab stations, and only where the server allows them.",
    "transition-forbidden": "The operation “{operation}” is not possible while the card is {state}.",
    "operation-interrupted": "The last operation on this card (“{operation}”) was cut, and it is for somebody else.",
    "holder-disabled": "The directory says that this person is disabled.",
    "template-impossible": "The template asks for what this card or the certificate authority cannot do: {why}.",
    "hole-refused": "The server wanted to use the PIN where it may not ({command}); this station refused.",
    "join-refused": "The join token is unknown, used, expired, or made for another server.",
    "pin-policy-violated": "The PIN does not follow the rules.",
    "cancelled": "It was cancelled.",
    "card-leased": "Another station is working on this card.",
    "lease-lost": "Another station has taken this card over.",
    # requests
    "unknown-holder": "There is no such person in the directory.",
    "unknown-template": "There is no template of this name.",
    "unknown-card": "This card is not in the record.",
    "template-invalid": "The template is wrong in line {line}: {why}.",
    "variable-missing": "The directory has no {variable} for this person, and the template needs it.",
    "invalid-request": "A value is missing or wrong: {field}.",
    # outside systems
    "server-unreachable": "The server {server} does not answer ({reason}).",
    "connection-lost": "The line to the server was cut while it was working on the card.",
    "connector-unreachable": "The connection “{connection}” does not answer.",
    "connector-refused": "The connection “{connection}” refused: {reason}.",
    "certificate-rejected": "The certificate from {connection} is not the one that was asked for: {why}.",
    "passphrase-rejected": "The key store does not open with this passphrase.",
    "key-store-damaged": "The key store's file is damaged: {why}.",
    "not-supported": "The connection “{connection}” cannot do what the configuration needs: {what}.",
    # record, configuration, wire
    "store-unavailable": "The record cannot be opened.",
    "store-conflict": "Somebody else changed the same thing at the same time.",
    "config-invalid": "The configuration is wrong in {file}, line {line}: {key}: {why}.",
    "config-missing": "Something is missing in the configuration: {key}{file}.",
    "garbled": "Station and server do not understand each other: {why}.",
    "server-fault": "The server failed (incident {incident}).",
    "station-fault": "This program failed (incident {incident}); its log says where.",
    "unknown-failure": "The server reported something that this version does not know: {reported}.",
}

_RULES: Final[dict[str, str]] = {
    "length": "The PIN is too short or too long.",
    "characters": "The PIN has characters that are not allowed.",
    "sequence": "The digits must not simply count up or down.",
    "repeat": "The PIN must not be one digit repeated.",
    "well-known": "This PIN is among the first that anybody would try.",
}

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
    "try-again": "Try again.",
    "activate": "Let the holder set the PIN (activate).",
    "call-administrator": "Call an administrator.",
    "use-another-card": "Use another card.",
    "unblock": "Unblock it: the holder chooses a new PIN.",
    "issue": "Issue the card to a person.",
    "ask-administrator-template": "Ask an administrator to correct the template, or choose another one.",
    "continue-first": "Go on for the person that it was begun for, or use another card.",
    "choose-again": "Choose another person or another template.",
    "none": "There is nothing more to do.",
}

_STEPS: Final[dict[str, str]] = {
    "own": "Own the card",
    "chuid": "Card identifier (CHUID)",
    "ccc": "Card capabilities (CCC)",
    "puk": "Unblocking code",
    "pin": "PIN",
    "key": "Key {slot} {algorithm}",
    "request": "Certificate request {slot}",
    "certificate": "Certificate {slot}",
    "write": "Certificate {slot} on the card",
    "retries": "Tries for PIN {pin} and unblocking code {puk}",
    "revoke": "Revoke the lost certificate {slot}",
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
    "foreign-management-key": "The management key of this card is not ours.",
    "virtual": "This is a virtual card; it is for tests and demonstrations only.",
    "holder-disabled": "The directory says that this person is disabled.",
    "unconfirmed-issue": "A certificate was asked for, and it is not known whether it was issued.",
    "card-not-genuine": "The card could not prove that it is the recorded one.",
}

_OPERATIONS: Final[dict[OperationKind, str]] = {
    OperationKind.ISSUE: "Issue",
    OperationKind.ACTIVATE: "Activate",
    OperationKind.CHANGE_PIN: "Change PIN",
    OperationKind.UNBLOCK: "Unblock",
}

_DONE: Final[dict[OperationKind, str]] = {
    OperationKind.ISSUE: "The card is issued.",
    OperationKind.ACTIVATE: "The PIN is set and the card is active.",
    OperationKind.CHANGE_PIN: "The PIN is changed.",
    OperationKind.UNBLOCK: "The card has a new PIN.",
}

_QUESTIONS: Final[dict[Question, str]] = {
    Question.CURRENT_PIN: "Enter the present PIN",
    Question.NEW_PIN: "Choose a new PIN",
    Question.CONFIRM: "Only {tries_left} tries are left. Go on?",
}


class _Facts(dict[str, Fact]):
    """Facts for a sentence; one that did not come is left out."""

    def __missing__(self, key: str) -> str:
        return {"file": "", "key": ""}.get(key, "…")


def _said(sentence: str, facts: Mapping[str, Fact]) -> str:
    if facts.get("tries_left") == 1:
        sentence = sentence.replace("{tries_left} tries are", "one try is").replace(
            "{tries_left} tries", "one try"
        )
    return sentence.format_map(_Facts(facts))


def failure(error: KioskError) -> str:
    """Say what was wrong."""
    if error.code == "pin-policy-violated" and (rule := _RULES.get(str(error.facts.get("rule")))):
        return rule
    if error.code == "server-unreachable" and not {"server", "reason"} <= error.facts.keys():
        return "The server does not answer."
    if error.code == "config-invalid" and "line" not in error.facts:
        return _said("The configuration is wrong in {file}: {key}: {why}.", error.facts) + _nearest(
            error.facts
        )
    return _said(_FAILURES[error.code], error.facts) + _nearest(error.facts)


def _nearest(facts: Mapping[str, Fact]) -> str:
    nearest = facts.get("nearest")
    return f" Did you mean “{nearest}”?" if nearest else ""


def state(name: str) -> str:
    """Say what state a card is in."""
    return _STATES.get(name, _STATES["unknown"])


def next_action(key: str) -> str:
    """Say what to do next; nothing for an empty key, a call for help for one that is not known."""
    return _NEXT_ACTIONS.get(key, _NEXT_ACTIONS["call-administrator"]) if key else ""


def step(line: StepLine) -> str:
    """Name a step of an operation; a key that is not known names itself."""
    words = _STEPS.get(line.key, line.key.replace("-", " ").capitalize())
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


def question(asked: Question, facts: Mapping[str, Fact] | None = None) -> str:
    """Say what a person is asked."""
    return _said(_QUESTIONS[asked], facts or {})


def tries(left: int) -> str:
    """Say how many tries are left."""
    return {0: "no tries left", 1: "one try left"}.get(left, f"{left} tries left")
