"""Who administers: the operator whose session a command of the server's machine shows, or, before there is any, the server's own user.

The gate says who it is before a call is answered; what is done in its course is done, and recorded, in that name.
"""

from contextvars import ContextVar
from typing import Final

from server.authority.policy import CALL_RULES, Needs, Principal
from shared.roles import Level

_PRESENT: Final[ContextVar[Principal | None]] = ContextVar("administrator", default=None)

SWITCHING_OFF: Final = frozenset(
    {
        "/kiosk.v1.Admin/BlockStation",
        "/kiosk.v1.Applications/BlockApplication",
        "/kiosk.v1.ApprovalAdmin/DeclineAnyApproval",
    }
)
"""What must be possible at once, whoever is there: it takes away, and gives nothing."""


def needs_operator(method: str) -> bool:
    """Whether a call of the server's own user is refused once there are operators; a call without a rule is."""
    rule = CALL_RULES.get(method)
    looks = isinstance(rule, Needs) and rule.level <= Level.VIEW
    return not looks and method not in SWITCHING_OFF


def note_administrator(principal: Principal | None) -> None:
    """Note as whom the call is answered that begins now."""
    _PRESENT.set(principal)


def administrator(default: Principal) -> Principal:
    """Return as whom this call is answered; the server's own user is the `default`."""
    return _PRESENT.get() or default
