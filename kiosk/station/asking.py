"""Waiting for a person in the middle of an operation: until there is an answer of the right form, or it was stopped."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from kiosk.station.faces import Person
from shared import errors
from shared.credential.pins import PIN_FIELD_LENGTH
from shared.errors import KioskError
from shared.secret import Secret

T = TypeVar("T")


class Asking:
    """Whoever answers the questions of one operation."""

    def __init__(self, person: Person) -> None:
        """Ask `person`, until `stop`."""
        self.person = person
        self._stopped = asyncio.Event()

    @property
    def stopped(self) -> bool:
        """Whether the operation was cancelled."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """Wait for nobody any more: a question that is open ends."""
        self._stopped.set()

    async def typed(
        self,
        ask: Callable[[KioskError | None], Coroutine[Any, Any, Secret | None]],
        check: Callable[[bytes], None],
        problem: KioskError | None,
    ) -> Secret | None:
        """Ask until the value has the right form, or the person stops."""
        while True:
            secret = await self.answered(ask(problem))
            if secret is None or secret.wiped:
                return None
            try:
                check(secret.reveal())
            except errors.PinPolicyViolated as violated:
                secret.wipe()
                problem = violated
            else:
                return secret

    async def code_kept(self, code: Secret) -> bool:
        """Show an unblock code, and return whether it was kept; what was shown is wiped."""
        shown = Secret(code.reveal())
        try:
            return bool(await self.answered(self.person.keep_code(shown)))
        finally:
            shown.wipe()

    async def code(self) -> Secret | None:
        """Ask for the unblock code until it has the form of one, or the person stops."""
        while True:
            code = await self.answered(self.person.present_code())
            if code is None or code.wiped:
                return None
            digits = code.reveal().replace(b" ", b"")
            code.wipe()
            if len(digits) == PIN_FIELD_LENGTH and digits.isdigit():
                return Secret(digits)

    async def answered(self, question: Coroutine[Any, Any, T]) -> T | None:
        """Wait for the person, but not after the operation was cancelled."""
        asking = asyncio.ensure_future(question)
        stopping = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait({asking, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return asking.result() if asking.done() else None
        finally:
            for task in (asking, stopping):
                task.cancel()
            await asyncio.gather(asking, stopping, return_exceptions=True)
