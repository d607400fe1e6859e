"""PIN and PUK: prove, change, reset, count.

A PIN of a holder is always a hole that the station fills in. Bytes are for well-known factory values and for
PUKs, which the server derives; they are padded here.

Sources: [SP 800-73-5] part 2, sections 3.2.1 (VERIFY), 3.2.2 (CHANGE REFERENCE DATA), 3.2.3 (RESET RETRY COUNTER).
"""

from shared import errors
from shared.credential.pins import pad
from shared.iso7816.apdu import ANY_STATUS, Command, Hole, Part, Response
from shared.iso7816.conversation import Conversation, send
from shared.iso7816.status import SW, error_for, tries_left
from shared.piv.ids import Ins, KeyRef

_FORM_REFUSED = frozenset({SW.INCORRECT_DATA, SW.CONDITIONS_NOT_SATISFIED, SW.WRONG_LENGTH})
"""What cards say of a new PIN or PUK whose length or characters they do not take."""


def verify_pin(pin: Hole | bytes) -> Conversation[None]:
    """Prove the holder's presence to the PIV application.

    `pin` is a hole that the station fills in, or a well-known factory value (ASCII, without padding).

    Source: [SP 800-73-5] part 2, section 3.2.1 (VERIFY, key reference 80).
    Raises:
        PinRejected: wrong PIN; `tries_left` is what the card reported.
        PinBlocked: no tries left; needs unblock, retrying cannot help.
        PinNotAccepted: the card refuses the form of the value, without counting a try.
    """
    command = Command(ins=Ins.VERIFY, p2=KeyRef.PIN, parts=(_field(pin),), sensitive=True, label="VERIFY PIN")
    (response,) = yield [command]
    _judge(response, command.label, KeyRef.PIN)


def pin_tries() -> Conversation[int | None]:
    """Ask how many tries the PIN has left, without using one.

    Returns:
        The tries; None where the PIN is verified already and the card does not say.
    """
    command = pin_tries_command()
    response = yield from send(command)
    return read_pin_tries(response)


def pin_tries_command() -> Command:
    """Return VERIFY without data."""
    return Command(ins=Ins.VERIFY, p2=KeyRef.PIN, expect=ANY_STATUS, label="VERIFY (tries left)")


def read_pin_tries(response: Response) -> int | None:
    """Read the response to VERIFY without data.

    Raises:
        UnexpectedStatus: the card does not answer with a count.
    """
    if response.ok:
        return None
    if response.sw == SW.AUTHENTICATION_BLOCKED:
        return 0
    tries = tries_left(response.sw)
    if tries is None:
        raise error_for(response.sw, "VERIFY (tries left)")
    return tries


def change_pin(old: Hole | bytes, new: Hole | bytes) -> Conversation[None]:
    """Replace the PIN by one that the holder chose.

    Source: [SP 800-73-5] part 2, section 3.2.2 (CHANGE REFERENCE DATA, key reference 80).
    Raises:
        PinRejected: `old` is wrong.
        PinBlocked: no tries left.
        PinNotAccepted: the card does not take the form of `new`.
    """
    yield from _replace(Ins.CHANGE_REFERENCE_DATA, KeyRef.PIN, KeyRef.PIN, _field(old), _field(new))


def change_puk(old: bytes, new: Hole | bytes) -> Conversation[None]:
    """Replace the PUK. Values are six to eight bytes without padding; a hole is for a code that the station drew.

    Source: [SP 800-73-5] part 2, section 3.2.2 (CHANGE REFERENCE DATA, key reference 81).
    Raises:
        PukRejected: `old` is wrong.
        PukBlocked: no tries left.
        PinNotAccepted: the card does not take the form of `new`.
    """
    yield from _replace(Ins.CHANGE_REFERENCE_DATA, KeyRef.PUK, KeyRef.PUK, pad(old), _field(new))


def reset_pin(puk: Hole | bytes, new: Hole | bytes) -> Conversation[None]:
    """Set a new PIN through the PUK and give it all its tries back. A hole is for a code that a person types.

    Source: [SP 800-73-5] part 2, section 3.2.3 (RESET RETRY COUNTER).
    Raises:
        PukRejected: `puk` is wrong.
        PukBlocked: the PUK has no tries left.
        PinNotAccepted: the card does not take the form of `new`.
    """
    yield from _replace(Ins.RESET_RETRY_COUNTER, KeyRef.PIN, KeyRef.PUK, _field(puk), _field(new))


def set_pin_retries(pin_tries: int, puk_tries: int) -> Conversation[None]:
    """Set how many tries PIN and PUK have; both get their factory values back (vendor).

    Needs the management key and the PIN.

    Raises:
        NotAuthorised: one of the two is missing.
        Invalid: a count is not within 1 to 255.
    """
    for name, count in (("pin_tries", pin_tries), ("puk_tries", puk_tries)):
        if not 1 <= count <= 0xFF:
            raise errors.Invalid(field=name, why="1 to 255")
    yield from send(Command(ins=Ins.SET_PIN_RETRIES, p1=pin_tries, p2=puk_tries, label="SET PIN RETRIES"))


def _field(value: Hole | bytes) -> Part:
    return value if isinstance(value, Hole) else pad(value)


def _replace(ins: Ins, target: KeyRef, proof: KeyRef, present: Part, new: Part) -> Conversation[None]:
    """Send present and new value; `proof` is the reference whose value and tries are at stake."""
    label = f"{ins.name.replace('_', ' ')} {target.name}"
    (response,) = yield [
        Command(ins=ins, p2=target, parts=(present, new), sensitive=True, label=label),
    ]
    _judge(response, label, proof)


def _judge(response: Response, label: str, reference: KeyRef) -> None:
    """Say what a refusal means for the reference that was tried."""
    if response.ok:
        return
    rejected, blocked = (
        (errors.PukRejected, errors.PukBlocked)
        if reference is KeyRef.PUK
        else (errors.PinRejected, errors.PinBlocked)
    )
    tries = tries_left(response.sw)
    if tries == 0 or response.sw == SW.AUTHENTICATION_BLOCKED:
        raise blocked
    if tries is not None:
        raise rejected(tries_left=tries)
    if response.sw in _FORM_REFUSED:
        raise errors.PinNotAccepted(sw=f"{response.sw:04X}")
    raise error_for(response.sw, label)
