"""What directories say of people, for administrators: what a template makes of somebody, and who has left."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol
from uuid import UUID

from server.operations.leavers import look
from server.operations.naming import values_for
from server.operations.services import Services
from server.ports.directory import Directory
from shared import errors
from shared.credential.model import HolderId, Person, RecordId, TemplateRef
from shared.credential.template import CertificateSpec, Template
from shared.credential.template_reading import parse_template
from shared.credential.variables import evaluate, expressions_in, fill, fill_subject

A_CARD: Final = RecordId(UUID(int=0))
A_SERIAL: Final = 12345678
"""Stand for what only a card has."""
NAMES: Final = ("subject", "upn", "mail", "sid")
TEXT_MAX: Final = 64 << 10
HOLDER_MAX: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedVariable:
    """An expression as it is written, and what it comes to; `problem` where it comes to nothing and must not."""

    written: str
    value: str = field(default="", repr=False)
    problem: errors.KioskError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedName:
    """One name of one certificate."""

    slot: str
    name: str
    value: str = field(default="", repr=False)
    problem: errors.KioskError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedTemplate:
    """What a template makes of a person. Version 0: it is not applied."""

    template: str
    version: int
    directory: str
    holder: str
    holder_name: str
    enabled: bool
    variables: tuple[TriedVariable, ...]
    names: tuple[TriedName, ...]

    @property
    def works(self) -> bool:
        """Whether this person could get it."""
        problems = [each.problem for each in self.variables] + [each.problem for each in self.names]
        return self.enabled and not any(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaverView:
    """A card in use whose holder has left; `why` and `policy` as in `server.operations.leavers` and the template."""

    record_id: RecordId
    holder: str
    holder_name: str
    template: str
    state: str
    why: str
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedDirectory:
    """What one directory said of the holders of cards in use."""

    name: str
    asked: int
    silent: str
    doubtful: bool
    leavers: tuple[LeaverView, ...]


class PeopleService(Protocol):
    """Ask about people, on either side of the socket. Changes nothing."""

    async def test_template(self, *, name: str, text: str, holder: str) -> TriedTemplate:
        """Say what a template makes of one person.

        Raises:
            UnknownTemplate, TemplateInvalid: there is no such template, or the text is none.
            TemplateImpossible: there is no such directory.
            UnknownHolder: nobody is found.
            Invalid: several people are found.
            ConnectorUnreachable, ConnectorRefused: the directory's failures.
        """
        ...

    async def leavers(self) -> Sequence[AskedDirectory]:
        """Say who has left."""
        ...


class People:
    """Ask the record and the directories."""

    def __init__(self, services: Services) -> None:
        """Ask these."""
        self._services = services

    async def test_template(self, *, name: str, text: str, holder: str) -> TriedTemplate:
        """Say what a template makes of one person; raises as `PeopleService`."""
        ref, template = await self._template(name, text)
        directory = self._services.directories.get(template.directory)
        if directory is None:
            why = f"there is no directory {template.directory}"
            raise errors.TemplateImpossible(template=template.name, why=why)
        person = await _person(directory, holder)
        values = values_for(person, A_CARD, A_SERIAL, template=ref, now=self._services.clock.now())
        return TriedTemplate(
            template=template.name,
            version=ref.version,
            directory=template.directory,
            holder=person.holder,
            holder_name=person.name,
            enabled=person.is_valid(self._services.clock.now()),
            variables=tuple(_variables(template, values)),
            names=tuple(each for spec in template.certificates for each in _fields(spec, values)),
        )

    async def leavers(self) -> Sequence[AskedDirectory]:
        """Say who has left."""
        return [
            AskedDirectory(
                name=looked.directory,
                asked=looked.asked,
                silent=looked.silent,
                doubtful=looked.doubtful,
                leavers=tuple(
                    LeaverView(
                        record_id=leaver.card.record_id,
                        holder=leaver.card.credential.holder,
                        holder_name=leaver.card.credential.holder_name,
                        template=leaver.template.name,
                        state=leaver.card.state.value,
                        why=leaver.why.value,
                        policy=leaver.template.when_holder_leaves.value,
                    )
                    for leaver in looked.leavers
                    if leaver.card.credential is not None
                ),
            )
            for looked in await look(self._services)
        ]

    async def _template(self, name: str, text: str) -> tuple[TemplateRef, Template]:
        if bool(name) == bool(text):
            raise errors.Invalid(field="template", why="a name, or a text")
        if text:
            template = parse_template(text)
            return TemplateRef(name=template.name, version=0, digest=template.digest), template
        stored = await self._services.store.templates.latest(name)
        if stored is None:
            raise errors.UnknownTemplate(template=name)
        return stored.ref, parse_template(stored.text)


async def _person(directory: Directory, text: str) -> Person:
    """Return the one person who is meant, as completely as the directory knows them."""
    if not text.strip():
        raise errors.Invalid(field="holder", why="an id, or words that find one person")
    person = await directory.get(HolderId(text))
    if person is not None:
        return person
    found = await directory.search(text, 2)
    if len(found) > 1:
        raise errors.Invalid(field="holder", why="several people are found; type more, or an id")
    person = await directory.get(found[0].holder) if found else None
    if person is None:
        raise errors.UnknownHolder(holder=text)
    return person


def _variables(template: Template, values: Mapping[str, str]) -> Sequence[TriedVariable]:
    """Try every expression, once each, in the order of the template."""
    texts = [getattr(spec, name) for spec in template.certificates for name in NAMES]
    found: dict[str, TriedVariable] = {}
    for text in texts:
        for written, expression in expressions_in(text):
            value, problem = _try(lambda expression=expression: evaluate(expression, values))  # type: ignore[misc]  # of this round
            found.setdefault(written, TriedVariable(written=written, value=value, problem=problem))
    for name in template.pin.not_from:
        missing = None if values.get(name) else errors.VariableMissing(variable=name)
        found.setdefault(name, TriedVariable(written=name, value=values.get(name, ""), problem=missing))
    return list(found.values())


def _fields(spec: CertificateSpec, values: Mapping[str, str]) -> Sequence[TriedName]:
    """Try every name of a certificate that the template asks for."""
    makers: dict[str, Callable[[], str]] = {
        "subject": lambda: fill_subject(spec.subject, values).rfc4514_string(),
        "upn": lambda: fill(spec.upn, values),
        "mail": lambda: fill(spec.mail, values),
        "sid": lambda: fill(spec.sid, values),
    }
    tried = []
    for name, make in makers.items():
        if getattr(spec, name):
            value, problem = _try(make)
            tried.append(TriedName(slot=spec.slot.text, name=name, value=value, problem=problem))
    return tried


def _try(make: Callable[[], str]) -> tuple[str, errors.KioskError | None]:
    try:
        return make(), None
    except errors.KioskError as problem:
        return "", problem
