"""Nobody is there: who answers and who watches where a program does all of it."""

from collections.abc import Sequence

from shared.credential.pins import PinPolicy
from shared.errors import KioskError
from shared.relay import StepLine
from shared.secret import Secret


class Nobody:
    """Nobody is there to answer: issuing asks for nothing."""

    async def new_pin(self, policy: PinPolicy, problem: KioskError | None) -> Secret | None:  # noqa: ARG002
        """Give none."""
        return None

    async def current_pin(self, tries_left: int | None, problem: KioskError | None) -> Secret | None:  # noqa: ARG002
        """Give none."""
        return None

    async def confirm_few_tries(self, tries_left: int) -> bool:  # noqa: ARG002
        """Say no."""
        return False

    async def keep_code(self, code: Secret) -> bool:  # noqa: ARG002
        """Keep none."""
        return False

    async def present_code(self) -> Secret | None:
        """Give none."""
        return None

    def steps(self, steps: Sequence[StepLine]) -> None:
        """Look away."""

    def step(self, index: int, *, done: bool, expected_ms: int) -> None:
        """Look away."""
