"""Somebody who knows which PINs may be on the card, and never tries more than needed."""

import random
from collections.abc import Awaitable, Callable
from typing import Final

from shared import errors
from shared.credential.pins import PinPolicy, check_pin
from shared.errors import KioskError
from shared.secret import Secret

DIGITS: Final = 6


class Holder:
    """A `Person` of the station.

    `maybe` are the PINs that may be in force, the one to try next first. A value that the card called wrong is
    dropped; one whose answer was lost goes to the end, so that the next try is another one.
    """

    def __init__(self, chance: random.Random) -> None:
        """Choose PINs with `chance`."""
        self._chance = chance
        self.maybe: list[str] = []
        self.codes: list[str] = []
        """Unblock codes that were written down, the newest last."""
        self._tried = ""
        self._chose = False
        self.mistakes = 0
        """How many wrong PINs to type first."""
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        """What to do when a new PIN is asked for next."""

    async def new_pin(self, policy: PinPolicy, problem: KioskError | None) -> Secret | None:
        """Choose a PIN that was never used before; go elsewhere first, once, where that is wanted."""
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
            self._tried = ""
        if self._tried:
            self.maybe = [self._tried]  # nobody is asked for a new PIN before the present one was right
        chosen = self._fresh(policy)
        self._chose = True
        self.maybe.insert(0, chosen)
        return Secret.from_text(chosen)

    async def current_pin(self, tries_left: int | None, problem: KioskError | None) -> Secret | None:
        """Type the PIN that is most likely right."""
        if isinstance(problem, errors.PinRejected) and self._tried in self.maybe:
            self.maybe.remove(self._tried)
        self._tried = ""
        if self.mistakes:
            self.mistakes -= 1
            return Secret.from_text(self._fresh(PinPolicy()))
        if not self.maybe:
            return None
        self._tried = self.maybe.pop(0)
        self.maybe.append(self._tried)
        return Secret.from_text(self._tried)

    async def confirm_few_tries(self, tries_left: int) -> bool:
        """Be sure."""
        return True

    async def keep_code(self, code: Secret) -> bool:
        """Write it down."""
        self.codes.append(code.reveal().decode())
        return True

    async def present_code(self) -> Secret | None:
        """Read it from the paper."""
        return Secret.from_text(self.codes[-1]) if self.codes else None

    def begins(self) -> None:
        """Stand at the desk: nothing was typed yet."""
        self._tried, self._chose = "", False

    def done(self) -> None:
        """Remember the PIN that was set, where one was."""
        if self._chose:
            self.maybe = self.maybe[:1]

    def _fresh(self, policy: PinPolicy) -> str:
        while True:
            pin = "".join(self._chance.choices("0123456789", k=DIGITS))
            try:
                check_pin(pin.encode(), policy)
            except errors.PinPolicyViolated:
                continue
            if pin not in self.maybe:
                return pin
