"""The fixed words of the screens: titles, keys, buttons, marks.

Sentences about what happened (errors, steps, states, notices) are in `kiosk.station.wording`.
"""

from typing import Final

from kiosk.station.faces import Ended
from shared.credential.lifecycle import OperationKind
from shared.credential.model import State
from shared.credential.reasons import Cause
from shared.sessions import LogonMethod

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
    OperationKind.RESUME: "b",
    OperationKind.UNREGISTER: "z",
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

CAUSES_OF: Final = {
    OperationKind.SUSPEND: (Cause.FORGOTTEN, Cause.LOST, Cause.STOLEN, Cause.COMPROMISED, Cause.LEFT),
    OperationKind.REVOKE: (
        Cause.LOST,
        Cause.STOLEN,
        Cause.COMPROMISED,
        Cause.LEFT,
        Cause.DAMAGED,
        Cause.NAME_CHANGED,
        Cause.REPLACED,
    ),
    OperationKind.RETIRE: (
        Cause.LEFT,
        Cause.REPLACED,
        Cause.NAME_CHANGED,
        Cause.DAMAGED,
        Cause.COMPROMISED,
        Cause.LOST,
        Cause.STOLEN,
    ),
    OperationKind.DELETE: (
        Cause.DAMAGED,
        Cause.LOST,
        Cause.STOLEN,
        Cause.LEFT,
        Cause.REPLACED,
        Cause.NAME_CHANGED,
        Cause.COMPROMISED,
    ),
}
"""The reasons that make sense for an operation, the likely one first."""

ENDINGS: Final = {
    OperationKind.SUSPEND: "Its certificates are put on hold where their authority can, until it is resumed.",
    OperationKind.REVOKE: "Its certificates are revoked, as its template says for the reason.",
    OperationKind.RETIRE: "Its certificates are revoked, as its template says for the reason; its keys are deleted.",
    OperationKind.DELETE: "Its certificates are revoked, as its template says for the reason; its record is closed.",
}
"""What is said before a credential is taken out of use; what follows for the PIN is said beside it."""

GIVING_BACK: Final = "Everything on it is deleted, and its PIN, unblocking code and key are the factory's again. Its record is closed."
"""What is asked before a card is unregistered."""

PIN_TAKEN: Final = {
    OperationKind.SUSPEND: "Nobody knows its PIN then.",
    OperationKind.REVOKE: "Nobody knows its PIN then.",
    OperationKind.RETIRE: "",
    OperationKind.DELETE: "Nobody knows its PIN then.",
}
PIN_TAKEN_LATER: Final = "Its PIN is taken when the card is next at a station."
"""The same, where the card is not here."""

RESUMED: Final = "Its certificates are in force again; its card was away, and keeps the PIN that it has."
"""What is said before a credential is resumed without its card."""

FINAL: Final = frozenset({OperationKind.REVOKE, OperationKind.RETIRE, OperationKind.DELETE})
FINAL_WORDS: Final = "This cannot be undone."

READ_OUT_FIRST: Final = (
    "Are you sure who is on the telephone? The code counts as disclosed from now on, and is replaced when the card is "
    "next at a station."
)
UNBLOCK_CODE_FIRST: Final = "Give it to nobody but the holder: with it and the card anybody can set a PIN. An earlier code no longer counts."

OPERATION_WORDS: Final = {
    OperationKind.ISSUE: "makes it the card of a person",
    OperationKind.ACTIVATE: "its holder sets the first PIN",
    OperationKind.CHANGE_PIN: "the holder knows the present one",
    OperationKind.UNBLOCK: "forgotten or blocked: a new PIN",
    OperationKind.RESUME: "back in use; the holder sets a PIN",
    OperationKind.UPDATE: "newest keys, without the holder",
    OperationKind.RENEW: "same keys; asks for the PIN",
    OperationKind.REISSUE: "new keys; asks for the PIN",
    OperationKind.SUSPEND: "for a time; takes its PIN",
    OperationKind.REVOKE: "ends it for good; cannot be undone",
    OperationKind.RETIRE: "empties the card; cannot be undone",
    OperationKind.DELETE: "closes the record; cannot be undone",
    OperationKind.REGISTER: "into stock, for a later issue",
    OperationKind.UNREGISTER: "as from the factory, not ours",
}
"""What an operation does, beside its name in a menu."""

OPERATION_WORDS_AWAY: Final = {
    OperationKind.SUSPEND: "for a time",
    OperationKind.RESUME: "back in use, with the PIN it has",
    OperationKind.REVOKE: "ends it for good; cannot be undone",
    OperationKind.DELETE: "closes the record; cannot be undone",
}
"""The same, where the card is not here."""

MORE_KEY: Final = "m"
FIND_KEY: Final = "f"
READ_OUT_KEY: Final = "h"
UNBLOCK_CODE_KEY: Final = "t"
LOG_OFF_KEY: Final = "l"

