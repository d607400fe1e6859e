"""Every error code as a sentence, for both programs.

A piece in square brackets is left out where one of its facts did not come; any other fact that did not come is
shown as `…`, never as an error. English; one sentence per code, addressed to whoever reads it at the terminal.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from shared.errors import Fact, KioskError

_FAILURES: Final[dict[str, str]] = {
    # the card
    "card-lost": "The card left the reader, or another program reset it, before it had answered.",
    "card-missing": "There is no card in the reader[ {reader}].",
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
    "no-reader": "There is no reader[ of the name “{reader}”].",
    "reader-busy": "Another program is using the card.",
    "reader-failed": "The reader failed: {reason}.",
    "pcsc-unavailable": "The smart card service of this machine is not available: {reason}.",
    "no-agent": "No ssh-agent answers here[: {reason}].",
    "agent-key-missing": "The ssh-agent does not hold the operator's key.",
    "agent-refused": "The ssh-agent holds the key, and refused to sign with it.",
    # rules
    "not-allowed": "This is not allowed: {what}.",
    "station-unknown": "The server does not know this station.",
    "station-blocked": "This station is blocked at the server.",
    "station-expired": "The certificate of this station has expired; it has to join again.",
    "too-many-attempts": "Too many attempts came from here; wait a little.",
    "virtual-card-refused": "Virtual cards are for lab stations, and only where the server allows them.",
    "transition-forbidden": "The operation “{operation}” is not possible while the card is {state}.",
    "code-rejected": "The unblock code is wrong, was used already, or is too old.",
    "owners-code": "Only the System Owner knows the unblock code of this card, and types it at a station.",
    "passcode-rejected": "This is not the passcode of the first start, or the first start is over.",
    "card-needed": "For this the card has to be in a reader.",
    "operation-interrupted": "The last operation on this card (“{operation}”) was cut, and it is for somebody else.",
    "limit-reached": "The person has as many of these as may be[ ({limit} of “{template}”)]: {credentials}.",
    "place-refused": "A credential cannot be made in the place of that one: {why}.",
    "cannot-rehearse": "A dry run cannot tell what would be done to this card: {why}.",
    "holder-disabled": "The directory says that this person is disabled.",
    "template-impossible": "The template asks for what this card or the certificate authority cannot do: {why}.",
    "hole-refused": "The server wanted to use the PIN where it may not ({command}); this station refused.",
    "join-refused": "The join token is unknown, used, expired, or made for another server[ ({why})].",
    "pin-policy-violated": "The PIN does not follow the rules.",
    "cancelled": "It was cancelled.",
    "logon-needed": "An operator has to log on first.",
    "logon-refused": "This card logs nobody on here.",
    "holder-logon-refused": "This does not log you on: it is not right, or does not count now. An operator can help.",
    "not-yours": "This card is not yours.",
    "other-proof-needed": "This takes another log-on than yours[: {proofs}].",
    "session-ended": "The log-on has ended; log on again.",
    "approval-needed": "A second person has to approve this first[ ({operation})]: {why}. To ask: `--request-approval`, or `kiosk approvals request`.",
    "approval-refused": "This approval does not count: {why}.",
    "step-up-needed": "The operator's PIN, or a touch, is needed again for this[: {what}].",
    "presence-needed": "This takes the operator's card in a reader; this key behind an ssh-agent proves possession only[: {what}].",
    "challenge-refused": "What the server wanted signed is not the log-on that was asked for ({why}); nothing was signed.",
    "card-leased": "Another station is working on this card.",
    "lease-lost": "Another station has taken this card over.",
    # requests
    "unknown-holder": "There is no such person in the directory.",
    "unknown-template": "There is no template[ “{template}”] that may be used here.",
    "unknown-card": "This card is not in the record.",
    "template-invalid": "The template is wrong[ in line {line}][: {why}].",
    "variable-missing": "The directory has no {variable} for this person, and the template needs it.",
    "invalid-request": "A value is missing or wrong: {field}[: {why}].",
    # outside systems
    "server-unreachable": "The server[ {server}] does not answer[ ({reason})].",
    "connection-lost": "The line to the server was cut while it was working on the card.",
    "connector-unreachable": "The connection “{connection}” does not answer[: {reason}].",
    "connector-refused": "The connection “{connection}” refused: {reason}.",
    "connector-answer-wrong": "The connection “{connection}” gave an answer that cannot be used: {reason}.",
    "certificate-rejected": "The certificate from {connection} is not the one that was asked for: {why}.",
    "certificate-pending": "The connection “{connection}” lets the request wait: somebody there has to agree to it. Nothing failed.",
    "key-unconfirmed": "The connection “{connection}” may have signed for the key in {slot} unheard, and cannot be searched. This key gets no "
    "other certificate; the one before stays. Reissue {slot}: new keys. An administrator looks for the lost one there.",
    "passphrase-rejected": "The key store does not open with this passphrase.",
    "key-store-damaged": "The key store's file is damaged: {why}.",
    "not-supported": "The connection “{connection}” cannot do what the configuration needs: {what}.",
    "credential-ends": "The credential with which “{connection}” knows this server ends on {until} (in {days} days).",
    "tasks-late": "Certificate authorities let what was decided wait: {late} for too long, {overdue} of them for more than "
    "{hours} hours.",
    "job-failed": "The job “{job}” was not done: {reason}.",
    # record, configuration, wire
    "store-unavailable": "The record cannot be opened[: {why}].",
    "store-conflict": "It was changed or made already[: {what}].",
    "config-invalid": "The configuration is wrong[ in {file}][, line {line}][: {key}][: {why}].",
    "config-missing": "The setting {key} is missing[ in {file}][: {what}].",
    "garbled": "Station and server do not understand each other: {why}.",
    "server-fault": "The server failed (incident {incident}).",
    "station-fault": "This program failed (incident {incident}); its log says where.",
    "unknown-failure": "The server reported something that this version does not know: {reported}.",
}

_FILE_MISSING: Final = "The file[ {file}] is missing[: {what}]."

_RULES: Final[dict[str, str]] = {
    "length": "The PIN is too short or too long.",
    "characters": "The PIN has characters that are not allowed.",
    "sequence": "The digits must not simply count up or down.",
    "repeat": "The PIN must not be one digit repeated.",
    "factory": "This is the PIN that new cards come with.",
    "well-known": "This PIN is among the first that anybody would try.",
    "personal": "The PIN must not be taken from the holder's own data, such as a birth date or a number.",
    "same": "The new PIN must not be the present one.",
}

_OPTIONAL: Final = re.compile(r"\[([^\]]*)\]")
_FACT: Final = re.compile(r"\{(\w+)\}")


class _Facts(dict[str, Fact]):
    """Facts for a sentence; one that did not come is three dots."""

    def __missing__(self, _key: str) -> str:
        return "…"


def said(sentence: str, facts: Mapping[str, Fact]) -> str:
    """Put facts into a sentence."""

    def piece(found: re.Match[str]) -> str:
        return found[1] if all(facts.get(name) not in (None, "") for name in _FACT.findall(found[1])) else ""

    if facts.get("tries_left") == 1:
        sentence = sentence.replace("{tries_left} tries are", "one try is")
        sentence = sentence.replace("{tries_left} tries", "one try")
    return _OPTIONAL.sub(piece, sentence).format_map(_Facts(facts))


def failure(error: KioskError) -> str:
    """Say what was wrong, and where another word was probably meant, which."""
    facts = error.facts
    sentence = _FAILURES[error.code]
    if error.code == "pin-policy-violated":
        sentence = _RULES.get(str(facts.get("rule")), sentence)
    if error.code == "config-missing" and not facts.get("key"):
        sentence = _FILE_MISSING
    nearest = facts.get("nearest")
    return said(sentence, facts) + (f" Did you mean “{nearest}”?" if nearest else "")


def unrevocable(connections: Sequence[str]) -> str:
    """Say that the certificates of some authorities may not be revocable, which the template accepts."""
    return f"Certificates of {', '.join(connections)} may stay valid when the card is lost: nobody can revoke them there."
