"""The token of the session whose operator is logged on: sent with every call, shown to nobody."""

from collections.abc import Callable
from typing import Final

from shared.secret import Secret

METADATA: Final = "kiosk-session-bin"
HOLDER: Final = "kiosk-holder-bin"


class HeldToken:
    """One token, or none. It is wiped when it ends, as far as gRPC has not copied it."""

    def __init__(self) -> None:
        """Begin with none."""
        self._value: Secret | None = None
        self._name = METADATA
        self._told: Callable[[], None] | None = None

    @property
    def value(self) -> Secret | None:
        """The token, for a command that keeps it for the next one."""
        return self._value

    @property
    def metadata(self) -> tuple[tuple[str, bytes], ...]:
        """What goes with a call."""
        return () if self._value is None else ((self._name, self._value.reveal()),)

    @property
    def of_holder(self) -> bool:
        """Whether it is the session of a holder, who asks other services than operators do."""
        return self._value is not None and self._name == HOLDER

    def keep(self, token: Secret, *, holder: bool = False) -> None:
        """Take a token over, an operator's or a `holder`'s; the one before is forgotten."""
        self.forget()
        self._value, self._name = token, HOLDER if holder else METADATA

    def forget(self) -> None:
        """Wipe the token."""
        if self._value is not None:
            self._value.wipe()
        self._value = None

    def when_ended(self, told: Callable[[], None]) -> None:
        """Call `told` when the server says that the session has ended."""
        self._told = told

    def end(self) -> None:
        """Note that the server says so."""
        self.forget()
        if self._told is not None:
            self._told()
