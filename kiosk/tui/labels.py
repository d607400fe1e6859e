"""The fixed words of the screens: titles, keys, buttons, marks.

Sentences about what happened (errors, steps, states, notices) are in `kiosk.station.wording`.
"""

from typing import Final

from shared.credential.lifecycle import OperationKind
from shared.credential.model import State
from shared.credential.reasons import Cause

OPERATION_KEYS: Final = {
    OperationKind.ISSUE: "i",
    OperationKind.ACTIVATE: "a",
    OperationKind.CHANGE_PIN: "p",
    OperationKind.UNBLOCK: "u",
    OperationKind.REVOKE: "o",
    OperationKind.RETIRE: "e",
    OperationKind.UPDATE: "n",
    OperationKind.REGISTER: "g",
    OperationKind.RENEW: "w",
    OperationKind.REISSUE: "c",
    OperationKind.SUSPEND: "s",
    OperationKind.RESUME: "m",
    OperationKind.UNREGISTER: "y",
    OperationKind.DELETE: "d",
}
"""The key that starts an operation, the same on every screen."""

STATE_NAMES: Final = {
    State.UNREGISTERED: "New",
    State.REGISTERED: "Registered",
    State.ISSUED: "Issued",
    State.ACTIVE: "Active",
    State.SUSPENDED: "Suspended",
    State.REVOKED: "Revoked",
    State.RETIRED: "Retired",
    State.DELETED: "Deleted",
}
"""What a state is called in a picture or a list, where there is no room for a sentence."""

OPERATION_BUTTONS: Final = {
    OperationKind.ISSUE: "Issue this card",
    OperationKind.ACTIVATE: "Activate: set the PIN",
    OperationKind.CHANGE_PIN: "Change the PIN",
    OperationKind.UNBLOCK: "Unblock: set a new PIN",
    OperationKind.REVOKE: "Revoke for good",
    OperationKind.RETIRE: "Retire: empty the card",
    OperationKind.UPDATE: "Update: bring it up to date",
    OperationKind.REGISTER: "Register: take it into stock",
    OperationKind.RENEW: "Renew the certificates",
    OperationKind.REISSUE: "Reissue: new keys",
    OperationKind.SUSPEND: "Suspend for a time",
    OperationKind.RESUME: "Resume: use it again",
    OperationKind.UNREGISTER: "Unregister: give it back",
    OperationKind.DELETE: "Delete the record",
}
"""What the button of the obvious next action says."""

CONTINUE_BUTTONS: Final = {
    OperationKind.ISSUE: "Continue issue",
    OperationKind.ACTIVATE: "Continue activation",
    OperationKind.CHANGE_PIN: "Continue change of PIN",
    OperationKind.UNBLOCK: "Continue unblocking",
    OperationKind.REVOKE: "Continue revoking",
    OperationKind.RETIRE: "Continue retiring",
    OperationKind.UPDATE: "Continue the update",
    OperationKind.REGISTER: "Continue registering",
    OperationKind.RENEW: "Continue renewing",
    OperationKind.REISSUE: "Continue reissuing",
    OperationKind.SUSPEND: "Continue suspending",
    OperationKind.RESUME: "Continue resuming",
    OperationKind.UNREGISTER: "Continue unregistering",
    OperationKind.DELETE: "Continue deleting",
}

OPERATION_CUT: Final = {
    OperationKind.ISSUE: "The issue of this card was interrupted. Nothing is lost: continue where it stopped.",
    OperationKind.ACTIVATE: "The activation was interrupted. Nothing is lost: continue where it stopped.",
    OperationKind.CHANGE_PIN: "The change of PIN was interrupted. Continue to bring it to an end.",
    OperationKind.UNBLOCK: "Unblocking was interrupted. Nothing is lost: continue where it stopped.",
    OperationKind.REVOKE: "Revoking was interrupted. Continue to bring it to an end.",
    OperationKind.RETIRE: "Retiring was interrupted. Continue to bring it to an end.",
    OperationKind.UPDATE: "The update was interrupted. Nothing is lost: continue where it stopped.",
    OperationKind.REGISTER: "Registering was interrupted. Nothing is lost: continue where it stopped.",
    OperationKind.RENEW: "Renewing was interrupted. Nothing is lost: continue where it stopped.",
    OperationKind.REISSUE: "Reissuing was interrupted. Nothing is lost: continue where it stopped.",
    OperationKind.SUSPEND: "Suspending was interrupted. Continue to bring it to an end.",
    OperationKind.RESUME: "Resuming was interrupted. Nothing is lost: continue where it stopped.",
    OperationKind.UNREGISTER: "Unregistering was interrupted. Continue to bring it to an end.",
    OperationKind.DELETE: "Deleting was interrupted. Continue to bring it to an end.",
}

CAUSES: Final = {
    Cause.LEFT: "No longer needed: the holder left or changed the job",
    Cause.DAMAGED: "The card is damaged",
    Cause.NAME_CHANGED: "Name or department have changed",
    Cause.REPLACED: "Another card takes its place",
    Cause.FORGOTTEN: "It was left at home",
    Cause.LOST: "It was lost",
    Cause.STOLEN: "It was stolen",
    Cause.COMPROMISED: "Somebody else may know the PIN or a key",
    Cause.ENDED: "Its time is over",
}
"""Why a credential ends, as an operator would say it."""

ENDINGS: Final = {
    OperationKind.REVOKE: "Its certificates are revoked and nobody knows its PIN. This cannot be undone.",
    OperationKind.RETIRE: "Its certificates are revoked, its keys deleted. This cannot be undone.",
    OperationKind.SUSPEND: "Its certificates are put on hold where their authority can; nobody knows its PIN.",
    OperationKind.DELETE: "Its certificates are revoked and its record is closed. This cannot be undone.",
}
"""What ends a credential, and what is said before."""

LAB: Final = "VIRTUAL CARDS — LAB"

DONE: Final = "✓"
RUNNING: Final = "◐"
WAITING: Final = "·"
FAILED: Final = "✗"
PRESENT: Final = "●"
ABSENT: Final = "○"

UNFORESEEN: Final = (
    "Something unexpected happened in this program. Take the card out and insert it again; what was begun is "
    "continued."
)
NO_TEMPLATE: Final = "There is no template that this station may issue. Ask an administrator for one."
