"""Why a credential is taken out of use. What that means for its certificates is the template's to say."""

from enum import StrEnum, unique

from shared import errors


@unique
class Cause(StrEnum):
    """What a person says when a credential is taken out of use; the names are those of `--reason`."""

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


def read_cause(text: str) -> Cause:
    """Return the cause that is called this.

    Raises:
        Invalid: none given, or an unknown one.
    """
    try:
        return Cause(text)
    except ValueError as unknown:
        known = ", ".join(cause.value for cause in Cause)
        raise errors.Invalid(field="reason", why=f"one of {known}") from unknown
