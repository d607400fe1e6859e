"""The PIV application: which command does what, and what all of them work on.

Each command is a function of the module of its subject: it takes the applet and the command, changes memory
or security status, and returns the response data; a status other than 9000 is raised as `Refused`.

Source: [SP 800-73-5] part 2, sections 3.1 to 3.3 and appendix A.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from shared.iso7816.apdu import Apdu
from shared.iso7816.status import SW
from shared.piv.ids import Algorithm
from shared.virtual.memory import Memory, PrivateKey
from shared.virtual.profiles import VirtualProfile
from shared.virtual.security import Refused, Security

RandomSource: TypeAlias = Callable[[int], bytes]
"""Return this many random bytes."""


class KeySource(Protocol):
    """Make a private key for a slot; tests hand in a pool, because RSA keys take seconds."""

    def __call__(self, algorithm: Algorithm, /) -> PrivateKey:
        """Return a key that nobody else has."""
        ...


@dataclass(slots=True)
class Applet:
    """What the commands of the PIV application work on."""

    profile: VirtualProfile
    memory: Memory
    random: RandomSource
    key_source: KeySource
    security: Security = field(default_factory=Security)

    def needs_management(self) -> None:
        """Go on only after authentication with the management key.

        Raises:
            Refused: 6982.
        """
        if not self.security.managed:
            raise Refused(SW.SECURITY_STATUS_NOT_SATISFIED)

    def needs_pin(self) -> None:
        """Go on only with the PIN verified.

        Raises:
            Refused: 6982.
        """
        if not self.security.pin:
            raise Refused(SW.SECURITY_STATUS_NOT_SATISFIED)


Handler: TypeAlias = Callable[[Applet, Apdu], bytes]
