"""Status words and the errors that they stand for.

Only the conversation knows what a status means for its command (63C2 after VERIFY is "two tries left"); what
has no such meaning becomes the general error of `error_for`.

Sources: [ISO 7816-4] 5.6 and table 6; [SP 800-73-5] part 2, section 2.3.
"""

from enum import IntEnum, unique

from shared import errors


@unique
class SW(IntEnum):
    """Status words that this system gives a meaning to ([ISO 7816-4] table 6)."""

    OK = 0x9000
    VERIFICATION_FAILED = 0x6300
    MEMORY_FAILURE = 0x6581
    WRONG_LENGTH = 0x6700
    SECURE_MESSAGING_NOT_SUPPORTED = 0x6882
    CHAINING_LAST_EXPECTED = 0x6883
    CHAINING_NOT_SUPPORTED = 0x6884
    SECURITY_STATUS_NOT_SATISFIED = 0x6982
    AUTHENTICATION_BLOCKED = 0x6983
    CONDITIONS_NOT_SATISFIED = 0x6985
    COMMAND_NOT_ALLOWED = 0x6986
    INCORRECT_DATA = 0x6A80
    FUNCTION_NOT_SUPPORTED = 0x6A81
    FILE_NOT_FOUND = 0x6A82
    NOT_ENOUGH_MEMORY = 0x6A84
    INCORRECT_PARAMETERS = 0x6A86
    REFERENCE_NOT_FOUND = 0x6A88
    WRONG_PARAMETERS = 0x6B00
    INSTRUCTION_NOT_SUPPORTED = 0x6D00
    CLASS_NOT_SUPPORTED = 0x6E00
    UNKNOWN = 0x6F00


def tries_left(sw: int) -> int | None:
    """Return x of 63Cx, the tries that a reference has left, or None for any other status."""
    return sw & 0x0F if sw & 0xFFF0 == 0x63C0 else None


def error_for(sw: int, label: str) -> errors.CardError:
    """Return the general error for a status that a conversation has no own meaning for."""
    text = f"{sw:04X}"
    match sw:
        case SW.SECURITY_STATUS_NOT_SATISFIED:
            return errors.NotAuthorised(command=label)
        case SW.FILE_NOT_FOUND | SW.REFERENCE_NOT_FOUND:
            return errors.ObjectMissing(command=label)
        case SW.NOT_ENOUGH_MEMORY:
            return errors.CardFull(command=label)
        case SW.INSTRUCTION_NOT_SUPPORTED | SW.CLASS_NOT_SUPPORTED | SW.FUNCTION_NOT_SUPPORTED:
            return errors.NotSupportedByCard(what=label, sw=text)
        case _:
            return errors.UnexpectedStatus(command=label, sw=text)
