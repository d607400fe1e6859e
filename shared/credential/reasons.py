"""Why a credential is taken out of use, and what that means for its certificates.

The template's table decides per certificate and cause; where it is silent, `USUAL` does.

Source: [RFC 5280] 5.3.1 (reason codes).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

from shared import errors
from shared.credential.model import CertificateAction


@unique
class Cause(StrEnum):
    """Why a credential is taken out of use: what a person says (the names are those of `--reason`), or the server."""

    LEFT = "left"
    """The holder no longer needs it: left, changed the job."""
    DAMAGED = "damaged"
    """The card is broken or worn."""
    NAME_CHANGED = "name-changed"
    """Name or department are no longer right."""
    REPLACED = "replaced"
    """Another credential takes its place."""
    FORGOTTEN = "forgotten"
    """Left at home; it will be back."""
    LOST = "lost"
    STOLEN = "stolen"
    COMPROMISED = "compromised"
    """Somebody else may know the PIN or a key."""
    ENDED = "ended"
    """Its time is over; nobody has to say so."""


OFFERED: Final = tuple(cause for cause in Cause if cause is not Cause.ENDED)
"""What people may say."""


@unique
class Reason(StrEnum):
    """Why a certificate is revoked, as a certificate authority is told ([RFC 5280] 5.3.1)."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "keyCompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    CERTIFICATE_HOLD = "certificateHold"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"


@dataclass(frozen=True, slots=True)
class Consequence:
    """What is done with a certificate: revoked for `reason`, put on hold, or left as it is (`action` None)."""

    action: CertificateAction | None
    reason: Reason = Reason.UNSPECIFIED

    @property
    def text(self) -> str:
        """Return it as a template writes it: `revoke superseded`, `hold`, `leave`."""
        if self.action is None:
            return LEAVE
        return (
            f"{self.action} {self.reason}" if self.action is CertificateAction.REVOKE else self.action.value
        )


LEAVE: Final = "leave"
HELD: Final = Consequence(CertificateAction.HOLD, Reason.CERTIFICATE_HOLD)
LEFT_ALONE: Final = Consequence(None)

Consequences = Mapping[Cause, Consequence]


def _revoked(reason: Reason) -> Consequence:
    return Consequence(CertificateAction.REVOKE, reason)


USUAL: Final[Consequences] = {
    Cause.LEFT: _revoked(Reason.CESSATION_OF_OPERATION),
    Cause.DAMAGED: _revoked(Reason.SUPERSEDED),
    Cause.NAME_CHANGED: _revoked(Reason.AFFILIATION_CHANGED),
    Cause.REPLACED: _revoked(Reason.SUPERSEDED),
    Cause.FORGOTTEN: HELD,
    Cause.LOST: _revoked(Reason.KEY_COMPROMISE),
    Cause.STOLEN: _revoked(Reason.KEY_COMPROMISE),
    Cause.COMPROMISED: _revoked(Reason.KEY_COMPROMISE),
    Cause.ENDED: _revoked(Reason.CESSATION_OF_OPERATION),
}
"""What a cause means where the template says nothing."""


def read_cause(text: str) -> Cause:
    """Return the cause that a person calls this.

    Raises:
        Invalid: none given, or none that people may give.
    """
    known = {cause.value: cause for cause in OFFERED}
    if text not in known:
        raise errors.Invalid(field="reason", why=f"one of {', '.join(known)}")
    return known[text]


def read_consequence(text: str) -> Consequence:
    """Read what a template says of a cause: `revoke` with a reason of [RFC 5280], `hold` or `leave`.

    Raises:
        ValueError: it is none of these; the text says which there are.
    """
    match text.split():
        case ["leave"]:
            return LEFT_ALONE
        case ["hold"]:
            return HELD
        case ["revoke", reason] if reason in _REVOKING:
            return _revoked(Reason(reason))
        case _:
            message = f"leave, hold, or revoke with one of {', '.join(_REVOKING)}"
            raise ValueError(message)


_REVOKING: Final = tuple(reason.value for reason in Reason if reason is not Reason.CERTIFICATE_HOLD)


def consequence(
    cause: Cause, of_template: Consequences, of_certificate: Consequences, *, for_good: bool
) -> Consequence:
    """Return what `cause` means for one certificate.

    `for_good`: the credential ends, so that nothing could be released any more; what would be put on hold is revoked.
    Else the credential is only suspended, so that nothing may be revoked; what would be is put on hold.
    """
    found = of_certificate.get(cause) or of_template.get(cause) or USUAL[cause]
    if found.action is None:
        return found
    if not for_good:
        return HELD
    return found if found.action is CertificateAction.REVOKE else _revoked(Reason.CESSATION_OF_OPERATION)
