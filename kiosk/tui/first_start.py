"""The first start at the desk: who is asked what, and what is done with the answers."""

import asyncio
from collections.abc import Sequence
from typing import Final

from textual.app import App, ComposeResult
from textual.content import Content
from textual.widgets import Input, Static

from kiosk.station import wording
from kiosk.station.faces import Outcome, Paper, StationView
from kiosk.station.first_start import FirstStart
from kiosk.tui.confirm import Confirm
from kiosk.tui.dialog import Dialog
from kiosk.tui.find import FindPerson
from kiosk.tui.first_start_screen import OPERATOR, OWNER, PASSCODE, FirstStartScreen
from kiosk.tui.questions import Questions
from kiosk.tui.widgets.pin import PasscodeField
from kiosk.tui.widgets.readers import card_name
from shared import errors
from shared.clock import Clock
from shared.credential.model import HolderId
from shared.errors import KioskError
from shared.first_start import FirstStartView, OperatorTemplate, named
from shared.relay import StepLine
from shared.secret import Secret

NAME_MAX: Final = 64


class FirstStarts:
    """Opens the screen where the server waits for its first start, and leads through it."""

    def __init__(self, app: App[None], work: FirstStart, clock: Clock, *, paper: Paper | None = None) -> None:
        """Work for `app`; `work` does what is asked for, `paper` prints the unblock code where somebody wants that."""
        self._app, self._work, self._clock, self._paper = app, work, clock, paper
        self._turn = asyncio.Lock()
        self._screen: FirstStartScreen | None = None
        self._aside = False
        """It was left, or is over; until the server waits for another one."""
        self._done: list[str] = []

    def see(self, view: StationView, *, title: str, virtual: bool) -> bool:
        """Follow the station; return whether the first start has the screen."""
        waits = view.server is not None and view.server.first_start
        if not waits and view.connected and view.server is not None:
            self._aside = False
        if self._screen is None and waits and not self._aside and view.operator is None:
            self._screen = FirstStartScreen(self._clock, title=title, virtual=virtual)
            self._app.push_screen(self._screen)
        if self._screen is not None:
            self._screen.view = view
        return self._screen is not None

    async def leave(self) -> None:
        """Leave it for now; the passcode opens it again."""
        self._close()
        try:
            await self._work.end()
        except KioskError:
            return  # it ends by itself

    async def go_on(self, reader: str) -> str:
        """Do the present step; what goes wrong is said on the screen. Returns a reader to be read again, once it is over."""
        screen = self._screen
        if screen is None:
            return ""
        try:
            match screen.step:
                case step if step == PASSCODE:
                    await self._passcode(screen)
                case step if step == OWNER:
                    await self._owner(screen, reader)
                case step if step == OPERATOR:
                    await self._operator(screen, reader)
                case _:
                    self._close()
                    return reader
        except errors.Cancelled:
            screen.failed(None)
        except errors.SessionEnded as ended:
            screen.step = PASSCODE
            screen.failed(ended)
        except KioskError as error:
            screen.failed(error)
        finally:
            screen.working = ""
        return ""

    # --- the steps --------------------------------------------------------------------------------------

    async def _passcode(self, screen: FirstStartScreen) -> None:
        passcode = await self._app.push_screen_wait(Passcode())
        if passcode is None:
            return
        screen.working = "The passcode is being checked."
        view = await self._work.begin(passcode)
        screen.step = OPERATOR if view.owner_made else OWNER

    async def _owner(self, screen: FirstStartScreen, reader: str) -> None:
        card = self._card(screen)
        question = Confirm(
            "Make the System Owner's card?",
            " ".join(wording.OWNER_MEANS),
            yes="Make it",
            facts=(("Card", card), ("Reader", reader)),
            risky=True,
        )
        if not await self._app.push_screen_wait(question):
            return
        person = Questions(
            self._app, self._turn, f"{card} · {reader}", heading="System Owner", paper=self._paper
        )
        self._check(await self._work.make_owner(reader, person, _Progress(screen)))
        self._done.append(f"System Owner: {card}. Lock it away, and its unblock code elsewhere.")
        screen.step = OPERATOR

    async def _operator(self, screen: FirstStartScreen, reader: str) -> None:
        card = self._card(screen)
        view = await self._work.view()
        chosen = await self._who(view, card)
        if chosen is None:
            return
        template, holder, name = chosen
        question = Confirm(
            "Make the first operator's card?",
            "From the moment it is active, the passcode is gone and every station asks for an operator's card.",
            yes="Make it",
            facts=(("Person", name), ("Roles", "all"), ("Card", card), ("Reader", reader)),
            risky=True,
        )
        if not await self._app.push_screen_wait(question):
            return
        person = Questions(self._app, self._turn, f"{name} · {card} · {reader}", heading="First operator")
        self._check(await self._work.make_operator(reader, holder, template, person, _Progress(screen)))
        await self._forget()
        self._done.append(f"First operator: {name}, {card}, all roles.")
        screen.over((*self._done, wording.FIRST_START_OVER))

    async def _who(self, view: FirstStartView, card: str) -> tuple[OperatorTemplate, HolderId, str] | None:
        """Ask who the first operator is: somebody in a directory, or by name where the template is for those in none."""
        templates = view.operator_templates
        if not templates:
            raise errors.UnknownTemplate(template="operator")
        template = templates[0]
        if template.by_name:
            name = await self._app.push_screen_wait(Name())
            return None if name is None else (template, named(name), name)
        person = await self._app.push_screen_wait(FindPerson(card, self._work.find_people))
        return None if person is None else (template, person.holder, person.name)

    async def _forget(self) -> None:
        """Let go of the session, which ended with the passcode."""
        try:
            await self._work.end()
        except KioskError:
            return

    def _check(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            raise outcome.error

    def _card(self, screen: FirstStartScreen) -> str:
        reader = screen.reader
        return card_name(reader.card) if reader is not None and reader.card is not None else "a card"

    def _close(self) -> None:
        screen, self._screen, self._aside = self._screen, None, True
        if screen is not None:
            screen.withdraw()


class _Progress:
    """Says on the screen what is being done. A `Watcher` of the station."""

    def __init__(self, screen: FirstStartScreen) -> None:
        self._screen = screen
        self._steps: Sequence[StepLine] = ()

    def steps(self, steps: Sequence[StepLine]) -> None:
        self._steps = steps

    def step(self, index: int, *, done: bool, expected_ms: int) -> None:  # noqa: ARG002  # a sentence has no bar
        if not done and index < len(self._steps):
            self._screen.working = f"{wording.step(self._steps[index])}. Leave the card in the reader."


class Passcode(Dialog[Secret]):
    """Asks for the passcode."""

    def __init__(self) -> None:
        """Begin empty."""
        super().__init__("First start · Passcode")

    def compose(self) -> ComposeResult:
        """Compose the field."""
        with self.box():
            yield Static("The passcode that kiosk-server init was given", classes="label")
            yield PasscodeField(submit=self._typed, id="passcode")

    def on_mount(self) -> None:
        """Begin to type at once."""
        self.query_one(PasscodeField).focus()

    def _typed(self) -> None:
        field = self.query_one(PasscodeField)
        if field.length:
            self.dismiss(field.take())
        else:
            self.app.bell()


class Name(Dialog[str]):
    """Asks for the name of somebody who is in no directory."""

    def __init__(self) -> None:
        """Begin empty."""
        super().__init__("First operator · Name")

    def compose(self) -> ComposeResult:
        """Compose the line to type in."""
        with self.box():
            yield Static(Content("No directory is connected: who is the first operator?"), classes="label")
            yield Input(placeholder="Given name and surname", max_length=NAME_MAX, id="name")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the name."""
        name = " ".join(event.value.split())
        if name and name.isprintable():
            self.dismiss(name)
        else:
            self.app.bell()
