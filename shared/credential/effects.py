"""What each way to a usable card may do: an approved intent permits effects, not commands.

A plan depends on what the card says, and changes after a cut: whatever is planned has to be among what was permitted.

Source: card-rules section 7 (approvals).
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum, unique
from types import MappingProxyType
from typing import Final

from shared.credential import plan, update
from shared.credential.approval import ADMINISTRATIVE, Way
from shared.credential.model import State


@unique
class Effect(StrEnum):
    """What an approved intent permits."""

    CARD_KEYS = "change-card-keys"
    """Management key, PUK and retry counters become, or stay, this server's."""
    MAKE_KEYS = "make-keys"
    CERTIFY = "issue-certificates"
    WRITE = "write-card"
    SET_PIN = "set-pin"
    RELEASE = "release-certificates"
    REVOKE = "revoke-superseded"
    """Certificates that this makes superfluous."""
    END_OTHERS = "end-others"
    """Another credential of the holder ends, or is suspended: what is replaced, stood in for, or stands in."""
    TAKE_TEMPLATE = "take-template"
    """The record says that the credential is of a newer version of its template."""
    DISCLOSE = "disclose-code"
    ADMINISTER = "administer"


_TARGETS: Final[Mapping[Way, State | None]] = {
    Way.ISSUE: State.ISSUED,
    Way.ACTIVATE: State.ACTIVE,
    Way.RESUME: State.ACTIVE,
}

PERMITTED: Final[Mapping[Way, frozenset[Effect]]] = MappingProxyType(
    {
        Way.ISSUE: frozenset(
            {
                Effect.CARD_KEYS,
                Effect.MAKE_KEYS,
                Effect.CERTIFY,
                Effect.WRITE,
                Effect.SET_PIN,
                Effect.REVOKE,
            }
        ),
        Way.ACTIVATE: frozenset({Effect.CARD_KEYS, Effect.SET_PIN}),
        Way.UNBLOCK: frozenset({Effect.CARD_KEYS, Effect.SET_PIN, Effect.REVOKE}),
        Way.RESUME: frozenset({Effect.CARD_KEYS, Effect.SET_PIN, Effect.RELEASE}),
        Way.UPDATE: frozenset({Effect.CARD_KEYS, Effect.SET_PIN, Effect.TAKE_TEMPLATE}),
        Way.RENEW: frozenset({Effect.CERTIFY, Effect.WRITE, Effect.REVOKE}),
        Way.REISSUE: frozenset({Effect.MAKE_KEYS, Effect.CERTIFY, Effect.WRITE, Effect.REVOKE}),
        Way.READ_OUT: frozenset({Effect.DISCLOSE}),
        Way.UNBLOCK_CODE: frozenset({Effect.DISCLOSE}),
        **{way: frozenset({Effect.ADMINISTER}) for way in ADMINISTRATIVE},
    }
)
"""The most that a way may do; `END_OTHERS` comes to it where another credential is named."""


def desired_state(way: Way, present: State) -> State:
    """Return the state in which a way leaves a card."""
    return _TARGETS.get(way) or present


def effects_of(steps: Iterable[plan.Step | update.UpdateStep]) -> frozenset[Effect]:
    """Return what a plan does. A step that was never decided about is an error, not nothing."""
    return frozenset(effect for step in steps for effect in STEP_EFFECTS[type(step)])


STEP_EFFECTS: Final[Mapping[type, frozenset[Effect]]] = MappingProxyType(
    {
        plan.Own: frozenset({Effect.CARD_KEYS}),
        plan.SetRetries: frozenset({Effect.CARD_KEYS}),
        plan.ChangeRetries: frozenset({Effect.CARD_KEYS}),
        plan.RotatePuk: frozenset({Effect.CARD_KEYS}),
        plan.WriteChuid: frozenset({Effect.WRITE}),
        plan.WriteCcc: frozenset({Effect.WRITE}),
        plan.Generate: frozenset({Effect.MAKE_KEYS}),
        plan.Move: frozenset({Effect.MAKE_KEYS}),
        plan.Keep: frozenset(),
        plan.Remove: frozenset({Effect.MAKE_KEYS}),
        plan.SetTransportPin: frozenset({Effect.SET_PIN}),
        plan.Revoke: frozenset({Effect.REVOKE}),
        plan.Request: frozenset({Effect.CERTIFY}),
        plan.WriteCertificate: frozenset({Effect.WRITE}),
        plan.WriteSecurityObject: frozenset({Effect.WRITE}),
        plan.ReadBack: frozenset(),
        update.Rekey: frozenset({Effect.CARD_KEYS}),
        update.TakePin: frozenset({Effect.SET_PIN}),
        update.TakeTemplate: frozenset({Effect.TAKE_TEMPLATE}),
    }
)
