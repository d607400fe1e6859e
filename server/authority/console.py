"""What a station's faces learn between operations: cards, people, templates."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from server.authority.access import Caller
from server.authority.first_start import BUILT_IN
from server.authority.operator_cards import open_ways
from server.operations.identify import identify
from server.operations.update import newer_template
from server.ports.directory import Directory
from server.ports.store import CardStore, CredentialStore, TemplateStore
from shared import errors
from shared.clock import Clock
from shared.console import CardHints, CardView, Comparison, Found, TemplateView
from shared.credential.difference import difference
from shared.credential.drift import Against, drift
from shared.credential.drift_kinds import Drift
from shared.credential.expiry import RENEWAL_DUE, due_for_renewal
from shared.credential.lifecycle import CONTINUED, OperationKind, reachable
from shared.credential.model import CardRecord, HolderId, Person, State
from shared.credential.personal import required
from shared.credential.pin_age import PIN_CHANGE_DUE, pin_change_due
from shared.credential.succession import notices as among_others
from shared.credential.template import CertificateSpec, PinSettings, Template
from shared.credential.template_reading import parse_template
from shared.credential.update import (
    CARRY_DUE,
    REISSUE_NEEDED,
    UPDATE_NEEDED,
    Newer,
    due_at_sight,
    plan_update,
)
from shared.credential.variables import variables_in
from shared.relay import StepLine
from shared.station_profile import StationProfile

SEARCH_LIMIT = 200

_WANTED: Final = {
    REISSUE_NEEDED: OperationKind.REISSUE,
    UPDATE_NEEDED: OperationKind.UPDATE,
    RENEWAL_DUE: OperationKind.RENEW,
    PIN_CHANGE_DUE: OperationKind.CHANGE_PIN,
}
"""What a notice makes the obvious next operation of a card in use; the last one wins."""

SHOWN: Final = frozenset(
    {
        "user", "upn", "mail", "name", "given-name", "surname", "department", "title", "employee-id", "sid",
        "photo",
    }
)  # fmt: skip
"""Attributes of people that go to stations; what else a directory tells is for templates."""


class Console:
    """Answer a station's questions from the record and the directories."""

    def __init__(
        self,
        cards: CardStore,
        credentials: CredentialStore,
        templates: TemplateStore,
        directories: Mapping[str, Directory],
        generation: Callable[[], int],
        clock: Clock,
    ) -> None:
        """Read from these ports; `generation` tells the newest generation of the master key."""
        self._cards = cards
        self._credentials = credentials
        self._templates = templates
        self._directories = directories
        self._generation = generation
        self._clock = clock

    async def look_up(self, caller: Caller, hints: CardHints) -> CardView:
        """Return what the record says of a card; `UNREGISTERED` where it says nothing."""
        found = await identify(self._cards, hints)
        if found.record is None:
            return _at(caller.profile, self._unknown(found.impostor, hints))
        return _at(caller.profile, await self._view(found.record, hints))

    async def compare(self, caller: Caller, hints: CardHints, template: str) -> Comparison:
        """Return how a card differs from a template: the one of its credential where none is named.

        Raises:
            UnknownTemplate: there is no template of this name.
            Invalid: nothing was seen of the card.
        """
        del caller
        if hints.sight is None:
            raise errors.Invalid(field="card", why="it was not read")
        record = (await identify(self._cards, hints)).record
        credential = record.credential if record is not None else None
        name = template or (credential.template.name if credential is not None else "")
        if not name:
            return Comparison()
        stored = await self._templates.latest(name)
        if stored is None:
            raise errors.UnknownTemplate(template=name)
        wanted = parse_template(stored.text)
        version = stored.ref.version
        return Comparison(
            template=name,
            title=wanted.title,
            version=version,
            differences=difference(wanted, version, profile=hints.profile, sight=hints.sight, record=record),
        )

    async def find_people(self, caller: Caller, text: str, limit: int, directory: str = "") -> Found:
        """Search one directory, or all of them where none is named; the order is the directory's own.

        Raises:
            Invalid: no directory has this name.
            ConnectorUnreachable, ConnectorRefused: a directory's failures.
        """
        del caller
        limit = max(1, min(limit, SEARCH_LIMIT))
        known = tuple(name for name in self._directories if name != BUILT_IN)
        if directory and directory not in known:
            raise errors.Invalid(field="directory", why=f"there are {', '.join(known) or 'none'}")
        people: list[Person] = []
        now = self._clock.now()
        for name in (directory,) if directory else known:
            found = await self._directories[name].search(text, limit + 1)
            people += [replace(_shown(person, now), directory=name) for person in found]
        return Found(people=tuple(people[:limit]), more=len(people) > limit, directories=known)

    async def templates(self, caller: Caller) -> Sequence[TemplateView]:
        """Return the newest version of every template that the station is for: its default one first, then by name.

        That of the System Owner's card is for the first start alone (`first_start`).
        """
        profile = caller.profile
        stored = [
            each for each in await self._templates.all_latest() if profile.allows_template(each.ref.name)
        ]
        stored.sort(key=lambda each: (each.ref.name != profile.default_template, each.ref.name))
        parsed = ((parse_template(item.text), item.ref.version) for item in stored)
        return [template_view(each, version) for each, version in parsed if not each.system_owner]

    async def _view(self, record: CardRecord, hints: CardHints) -> CardView:
        credential = record.credential
        cut = OperationKind(record.open_operation.kind) if record.open_operation else None
        interrupted = cut if cut in CONTINUED else None
        stored = await self._templates.version(credential.template) if credential is not None else None
        template = parse_template(stored.text) if stored is not None else None
        title = template.title if template is not None else credential.template.name if credential else ""
        blocked = hints.pin_tries_left == 0 and record.state is State.ACTIVE
        newer = await newer_template(self._templates, record)
        due = self._due(record, hints, newer)
        news = [*([UPDATE_NEEDED] if due else []), *([REISSUE_NEEDED] if newer.reissue else [])]
        news += [RENEWAL_DUE] if self._ending(record, template) else []
        notices = [*(["pin-blocked"] if blocked else []), *news]
        carried = interrupted is None and UPDATE_NEEDED in news and due_at_sight(record)
        if carried:
            notices.append(CARRY_DUE)
        overdue = _pin_change_due(record, template, self._clock.now())
        if overdue:
            notices.append(PIN_CHANGE_DUE)
        notices += await self._among_others(record)
        ways = open_ways(record)
        if UPDATE_NEEDED not in news:
            ways = tuple(way for way in ways if way is not OperationKind.UPDATE)
        elif carried:
            ways = _first(OperationKind.UPDATE, ways)
        if record.state is State.ACTIVE and not blocked:
            for notice, wanted in _WANTED.items():
                ways = _first(wanted, ways) if notice in notices else ways
        if interrupted is not None:
            ways = _first(interrupted, ways)
        holder = None
        if credential is not None:
            holder = await self._person(credential.holder, credential.holder_name)
        elif record.open_operation is not None and record.open_operation.holder:
            holder = await self._person(record.open_operation.holder, "")
        return CardView(
            state=record.state,
            reachable=ways,
            interrupted=interrupted,
            holder=holder,
            template=credential.template.name if credential else "",
            template_title=title,
            template_version=credential.template.version if credential else 0,
            issued_at=credential.issued_at.isoformat() if credential and credential.issued_at else "",
            key_generation=record.management_key.proven.generation if record.management_key.proven else 0,
            notices=tuple(notices),
            at_sight=OperationKind.UPDATE if carried else None,
            drift=self._drift(
                record,
                hints,
                Against(now=self._clock.now(), due=due, ways=ways, template=template, reissue=newer.reissue),
            ),
        )

    async def _among_others(self, record: CardRecord) -> Sequence[str]:
        """Return what is remarkable about a card among all of its holder's."""
        if record.credential is None:
            return ()
        others = await self._credentials.of_holder(record.credential.holder)
        return among_others(others, record.credential)

    def _ending(self, record: CardRecord, template: Template | None) -> bool:
        """Whether certificates are due for renewal, and it is possible."""
        if template is None or OperationKind.RENEW not in reachable(record.state):
            return False
        return bool(due_for_renewal(record.certificates, template, self._clock.now()))

    def _due(self, record: CardRecord, hints: CardHints, newer: Newer) -> list[StepLine]:
        """Return what an update would do to this card now: the master key, its template may be newer than it is."""
        if OperationKind.UPDATE not in reachable(record.state):
            return []
        steps = plan_update(
            record, generation=self._generation(), newer=newer, puk_blocked=hints.puk_tries_left == 0
        )
        return [step.line for step in steps]

    def _drift(self, record: CardRecord, hints: CardHints, against: Against) -> tuple[Drift, ...]:
        if hints.sight is None:
            return ()
        return drift(record, guid=hints.guid, sight=hints.sight, against=against)

    def _unknown(self, impostor: CardRecord | None, hints: CardHints) -> CardView:
        """Return the view of a card without a record; one whose management key is somebody else's cannot be issued.

        `impostor` is the record of a card that was reset, or that this one only looks like.
        """
        if hints.factory_management_key is False:
            return CardView(state=State.UNREGISTERED, notices=("foreign-management-key",))
        ways = reachable(State.UNREGISTERED)
        if impostor is None:
            return CardView(state=State.UNREGISTERED, reachable=ways)
        return CardView(
            state=State.UNREGISTERED,
            reachable=ways,
            notices=("known-card-in-factory-state",),
            drift=self._drift(impostor, hints, Against(now=self._clock.now(), ways=ways)),
        )

    async def _person(self, holder: HolderId, name: str) -> Person:
        """Return the holder as the directory has them now; a copy of the name where it cannot say."""
        for directory in self._directories.values():
            try:
                person = await directory.get(holder)
            except errors.ConnectorError:
                continue
            if person is not None:
                return _shown(person, self._clock.now())
        return Person(holder=holder, name=name or holder)