APPROVALS_KEY: Final = "y"
OPERATORS_KEY: Final = "t"
NOT_YOURS_TO_GIVE: Final = "more than your own"
"""Beside a role that who is logged on cannot give or take."""
ROLES_HINT: Final = "Space marks a role. Nobody gives, or takes, more than their own roles allow."
ROLES_AS_BEFORE: Final = "those that the operator has already"
"""Where none was chosen: a new card gives an operator nothing that is not there."""
METHOD_WORDS: Final = {
    LogonMethod.CARD: "card and PIN",
    LogonMethod.AGENT: "ssh-agent",
    LogonMethod.CERTIFICATE: "certificate",
}
LOST_CARD: Final = (
    "Put a new card into a reader and issue it to the same person: choose Replacement, and that the old one was lost.",
    "The old card logs nobody on from the moment that the new one is begun.",
    "Until there is a new card, suspend the old one: find it by its holder's name.",
)
APPROVE_BUTTON: Final = "Approve, with card and PIN"
APPROVE_HERE_BUTTON: Final = "Somebody else approves here, with a card"
NOTHING_WAITS: Final = "Nothing waits for your approval, and you have asked for none."
WHOSE_CARD: Final = "Whose card approves?"
NO_CARD_TO_APPROVE: Final = (
    "Put the card of whoever approves into a reader, beside your own, and choose the request again."
)
NOTE_LABEL: Final = "For whoever approves (may stay empty)"
ASK_WORDS: Final = "Nothing was done. Ask for it now? It waits until somebody approves or declines it."
ASKED_THEN: Final = (
    f"Whoever may approve finds it in their inbox ({APPROVALS_KEY}). You find it in yours, and may withdraw it there.",
    "When it is approved, the top line says so. Then begin the same operation once more.",
)
"""What happens next, after an approval was asked for."""

LOG_ON_FIRST: Final = (
    "Put your operator's card into a reader, and leave it there: you are logged off when it is taken out."
)
LOG_ON_BUTTON: Final = "Log on with this card"
LOG_ON_BY_AGENT: Final = "Log on through the ssh-agent of this log-in"
AGENT_PROVES: Final = "It proves possession of your card only: what is sensitive is refused, and the session ends with the line."
AGENT_ASKED: Final = "The ssh-agent is asked; it may ask you."
THROUGH_AGENT: Final = "ssh-agent, possession only"
THROUGH_TOUCH: Final = "ssh-agent, a touch each time"
ONE_READER: Final = (
    "With this one reader you can look after credentials whose cards are not here. To work on a card, attach a second "
    "reader for it."
)
ENDED_WORDS: Final = {
    Ended.LOGGED_OFF: "",
    Ended.CARD_REMOVED: "The operator's card was taken out.",
    Ended.DETACHED: "The ssh-agent is gone.",
    Ended.IDLE: "Nothing was done for too long.",
    Ended.BY_SERVER: "The server ended the session: its time is over, or the operator or the card counts no more.",
}
"""Why nobody is logged on any more."""
LOGGED_OFF_RUNNING: Final = (
    "What runs stops between two steps; nothing is lost, and the next operator goes on with it."
)
NOT_YOURS: Final = "not for your roles"
"""Beside an operation in the menu that who is logged on may see, and no more."""
NOTHING_YOURS: Final = "Your roles let you see this card, and change nothing on it."

GROUPS: Final = {
    "Every day": (
        OperationKind.ISSUE,
        OperationKind.ACTIVATE,
        OperationKind.CHANGE_PIN,
        OperationKind.UNBLOCK,
        OperationKind.RESUME,
    ),
    "Keys and certificates": (OperationKind.UPDATE, OperationKind.RENEW, OperationKind.REISSUE),
    "Out of use": (
        OperationKind.SUSPEND,
        OperationKind.REVOKE,
        OperationKind.RETIRE,
        OperationKind.DELETE,
    ),
    "Stock": (OperationKind.REGISTER, OperationKind.UNREGISTER),
}
"""Operations by what they are for, as menus and the help show them."""

SELDOM: Final = frozenset(
    {OperationKind.RENEW, OperationKind.REISSUE, *GROUPS["Out of use"], OperationKind.UNREGISTER}
)
"""Operations that stand beside the button only where they are the obvious one; else they are in the menu."""

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
SUCCEEDING_WORDS: Final = (
    "Where somebody may misuse the old card, it is revoked as soon as the new one is begun with; this cannot be undone. "
    "Else it goes on until the holder has set the PIN of the new one."
)
STANDING_IN_WORDS: Final = "The other card is suspended when the holder has set the PIN of the temporary one. Resuming it ends the temporary one."

NO_TEMPLATE: Final = "There is no template that this station may issue. Ask an administrator for one."
