"""What an operation at the desk needs to know before it begins, and who is asked for it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from textual.app import App

from kiosk.station import wording
from kiosk.station.faces import Job, ReaderView, Station
from kiosk.tui.confirm import Confirm
from kiosk.tui.failure import Failure
from kiosk.tui.find import FindPerson
from kiosk.tui.labels import (
    CAUSES,
    CAUSES_OF,
    ENDINGS,
    FINAL,
    FINAL_WORDS,
    GIVING_BACK,
    NO_TEMPLATE,
    PIN_TAKEN,
    ROLES_AS_BEFORE,
)
from kiosk.tui.place import Place, Places
from kiosk.tui.reason import ChooseReason
from kiosk.tui.template import ChooseTemplate
from kiosk.tui.widgets.card import DEPARTMENT, MAIL
from kiosk.tui.widgets.readers import card_name
from shared.console import CardView, TemplateView
from shared.credential.lifecycle import ENDING, OperationKind
from shared.credential.model import Person
from shared.credential.reasons import Cause
from shared.wording import unrevocable

AskRoles = Callable[[str], Awaitable[frozenset[str] | None]]
"""Asks which roles somebody gets; None where nothing is to begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """An operation that may begin; `subject` says for whom."""

    job: Job
    subject: str


def at_once(operation: OperationKind, record: CardView) -> bool:
    """Whether an operation begins without a question: it goes on, or nothing is lost by it."""
    asks = operation in ENDING or operation in (OperationKind.ISSUE, OperationKind.UNREGISTER)
    return record.interrupted is operation or not asks


def ready(operation: OperationKind, reader: ReaderView, record: CardView) -> Ready:
    """Return an operation that needs no question."""
    holder = record.holder
    job = Job(operation=operation, reader=reader.name)
    if operation is OperationKind.ISSUE:
        job = Job(
            operation=operation,
            reader=reader.name,
            holder=holder.holder if holder else "",
            template=record.template,
        )
    return Ready(job=job, subject=holder.name if holder else "")


class Before:
    """Asks what the person at the desk has to say before an operation; None means that nothing begins."""

    def __init__(self, app: App[None], station: Station, ask_roles: AskRoles | None = None) -> None:
        """Ask on `app`; what there is to choose from comes from `station`. `ask_roles` asks which roles an operator gets."""
        self._app, self._station, self._ask_roles = app, station, ask_roles

    async def ask(self, operation: OperationKind, reader: ReaderView, record: CardView) -> Ready | None:
        """Ask whatever `operation` needs.

        Raises:
            KioskError: the server did not say what there is to choose from.
        """
        if operation is OperationKind.ISSUE:
            return await self._issue(reader)
        holder = record.holder
        facts = [
            *([("Person", holder.name)] if holder else []),
            *([("Template", f"{record.template_title}  v{record.template_version}")] if holder else []),
            ("Card", _card(reader)),
            ("Reader", reader.name),
        ]
        subject = holder.name if holder else _card(reader)
        if operation is OperationKind.UNREGISTER:
            question = Confirm(
                "Give this card back?", GIVING_BACK, yes="Give it back", facts=facts, risky=True
            )
            agreed = await self._app.push_screen_wait(question)
            return (
                Ready(job=Job(operation=operation, reader=reader.name), subject=subject) if agreed else None
            )
        cause = await self.why(
            operation, subject, f"{ENDINGS[operation]} {PIN_TAKEN[operation]}".strip(), facts
        )
        if cause is None:
            return None
        return Ready(job=Job(operation=operation, reader=reader.name, reason=cause.value), subject=subject)

    async def why(
        self, operation: OperationKind, subject: str, meaning: str, facts: list[tuple[str, str]]
    ) -> Cause | None:
        """Ask for the reason; what cannot be undone is asked once more, by the name of whom it is about."""
        final = operation in FINAL
        heading = f"{wording.operation(operation)}: why?  {subject}"
        warning = f"{meaning} {FINAL_WORDS}" if final else meaning
        cause = await self._app.push_screen_wait(ChooseReason(heading, warning, CAUSES_OF[operation]))
        if cause is None or not final:
            return cause
        question = Confirm(
            f"{wording.operation(operation)}?  {subject}",
            warning,
            yes=wording.operation(operation),
            facts=[*facts, ("Why", CAUSES[cause])],
            risky=True,
        )
        return cause if await self._app.push_screen_wait(question) else None

    # --- issue ------------------------------------------------------------------------------------------

    async def _issue(self, reader: ReaderView) -> Ready | None:
        """Ask who gets the card, which template, and whether all is right."""
        card = _card(reader)
        person = await self._app.push_screen_wait(FindPerson(card, self._station.find_people))
        if person is None:
            return None
        place = await Places(self._app, self._station).ask(person)
        if place is None:
            return None
        chosen = await self._template(person, place)
        if chosen is None:
            return None
        template, roles = chosen
        if not await self._app.push_screen_wait(_summary(reader, card, person, template, place, roles)):
            return None
        job = Job(
            operation=OperationKind.ISSUE,
            reader=reader.name,
            holder=person.holder,
            template=template.name,
            replaces=place.replaces,
            primary=place.primary,
            reason=place.cause.value if place.cause is not None else "",
            roles=tuple(sorted(roles)),
        )
        return Ready(job=job, subject=f"{person.name} · {template.title}")

    async def _template(self, person: Person, place: Place) -> tuple[TemplateView, frozenset[str]] | None:
        """Ask which template, and for an operator's card which roles; None where nothing is to begin."""
        known = await self._station.templates()
        templates = place.templates([each for each in known if _is_for(each, person)])
        if not templates:
            self._app.push_screen(Failure(None, "no-template", NO_TEMPLATE))
            return None
        template: TemplateView | None = templates[0]
        if len(templates) > 1:
            template = await self._app.push_screen_wait(ChooseTemplate(templates, person.name))
        if template is None:
            return None
        if not template.operator or self._ask_roles is None:
            return template, frozenset()
        roles = await self._ask_roles(person.name)
        return None if roles is None else (template, roles)


def _is_for(template: TemplateView, person: Person) -> bool:
    """Whether a template takes its people from where this one is known, as far as both are told."""
    return not template.directory or person.directory in {"", template.directory}


def _card(reader: ReaderView) -> str:
    return card_name(reader.card) if reader.card else reader.name


def _summary(
    reader: ReaderView, card: str, person: Person, template: TemplateView, place: Place, roles: frozenset[str]
) -> Confirm:
    """Return the last question before a card is written."""
    slots = [("Slots" if index == 0 else "", slot) for index, slot in enumerate(template.slots)]
    where = " · ".join(filter(None, (person.attributes.get(name, "") for name in (DEPARTMENT, MAIL))))
    return Confirm(
        "Issue this card?",
        "Write this card now?",
        yes="Issue",
        facts=(
            ("Person", person.name),
            *([("", where)] if where else []),
            *place.facts,
            ("Template", f"{template.title}  v{template.version}"),
            *([("Roles", ", ".join(sorted(roles)) or ROLES_AS_BEFORE)] if template.operator else []),
            *slots,
            *([("Note", unrevocable(template.unrevocable))] if template.unrevocable else []),
            ("Card", card),
            ("Reader", reader.name),
        ),
    )
