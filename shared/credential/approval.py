"""Which ways lead to a usable card, and when a second person has to agree.

Every operation of the lifecycle is decided here (`WAY_OF`): a new one belongs to a way, or is said to make no card usable.

Source: card-rules section 7 (approvals).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum, unique
from types import MappingProxyType
from typing import Final

from shared.credential.lifecycle import OperationKind

MOST_APPROVALS: Final = 9
"""For one request."""


@unique
class Way(StrEnum):
    """What can be asked for and approved."""

    ISSUE = "issue"
    """Also in the place of another credential, or to stand in for one."""
    ACTIVATE = "activate"
    UNBLOCK = "unblock"
    RESUME = "resume"
    UPDATE = "update"
    RENEW = "renew"
    REISSUE = "reissue"
    READ_OUT = "read-out"
    UNBLOCK_CODE = "unblock-code"
    SET_ROLES = "set-operator-roles"
    ACTIVATE_OPERATOR = "activate-operator"
    CHANGE_ROLE = "change-role"
    NEW_KEY_GENERATION = "new-key-generation"
    APPLY_TEMPLATES = "apply-templates"


ADMINISTRATIVE: Final = frozenset(
    {Way.SET_ROLES, Way.ACTIVATE_OPERATOR, Way.CHANGE_ROLE, Way.NEW_KEY_GENERATION, Way.APPLY_TEMPLATES}
)
"""Acts about no card: the server's own policy says which of them take a second person."""

WAY_OF: Final[Mapping[OperationKind, Way | None]] = MappingProxyType(
    {
        OperationKind.ISSUE: Way.ISSUE,
        OperationKind.ACTIVATE: Way.ACTIVATE,
        OperationKind.UNBLOCK: Way.UNBLOCK,
        OperationKind.RESUME: Way.RESUME,
        OperationKind.UPDATE: Way.UPDATE,
        OperationKind.RENEW: Way.RENEW,
        OperationKind.REISSUE: Way.REISSUE,
        OperationKind.REGISTER: None,  # nobody's card yet, and nobody knows its PIN
        OperationKind.CHANGE_PIN: None,  # whoever knows the PIN may use the card already
        OperationKind.SUSPEND: None,  # taken out of use, as the rest
        OperationKind.REVOKE: None,
        OperationKind.RETIRE: None,
        OperationKind.UNREGISTER: None,
        OperationKind.DELETE: None,
    }
)
"""The way that an operation is, or None: it makes no card usable. There is no default."""

TOGETHER: Final = frozenset({Way.UNBLOCK, Way.READ_OUT, Way.UNBLOCK_CODE})
"""Ways around each other: where one of them takes an approval, all of them do."""

AROUND: Final[Mapping[Way, frozenset[Way]]] = MappingProxyType({Way.RESUME: TOGETHER})
"""Ways that do what others do, and more: without a rule of their own they take the approval of those. Whoever suspends a credential
and resumes it sets another PIN."""

WITH_ROLES: Final = frozenset(
    {
        Way.ISSUE,
        Way.ACTIVATE,
        Way.UNBLOCK,
        Way.RESUME,
        Way.RENEW,
        Way.REISSUE,
        Way.READ_OUT,
        Way.UNBLOCK_CODE,
    }
)
"""What takes a second person for a credential that carries roles, whatever its template says. An update makes no key, no PIN
and no certificate."""


@unique
class Approvers(StrEnum):
    """Whose approval counts."""

    OPERATORS = "operators"
    """Those who may do the same themselves."""
    COLLEAGUES = "colleagues"
    """Other people of the holder's directory, with active credentials of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRule:
    """One `[[approval]]` of a template: which ways take approvals, how many, whose, and how long a request is good."""

    ways: frozenset[Way]
    count: int = 1
    by: Approvers = Approvers.OPERATORS
    valid_for: timedelta = timedelta(hours=24)


def rule_for(rules: Collection[ApprovalRule], way: Way, *, roles: bool) -> ApprovalRule | None:
    """Return what a way takes by these rules of a template; `roles`: the credential gives some. None: no approval.

    A credential with roles takes an operator's approval at the least, whatever its template says.
    """
    ways = TOGETHER if way in TOGETHER else frozenset({way})
    found = next((rule for rule in rules if rule.ways & ways), None)
    found = found or next((rule for rule in rules if rule.ways & AROUND.get(way, frozenset())), None)
    if not roles or way not in WITH_ROLES:
        return found
    found = found or ApprovalRule(ways=frozenset({way}))
    return replace(found, by=Approvers.OPERATORS)
