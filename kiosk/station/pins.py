"""The holder's secrets during one operation: typed or drawn, filled in, counted, wiped.

A value lives here from the `Ask` or `Draw` turn that named it until its announced uses are spent, the card
refused it, or the operation ends. Nothing here is ever sent to the server.

Sources: [SP 800-73-5] part 2, sections 3.2.1 to 3.2.3 (the PIN fields of VERIFY, CHANGE REFERENCE DATA and RESET
RETRY COUNTER).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

from shared import errors
from shared.credential.pins import PIN_FIELD_LENGTH, PinPolicy, check_pin, pad
from shared.relay import Purpose
from shared.secret import Secret

DRAWN_MIN_LENGTH: Final = 6

HELD_MAX: Final = 16
"""Values of one operation; real ones need two."""

RandomBelow = Callable[[int], int]
"""Return an unpredictable number from 0 to n - 1 (`secrets.randbelow`)."""


@unique
class PinKind(StrEnum):
    """Where a value comes from, which decides where it may go."""

    CURRENT = "current"
    NEW = "new"
    DRAWN = "drawn"
    CODE = "code"
    """The System Owner's unblock code: drawn here and shown, or typed. It stands where a PUK stands, and nowhere else."""


@dataclass(slots=True, kw_only=True)
class HeldPin:
    """One value. `uses` counts the fillings that are left."""

    secret: Secret
    kind: PinKind
    purpose: Purpose
    uses: int
    on_card: bool = False
    """The card took it as its PIN in this operation: it cannot be wrong."""


class HeldPins:
    """All values of one operation, by the name of their hole."""

    def __init__(self, random_below: RandomBelow) -> None:
        """Begin empty; `random_below` is what transport PINs are drawn from."""
        self._random_below = random_below
        self._held: dict[str, HeldPin] = {}

    def keep(self, name: str, secret: Secret, *, kind: PinKind, purpose: Purpose, uses: int) -> None:
        """Take a value over; what was held under this name before is wiped.

        Raises:
            Garbled: no operation needs so many values; this one was wiped.
        """
        self.forget(name)
        if len(self._held) >= HELD_MAX:
            secret.wipe()
            raise errors.Garbled(why=f"more than {HELD_MAX} values in one operation")
        self._held[name] = HeldPin(secret=secret, kind=kind, purpose=purpose, uses=uses)
        if uses <= 0:
            self.forget(name)

    def draw(self, name: str, *, length: int, uses: int) -> None:
        """Draw a transport PIN of `length` decimal digits that no PIN policy would call weak.

        Raises:
            Garbled: no card takes a PIN of this length, or see `keep`.
        """
        if not DRAWN_MIN_LENGTH <= length <= PIN_FIELD_LENGTH:
            raise errors.Garbled(why="the length of a transport PIN")
        digits = bytearray(length)
        while True:
            for index in range(length):
                digits[index] = ord("0") + self._random_below(10)
            try:
                check_pin(bytes(digits), PinPolicy())
            except errors.PinPolicyViolated:
                continue
            break
        self.keep(name, Secret(digits), kind=PinKind.DRAWN, purpose=Purpose.ISSUE, uses=uses)
        digits[:] = bytes(length)

    def draw_code(self) -> Secret:
        """Draw an unblock code: eight decimal digits that no policy would call weak. Nothing is kept of it here."""
        digits = bytearray(PIN_FIELD_LENGTH)
        while True:
            for index in range(PIN_FIELD_LENGTH):
                digits[index] = ord("0") + self._random_below(10)
            try:
                check_pin(bytes(digits), PinPolicy())
            except errors.PinPolicyViolated:
                continue
            break
        code = Secret(digits)
        digits[:] = bytes(PIN_FIELD_LENGTH)
        return code

    def find(self, name: str) -> HeldPin | None:
        """Return what is held under a name, or None."""
        return self._held.get(name)

    @property
    def present(self) -> Secret | None:
        """The PIN that was typed as the present one, while it is held."""
        return next((held.secret for held in self._held.values() if held.kind is PinKind.CURRENT), None)

    def fill(self, name: str) -> bytes:
        """Return the PIN field for a hole: eight bytes, padded with FF. Does not count as a use yet.

        Raises:
            KeyError: nothing is held under this name; the guard refuses such a hole first.
        """
        return pad(self._held[name].secret.reveal())

    def spend(self, name: str) -> None:
        """Count one use of a value that was sent to the card, and wipe it after the last."""
        held = self._held.get(name)
        if held is None:
            return
        held.uses -= 1
        if held.uses <= 0:
            self.forget(name)

    def mark_set(self, name: str) -> None:
        """Note that the card took this value as its PIN."""
        held = self._held.get(name)
        if held is not None:
            held.on_card = True

    def forget(self, name: str) -> None:
        """Wipe one value, if it is held."""
        held = self._held.pop(name, None)
        if held is not None:
            held.secret.wipe()

    def wipe(self) -> None:
        """Wipe everything; the operation ended."""
        for name in list(self._held):
            self.forget(name)
