"""A request for approval, for people and programs: who asks, what for, for whom, for which card, until when.

Everything is read from the intent, whose digest the card signs; nothing from beside it.
"""

from collections.abc import Sequence
from typing import Any, Final

from shared.approval import Intent
from shared.approvals import ApprovalState, ApprovalView
from shared.credential.approval import Approvers, Way
from shared.credential.effects import Effect

_WAYS: Final[dict[Way, str]] = {
    Way.ISSUE: "Issue a card",
    Way.ACTIVATE: "Activate a card: its holder sets the first PIN",
    Way.UNBLOCK: "Unblock a card: its holder sets a new PIN",
    Way.RESUME: "Resume a suspended card",
    Way.UPDATE: "Update a card",
    Way.RENEW: "Renew the certificates of a card",
    Way.REISSUE: "Make new keys and certificates on a card",
    Way.READ_OUT: "Tell the code that unblocks a card",
    Way.UNBLOCK_CODE: "Make a code with which a holder unblocks a card",
    Way.SET_ROLES: "Give an operator other roles",
    Way.ACTIVATE_OPERATOR: "Let an operator log on again",
    Way.CHANGE_ROLE: "Change what a role may do",
    Way.NEW_KEY_GENERATION: "Make a new generation of the master key",
    Way.APPLY_TEMPLATES: "Apply templates, which say what takes a second person",
}

_EFFECTS: Final[dict[Effect, str]] = {
    Effect.CARD_KEYS: "change the card's own keys",
    Effect.MAKE_KEYS: "make keys",
    Effect.CERTIFY: "issue certificates",
    Effect.WRITE: "write the card",
    Effect.SET_PIN: "set the PIN",
    Effect.RELEASE: "release certificates",
    Effect.REVOKE: "revoke what is superseded",
    Effect.END_OTHERS: "end or suspend another credential of the holder",
    Effect.TAKE_TEMPLATE: "take the newest version of the template",
    Effect.DISCLOSE: "disclose a code",
    Effect.ADMINISTER: "change what the server's operators may do, its keys or its templates",
}

_STATES: Final[dict[ApprovalState, str]] = {
    ApprovalState.OPEN: "waits",
    ApprovalState.SPENT: "was carried out",
    ApprovalState.DECLINED: "was declined",
    ApprovalState.WITHDRAWN: "was withdrawn",
    ApprovalState.EXPIRED: "has expired",
}


_WHOSE: Final[dict[Approvers, str]] = {
    Approvers.OPERATORS: "operators who may do the same",
    Approvers.COLLEAGUES: "colleagues of the holder",
}


def title(intent: Intent) -> str:
    """Say what is asked for, in a few words."""
    return way(intent.way)


def way(way: Way) -> str:
    """Say what can be asked for."""
    return _WAYS[way]


def takes(count: int, by: Approvers) -> str:
    """Say whose approvals it takes, and how many."""
    return f"{count} of {_WHOSE[by]}"


def summary(view: ApprovalView) -> str:
    """Return one line of a list."""
    intent = view.intent
    who = f" for {intent.holder_name or intent.holder}" if intent.holder else ""
    return (
        f"{intent.request_id}  {intent.way.value:<12} {state(view)}{who}"
        f"{f' ({intent.template})' if intent.template else ''}, asked by {intent.requester_name or intent.requester}"
    )


def state(view: ApprovalView) -> str:
    """Say what became of it."""
    if view.state is not ApprovalState.OPEN:
        return _STATES[view.state] + (f": {view.why}" if view.why else "")
    if not view.left:
        return "approved"
    return f"waits, {len(view.signed)} of {view.intent.count} approved"


def lines(view: ApprovalView) -> Sequence[str]:
    """Return all that whoever approves has to know, one fact to a line."""
    return [f"{name:<12} {text}" for name, text in facts(view)]


def facts(view: ApprovalView) -> Sequence[tuple[str, str]]:
    """Return the same as names and what they stand for."""
    intent = view.intent
    said = [
        ("What", title(intent)),
        ("For", f"{intent.holder_name} ({intent.holder})" if intent.holder_name else intent.holder),
        ("Directory", intent.directory),
        ("Template", f"{intent.template} {intent.template_digest.hex()[:16]}" if intent.template else ""),
        ("Card", str(intent.card) if intent.card else "any card of the template" if intent.template else ""),
        ("Credential", str(intent.credential or "")),
        ("Replaces", str(intent.replaces or "")),
        ("In place of", str(intent.primary or "")),
        ("Roles", ", ".join(intent.roles)),
        ("May", ", ".join(_EFFECTS[effect] for effect in sorted(intent.effects))),
        ("Becomes", intent.state.value if intent.template else ""),
        ("Says", intent.detail),
        ("Asked by", f"{intent.requester_name} ({intent.requester})"),
        ("Asked", f"{intent.created_at:%Y-%m-%d %H:%M} UTC, at station {intent.station}"),
        ("Until", f"{intent.expires_at:%Y-%m-%d %H:%M} UTC"),
        ("Takes", takes(intent.count, intent.by)),
        ("Approved", ", ".join(f"{each.name} ({each.at:%Y-%m-%d %H:%M} UTC)" for each in view.signed)),
        ("State", state(view)),
    ]
    return [(name, text) for name, text in said if text]


def document(view: ApprovalView) -> dict[str, Any]:
    """Return a request for programs."""
    intent = view.intent
    return {
        "id": str(intent.request_id),
        "state": view.state.value,
        "operation": intent.way.value,
        "requester": intent.requester,
        "requester_name": intent.requester_name,
        "station": str(intent.station),
        "holder": intent.holder,
        "holder_name": intent.holder_name,
        "directory": intent.directory,
        "template": intent.template,
        "template_digest": intent.template_digest.hex(),
        "card": str(intent.card) if intent.card else None,
        "credential": str(intent.credential) if intent.credential else None,
        "replaces": str(intent.replaces) if intent.replaces else None,
        "primary": str(intent.primary) if intent.primary else None,
        "roles": list(intent.roles),
        "effects": sorted(intent.effects),
        "detail": intent.detail,
        "by": intent.by.value,
        "count": intent.count,
        "approved_by": [{"name": each.name, "at": each.at.isoformat()} for each in view.signed],
        "created_at": intent.created_at.isoformat(),
        "expires_at": intent.expires_at.isoformat(),
        "digest": intent.digest.hex(),
        "why": view.why,
        "mine": view.mine,
        "open_to_me": view.open_to_me,
    }
