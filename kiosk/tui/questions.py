"""The person at the desk answers an operation's questions, one at a time, in typed dialogs."""

import asyncio
from typing import Final, TypeVar

from textual.app import App

from kiosk.station.faces import Paper
from kiosk.tui.confirm import Confirm
from kiosk.tui.current_pin import CurrentPin
from kiosk.tui.dialog import Dialog
from kiosk.tui.new_pin import NewPin
from kiosk.tui.owners_code import KeepCode, PresentCode
from shared.credential.pins import PinPolicy
from shared.errors import KioskError
from shared.secret import Secret

Reply = TypeVar("Reply")

QUESTIONS: Final = "questions"
"""The group of workers that ask before something begins."""


class Questions:
    """A `Person` of the station. `turn` is shared by all operations: people read one question at a time."""

    def __init__(
        self, app: App[None], turn: asyncio.Lock, subject: str, *, heading: str, paper: Paper | None = None
    ) -> None:
        """`subject` says in every question which card it is about, `heading` what for; `paper` prints what may be printed."""
        self._paper = paper
        self._app, self._turn, self._subject, self._heading = app, turn, subject, heading

    async def new_pin(self, policy: PinPolicy, problem: KioskError | None) -> Secret | None:
        """Ask for a new PIN, typed twice."""
        return await self._ask(NewPin(policy, problem, self._subject, self._heading))

    async def current_pin(self, tries_left: int | None, problem: KioskError | None) -> Secret | None:
        """Ask for the present PIN."""
        return await self._ask(CurrentPin(tries_left, problem, self._subject, self._heading))

    async def confirm_few_tries(self, tries_left: int) -> bool:
        """Ask whether to go on although few tries are left."""
        left = "only one try" if tries_left == 1 else f"only {tries_left} tries"
        text = f"A wrong PIN was entered: {left} left, then the PIN is blocked. Go on?"
        dialog = Confirm(
            "Few tries left",
            text,
            yes="Go on",
            facts=(("For", self._heading), ("Card", self._subject)),
            risky=True,
        )
        return await self._ask(dialog) or False

    async def keep_code(self, code: Secret) -> bool:
        """Show the System Owner's unblock code, and have it typed again."""
        return await self._ask(KeepCode(code, self._subject, self._paper)) or False

    async def present_code(self) -> Secret | None:
        """Ask for that code."""
        return await self._ask(PresentCode(self._subject, self._heading))

    async def _ask(self, dialog: Dialog[Reply]) -> Reply | None:
        """Show `dialog` and wait; if nobody waits any more (the card was pulled), take it away.

        The operation may run in any task, so the dialog is opened by the app's own.
        """
        async with self._turn:
            answer: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()

            def settle(reply: Reply | None) -> None:
                if not answer.done():
                    answer.set_result(reply)
                elif isinstance(reply, Secret):
                    reply.wipe()

            self._app.call_later(self._app.push_screen, dialog, settle)
            try:
                return await answer
            except asyncio.CancelledError:
                self._app.call_later(dialog.withdraw)
                raise
