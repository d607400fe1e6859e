"""What the card remembers between two commands and forgets when it is reset."""

from dataclasses import dataclass
from enum import StrEnum, unique


class Refused(Exception):  # not an error of the system: how a command inside the card ends
    """A command ends with a status word other than 9000; never leaves `shared.virtual`."""

    def __init__(self, sw: int) -> None:
        """Keep the status word."""
        self.sw = int(sw)
        super().__init__(f"{self.sw:04X}")


@unique
class Expecting(StrEnum):
    """What a half-done authentication with the management key waits for."""

    WITNESS = "witness"
    """The decrypted witness (mutual authentication)."""
    RESPONSE = "response"
    """The encrypted challenge (single authentication)."""


@dataclass(slots=True)
class Security:
    """The volatile security status of the PIV application.

    `pin` says that the PIN is verified; `pin_just_now` that VERIFY was the command immediately before, which
    keys with the policy *always* insist on. `managed` says that 9B is authenticated. `pending` is the other
    half of an authentication that has begun.

    Source: [SP 800-73-5] part 1, sections 3.5 and 4.1; part 2, section 2.4.2.
    """

    pin: bool = False
    pin_just_now: bool = False
    managed: bool = False
    pending: tuple[Expecting, bytes] | None = None

    def forget(self) -> None:
        """Lose everything: the card was reset, or another application selected."""
        self.pin = self.pin_just_now = self.managed = False
        self.pending = None
