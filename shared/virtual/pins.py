"""VERIFY, CHANGE REFERENCE DATA, RESET RETRY COUNTER, and the vendor's SET PIN RETRIES and RESET.

Sources: [SP 800-73-5] part 2, sections 2.4.3 and 3.2.1 to 3.2.3; Yubico's PIV extensions.
"""

from dataclasses import replace
from typing import Final

from shared.iso7816.apdu import Apdu
from shared.iso7816.status import SW
from shared.piv.ids import FACTORY_PIN, FACTORY_PUK, KeyRef
from shared.secret import Secret
from shared.virtual.applet import Applet
from shared.virtual.factory import blank
from shared.virtual.memory import Reference
from shared.virtual.security import Refused

_LENGTH: Final = 8
_SHORTEST_PIN: Final = 6
_MOST_TRIES: Final = 15  # what 63Cx can tell


def verify(applet: Applet, apdu: Apdu) -> bytes:
    """Compare the PIN; without data, tell the tries left; with P1 FF, forget that it was verified."""
    if apdu.p1 not in {0x00, 0xFF}:
        raise Refused(SW.INCORRECT_PARAMETERS)
    if apdu.p2 != KeyRef.PIN:
        raise Refused(SW.REFERENCE_NOT_FOUND)
    security, pin = applet.security, applet.memory.pin
    if apdu.p1 == 0xFF:
        if apdu.data:
            raise Refused(SW.INCORRECT_DATA)
        security.pin = False
        return b""
    if not apdu.data:
        if security.pin:
            return b""
        raise Refused(SW.AUTHENTICATION_BLOCKED if pin.blocked else 0x63C0 | pin.left)
    if len(apdu.data) != _LENGTH:
        raise Refused(SW.INCORRECT_DATA)
    security.pin = False
    _compare(applet, KeyRef.PIN, apdu.data)
    _store(applet, KeyRef.PIN, applet.memory.pin.right())
    security.pin = security.pin_just_now = True
    return b""


def change(applet: Applet, apdu: Apdu) -> bytes:
    """Replace PIN or PUK by whoever knows the present one."""
    if apdu.p1 != 0x00:
        raise Refused(SW.INCORRECT_PARAMETERS)
    if apdu.p2 not in {KeyRef.PIN, KeyRef.PUK}:
        raise Refused(SW.REFERENCE_NOT_FOUND)
    which = KeyRef(apdu.p2)
    old, new = _two(apdu.data)
    if which is KeyRef.PIN:
        applet.security.pin = False
    _compare(applet, which, old)
    _check_form(applet, which, new)
    _store(applet, which, _reference(applet, which).set_to(new))
    if which is KeyRef.PIN and applet.profile.change_verifies:
        applet.security.pin = True
    return b""


def reset_retry_counter(applet: Applet, apdu: Apdu) -> bytes:
    """Give the PIN a new value and all its tries by whoever knows the PUK."""
    if apdu.p1 != 0x00:
        raise Refused(SW.INCORRECT_PARAMETERS)
    if apdu.p2 != KeyRef.PIN:
        raise Refused(SW.REFERENCE_NOT_FOUND)
    puk, new = _two(apdu.data)
    _compare(applet, KeyRef.PUK, puk)
    _check_form(applet, KeyRef.PIN, new)
    _store(applet, KeyRef.PUK, applet.memory.puk.right())
    _store(applet, KeyRef.PIN, applet.memory.pin.set_to(new))
    return b""


def set_pin_retries(applet: Applet, apdu: Apdu) -> bytes:
    """Set how many tries PIN (P1) and PUK (P2) have; both go back to their factory values."""
    applet.needs_management()
    applet.needs_pin()
    if apdu.data or not (1 <= apdu.p1 <= _MOST_TRIES and 1 <= apdu.p2 <= _MOST_TRIES):
        raise Refused(SW.INCORRECT_PARAMETERS)
    memory = applet.memory
    applet.memory = replace(
        memory,
        pin=replace(memory.pin, tries=apdu.p1).set_to(FACTORY_PIN.ljust(_LENGTH, b"\xff")),
        puk=replace(memory.puk, tries=apdu.p2).set_to(FACTORY_PUK.ljust(_LENGTH, b"\xff")),
    )
    applet.security.pin = False
    return b""


def reset(applet: Applet, apdu: Apdu) -> bytes:
    """Bring the application back to its factory state; only while PIN and PUK are both blocked.

    The attestation key and its certificate stay.
    """
    if apdu.p1 or apdu.p2 or apdu.data:
        raise Refused(SW.INCORRECT_PARAMETERS)
    memory = applet.memory
    if not (memory.pin.blocked and memory.puk.blocked):
        raise Refused(SW.CONDITIONS_NOT_SATISFIED)
    applet.memory = blank(applet.profile, serial=memory.serial, random=applet.random, before=memory)
    applet.security.forget()
    return b""


def _reference(applet: Applet, which: KeyRef) -> Reference:
    """Return PIN or PUK."""
    return applet.memory.pin if which is KeyRef.PIN else applet.memory.puk


def _store(applet: Applet, which: KeyRef, reference: Reference) -> None:
    """Write PIN or PUK, if it changed."""
    memory = applet.memory
    if which is KeyRef.PIN and memory.pin is not reference:
        applet.memory = replace(memory, pin=reference)
    elif which is KeyRef.PUK and memory.puk is not reference:
        applet.memory = replace(memory, puk=reference)


def _compare(applet: Applet, which: KeyRef, given: bytes) -> None:
    """Compare PIN or PUK and count what is wrong; whoever goes on gives back the tries.

    It comes before the look at a new value's form: tools burn tries on purpose with values of no form at all.

    Raises:
        Refused: 6983 without comparing, or 63Cx with one try less.
    """
    reference = _reference(applet, which)
    if reference.blocked:
        raise Refused(SW.AUTHENTICATION_BLOCKED)
    if reference.value != Secret(given):
        spent = reference.wrong()
        _store(applet, which, spent)
        raise Refused(0x63C0 | spent.left)


def _two(data: bytes) -> tuple[bytes, bytes]:
    """Split present and new value.

    Raises:
        Refused: 6A80, not twice eight bytes.
    """
    if len(data) != 2 * _LENGTH:
        raise Refused(SW.INCORRECT_DATA)
    return data[:_LENGTH], data[_LENGTH:]


def _check_form(applet: Applet, which: KeyRef, value: bytes) -> None:
    """Make sure that a new PIN has six to eight characters and then only padding.

    A PUK is any eight bytes.

    Raises:
        Refused: 6A80; no counter changes.
    """
    if which is KeyRef.PUK:
        return
    pin = value.rstrip(b"\xff")
    if len(pin) < _SHORTEST_PIN or b"\xff" in pin:
        raise Refused(SW.INCORRECT_DATA)
    if applet.profile.pin_digits_only and not pin.isdigit():
        raise Refused(SW.INCORRECT_DATA)