def _at(profile: StationProfile, view: CardView) -> CardView:
    """Leave out what is not done at a station of this profile."""
    at_sight = view.at_sight if view.at_sight is not None and profile.allows(view.at_sight) else None
    reachable_here = tuple(way for way in view.reachable if profile.allows(way))
    return replace(view, reachable=reachable_here, at_sight=at_sight)


def _pin_change_due(record: CardRecord, template: Template | None, now: datetime) -> bool:
    """Whether the card has a PIN of its holder that is due to be changed."""
    credential = record.credential
    if credential is None or OperationKind.CHANGE_PIN not in reachable(record.state):
        return False
    return pin_change_due(credential, template.pin if template else PinSettings(), now)


def _shown(person: Person, now: datetime) -> Person:
    """Return a person without what no face shows: a birth date is for the server's rules alone."""
    shown = {name: value for name, value in person.attributes.items() if name in SHOWN}
    return replace(person, attributes=shown, enabled=person.is_valid(now), valid_until=None)


def _first(operation: OperationKind, ways: Sequence[OperationKind]) -> tuple[OperationKind, ...]:
    """Put an operation before all others."""
    return (operation, *(way for way in ways if way is not operation))


def template_view(template: Template, version: int) -> TemplateView:
    """Return a template as faces show it."""
    needs = {
        name
        for spec in template.certificates
        for text in (spec.subject, spec.upn, spec.mail, spec.sid, spec.account)
        for name in variables_in(text)
        if name.startswith("user.")
    } | {name for name in required(template.pin.not_from) if name.startswith("user.")}
    return TemplateView(
        name=template.name,
        title=template.title,
        version=version,
        slots=tuple(_slot_text(spec) for spec in template.certificates),
        needs=tuple(sorted(needs)),
        temporary=template.temporary is not None,
        directory=template.directory,
        operator=template.operator,
        unrevocable=tuple(sorted({spec.ca for spec in template.certificates if spec.accept_unrevocable})),
    )


def _slot_text(spec: CertificateSpec) -> str:
    return f"{spec.slot.text} {spec.algorithm.text} {spec.profile}"
