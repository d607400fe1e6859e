"""A dry run of issuing: the real operation, on a card in memory, in an installation that is thrown away.

What is shown is therefore what is done. What is asked of the real installation are three questions (`Sources`); the
operation itself meets a store, a key store and certificate authorities that were made for it a moment ago.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from server.authority.access import Caller
from server.authority.acting import needs_of, permit
from server.authority.policy import unrestricted
from server.operations.engine import OperationEngine
from server.operations.identify import Identified, Seen
from server.operations.rehearsal_card import Scratch, card_for
from server.operations.stage import FIGURES, Stage
from server.ports.store import AuditKind, AuditRecord, StoredTemplate
from shared import errors
from shared.credential.lifecycle import OperationKind, reachable
from shared.credential.model import CardRecord
from shared.credential.template_reading import parse_template
from shared.piv.ids import ProfileName
from shared.piv.profiles import PROFILES
from shared.rehearsal import Rehearsal, RehearsalRequest
from shared.relay import Begin, Failed
from shared.roles import SYSTEM_ADMINISTRATOR

WAITING_MAX: Final = 8
"""Rehearsals at the same time; one is worked on, the others wait for it."""

READER: Final = "dry run"
_NEEDS: Final = needs_of("/kiosk.v1.Rehearsals/RehearseIssue")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What a rehearsal may ask of the real installation: reads, one by one, and nothing that could write.

    `template` returns the newest version by its name, `identify` what the record says of a card, `generation` the
    newest generation of the master key.
    """

    template: Callable[[str], Awaitable[StoredTemplate | None]]
    identify: Callable[[Seen], Awaitable[Identified]]
    generation: Callable[[], int]


class Rehearsals:
    """Say what issuing would do, without doing it."""

    def __init__(self, sources: Sources, build: Callable[[int], Awaitable[Scratch]]) -> None:
        """Ask `sources`; `build` makes an installation with this many generations of the master key."""
        self._sources = sources
        self._build = build
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def rehearse_issue(self, caller: Caller, request: RehearsalRequest) -> Rehearsal:
        """Return what issuing this card would do.

        Raises:
            TooManyAttempts: others wait already.
            CannotRehearse: what the card would do next is not known from outside.
            LogonNeeded, NotAllowed: the caller may not see what issuing by this template would do.
            KioskError: whatever issuing itself would be refused with.
        """
        permit(caller, _NEEDS, request.template)
        if self._waiting >= WAITING_MAX:
            raise errors.TooManyAttempts(seconds=1)
        self._waiting += 1
        try:
            async with self._turn:
                return await self._rehearse_issue(caller, request)
        finally:
            self._waiting -= 1

    async def _rehearse_issue(self, caller: Caller, request: RehearsalRequest) -> Rehearsal:
        profile = _profile(request.card.profile)
        record = (await self._sources.identify(request.card)).record
        if record is not None:
            _check_known(record)
        stored = await self._sources.template(request.template)
        scratch = await self._build(self._sources.generation())
        if stored is not None:
            made = AuditRecord(kind=AuditKind.TEMPLATE, event="rehearsed", actor=READER)
            await scratch.services.store.templates.add(stored, made)
        begin = Begin(
            operation=OperationKind.ISSUE,
            reader=READER,
            virtual=request.card.virtual,
            holder=request.holder,
            template=request.template,
            roles=_roles_for(stored),
        )
        hints = replace(request.card, profile=profile)
        card = await card_for(scratch, caller, begin, hints, record)
        stage = Stage(begin, card, object_max=PROFILES[profile].object_max)
        itself = replace(caller, session=None, principal=unrestricted(READER))
        await OperationEngine(scratch.services).run(itself, stage)
        if isinstance(stage.end, Failed):
            raise stage.end.error
        assert stage.end is not None
        assert stored is not None
        return Rehearsal(
            profile=profile.value,
            product=PROFILES[profile].title,
            new=record is None,
            holder=request.holder,
            holder_name=str(stage.end.facts["holder"]),
            template=stored.ref.name,
            template_title=str(stage.end.facts["template"]),
            template_version=stored.ref.version,
            steps=stage.steps,
            round_trips=tuple(stage.round_trips),
            figures=FIGURES,
        )


def _roles_for(stored: StoredTemplate | None) -> tuple[str, ...]:
    """Return roles for an operator's card: whichever they are, they change nothing on it."""
    return (SYSTEM_ADMINISTRATOR,) if stored is not None and parse_template(stored.text).operator else ()


def _profile(name: str) -> ProfileName:
    try:
        return ProfileName(name)
    except ValueError as cause:
        raise errors.Invalid(field="profile", why=f"none of {', '.join(ProfileName)}") from cause


def _check_known(record: CardRecord) -> None:
    """Refuse a card in the middle of something: how it goes on is decided by what the card answers.

    A card that may not be issued at all is let through; the operation refuses it, in its own words.

    Raises:
        CannotRehearse: its last operation was cut, or it is not known which secrets it has.
    """
    if OperationKind.ISSUE not in reachable(record.state):
        return
    if record.open_operation is not None:
        raise errors.CannotRehearse(
            why="its last operation was cut, and how that goes on depends on the card"
        )
    secrets = (record.management_key, record.puk)
    if any(secret.proven is None or secret.pending is not None for secret in secrets):
        raise errors.CannotRehearse(why="it is not known which management key or unblocking code it has")
