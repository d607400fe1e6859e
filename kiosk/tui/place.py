"""What a new card is to a person who has others: another one, a replacement, or a temporary one; and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto, unique
from typing import Final

from textual.app import App

from kiosk.station.faces import Station
from kiosk.tui.labels import CAUSES, STANDING_IN_WORDS, STATE_NAMES, SUCCEEDING_WORDS
from kiosk.tui.menu import Entry, Menu
from kiosk.tui.reason import ChooseReason
from shared.console import TemplateView
from shared.credential.model import Person, State
from shared.credential.reasons import Cause
from shared.credential.succession import IN_USE, REPLACING, STANDING_IN
from shared.credentials import CredentialView

HELD_MAX: Final = 6
"""How many credentials of one person are shown before another one is made."""

OPEN: Final = IN_USE | {State.REGISTERED}
"""States of a credential that its holder uses, or is about to."""


@unique
class Making(Enum):
    """What a new card is to a person who has others."""

    ANOTHER = auto()
    REPLACEMENT = auto()
    TEMPORARY = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a new credential comes: beside others, or in the place of `old`."""

    making: Making
    old: CredentialView | None = None
    cause: Cause | None = None

    @property
    def replaces(self) -> str:
        """The id of the credential that is replaced."""
        return self._id if self.making is Making.REPLACEMENT else ""

    @property
    def primary(self) -> str:
        """The id of the credential that is stood in for."""
        return self._id if self.making is Making.TEMPORARY else ""

    @property
    def facts(self) -> Sequence[tuple[str, str]]:
        """What is said of it before the card is written."""
        if self.old is None or self.cause is None:
            return ()
        label = "Replaces" if self.making is Making.REPLACEMENT else "Stands in for"
        return ((label, held(self.old)), ("Why", CAUSES[self.cause]))

    def templates(self, known: Sequence[TemplateView]) -> Sequence[TemplateView]:
        """Return the templates that may be issued by; a replacement has that of the old one, where there still is one."""
        wanted = [each for each in known if each.temporary is (self.making is Making.TEMPORARY)]
        same = [each for each in wanted if self.old is not None and each.name == self.old.template]
        return same or wanted

    @property
    def _id(self) -> str:
        return str(self.old.credential_id) if self.old is not None else ""


class Places:
    """Asks in whose place a new card is made."""

    def __init__(self, app: App[None], station: Station) -> None:
        """Ask on `app`; `station` knows what people have."""
        self._app, self._station = app, station

    async def ask(self, person: Person) -> Place | None:
        """Show what the person has already, and ask what the new card is beside it; None where nothing is to begin.

        Raises:
            KioskError: the server did not say what the person has.
        """
        found = await self._station.find_credentials(person.holder, HELD_MAX)
        have = [each for each in found.credentials if each.holder == person.holder and each.state in OPEN]
        if not have:
            return Place(making=Making.ANOTHER)
        facts = [(STATE_NAMES[each.state], held(each)) for each in have]
        menu = Menu(f"{person.name} has a card", _entries(have), facts=facts)
        making: Making | None = await self._app.push_screen_wait(menu)
        if making is None or making is Making.ANOTHER:
            return None if making is None else Place(making=making)
        old = await self._which(making, person, _fitting(making, have))
        if old is None:
            return None
        heading, words, causes = (
            ("Replacement: why?", SUCCEEDING_WORDS, REPLACING)
            if making is Making.REPLACEMENT
            else ("Temporary card: why?", STANDING_IN_WORDS, STANDING_IN)
        )
        question = ChooseReason(f"{heading}  {person.name}", words, causes)
        cause = await self._app.push_screen_wait(question)
        return Place(making=making, old=old, cause=cause) if cause is not None else None

    async def _which(
        self, making: Making, person: Person, fitting: Sequence[CredentialView]
    ) -> CredentialView | None:
        """Return the one that is meant, and ask where there are several."""
        if len(fitting) == 1:
            return fitting[0]
        entries = [
            Entry(choice=each, key=str(number), name=STATE_NAMES[each.state], words=held(each))
            for number, each in enumerate(fitting, 1)
        ]
        verb = "is replaced" if making is Making.REPLACEMENT else "stays at home"
        return await self._app.push_screen_wait(Menu(f"Which card {verb}?  {person.name}", entries))


def _entries(have: Sequence[CredentialView]) -> list[Entry[Making]]:
    entries = [
        Entry(
            choice=Making.ANOTHER, key="a", name="Another card", words="beside what the person has already"
        ),
        Entry(
            choice=Making.REPLACEMENT,
            key="r",
            name="Replacement",
            words="for one that is lost, stolen, damaged or outdated",
        ),
        Entry(
            choice=Making.TEMPORARY,
            key="t",
            name="Temporary card",
            words="for some time, in the place of one that is not here",
        ),
    ]
    return [each for each in entries if each.choice is Making.ANOTHER or _fitting(each.choice, have)]


def _fitting(making: Making, have: Sequence[CredentialView]) -> Sequence[CredentialView]:
    """Return the credentials in whose place one can be made; there is at most one temporary one at a time."""
    if making is Making.TEMPORARY and any(each.primary is not None for each in have):
        return ()
    states = IN_USE if making is Making.REPLACEMENT else {State.ACTIVE, State.SUSPENDED}
    return [
        each
        for each in have
        if each.credential_id is not None and each.primary is None and each.state in states
    ]


def held(view: CredentialView) -> str:
    """Say which credential it is, and since when it has been so."""
    since = (view.since or view.issued_at)[:10]
    serial = "" if view.serial is None else f"serial {view.serial}"
    return " · ".join(filter(None, (view.template_title, serial, f"since {since}" if since else "")))
