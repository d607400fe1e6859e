"""Who may have a credential, and in whose place: checked before the card is touched.

Nobody has to say twice whom a replacement is for: holder and template are those of the credential in whose place it is
made. An operation that was cut goes on with the place that it began with.
"""

import asyncio
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from server.operations.operation import Operation
from server.operations.succession import Succession
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.credential.model import (
    CardRecord,
    CredentialId,
    CredentialRecord,
    OpenOperation,
    Person,
    RecordId,
    State,
)
from shared.credential.reasons import Cause
from shared.credential.succession import IN_USE, REPLACING, STANDING_IN
from shared.credential.template import Template
from shared.credential.template_reading import parse_template

HINTS: Final = {
    Cause.FORGOTTEN: "one that was forgotten will be back; a temporary one can stand in for it",
    Cause.STOLEN: "one that was stolen is revoked or replaced",
    Cause.COMPROMISED: "one that is compromised is revoked or replaced",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The credential that a new one replaces, or its primary one, and why; nothing for one that is just another."""

    replaces: CredentialId | None = None
    primary: CredentialId | None = None
    cause: Cause | None = None


async def place_for(op: Operation) -> Place:
    """Find out in whose place a credential is to be made; what the request leaves open is filled in.

    Raises:
        OperationInterrupted: the operation that was cut is for another place.
        PlaceRefused: there is no such credential, it is another person's, or not one to be replaced or stood in for.
        Invalid: no reason was given, or an unknown one.
    """
    begin = op.begin
    replaces, primary = _credential_id(begin.replaces, "replaces"), _credential_id(begin.primary, "primary")
    cut = op.record.open_operation if op.record else None
    if cut is not None and cut.kind == OperationKind.ISSUE:
        if (replaces or primary) and (replaces, primary) != (cut.replaces, cut.primary):
            raise errors.OperationInterrupted(operation=cut.kind)
        replaces, primary = cut.replaces, cut.primary
    if replaces is not None and primary is not None:
        raise errors.PlaceRefused(why="a credential replaces one, or stands in for one")
    named = replaces or primary
    if named is None:
        if begin.reason:
            raise errors.Invalid(field="reason", why="it is for a credential in the place of another one")
        return Place()
    record = await op.services.store.credentials.by_credential(named)
    old = record.credential if record is not None else None
    if old is None:
        raise errors.PlaceRefused(why="it is not known")
    if begin.holder not in {"", old.holder}:
        raise errors.PlaceRefused(why="it belongs to somebody else")
    cause = _why(_reason(begin.reason, cut), old, replaced=replaces is not None)
    if replaces is not None:
        await _check_replaceable(op, old, begun=cut is not None)
    else:
        _check_stood_in_for(old)
    op.replaces, op.primary = replaces, primary
    op.begin = replace(
        begin,
        holder=old.holder,
        template=begin.template or await _template(op, old, temporary=primary is not None),
        reason=cause.value,
    )
    return Place(replaces=replaces, primary=primary, cause=cause)


def _credential_id(text: str, field: str) -> CredentialId | None:
    try:
        return CredentialId(UUID(text)) if text else None
    except ValueError as cause:
        raise errors.Invalid(field=field, why="it is not the id of a credential") from cause


def _reason(asked: str, cut: OpenOperation | None) -> str:
    """Return why, as it was said when the operation began."""
    if cut is None or not cut.reason:
        return asked
    if asked not in {"", cut.reason}:
        raise errors.Invalid(field="reason", why=f"when this was begun it was {cut.reason}")
    return cut.reason


def _why(reason: str, old: CredentialRecord, *, replaced: bool) -> Cause:
    """Return the cause for which a credential is replaced or stood in for; one that was revoked says so itself."""
    among = REPLACING if replaced else STANDING_IN
    if not reason:
        reason = (old.reason if old.state is State.REVOKED else "") if replaced else STANDING_IN[0].value
    known = {cause.value: cause for cause in among}
    if reason in known:
        return known[reason]
    hint = next((why for cause, why in HINTS.items() if cause.value == reason), None)
    if hint is not None:
        raise errors.PlaceRefused(why=hint)
    raise errors.Invalid(field="reason", why=f"one of {', '.join(known)}")


async def _check_replaceable(op: Operation, old: CredentialRecord, *, begun: bool) -> None:
    """Refuse what nobody has any more; one that was revoked because it was lost may be replaced at any time after.

    Where the replacement was `begun` already, it does not matter what became of the old one.

    Raises:
        PlaceRefused: it is not in use, is temporary, or was replaced already.
    """
    if old.ends_at is not None:
        raise errors.PlaceRefused(why="it is a temporary one; revoke it and make another one")
    if not begun and old.state not in IN_USE | {State.REVOKED}:
        raise errors.PlaceRefused(why=f"it is {old.state}")
    for card in await op.services.store.credentials.of_holder(old.holder):
        other = card.credential
        if other is not None and other.state in IN_USE and other.replaces == old.credential_id:
            raise errors.PlaceRefused(why=f"it was replaced by {other.credential_id}")


def _check_stood_in_for(old: CredentialRecord) -> None:
    if old.ends_at is not None:
        raise errors.PlaceRefused(why="it is a temporary one itself")
    if old.state not in {State.ACTIVE, State.SUSPENDED}:
        raise errors.PlaceRefused(why=f"it is {old.state}")


async def _template(op: Operation, old: CredentialRecord, *, temporary: bool) -> str:
    """Return the template that nobody named: that of the old credential, or the only one of temporary credentials.

    Raises:
        Invalid: there are several to choose from, or none.
    """
    if not temporary:
        return old.template.name
    stored = await op.services.store.templates.all_latest()
    names = [each.ref.name for each in stored if parse_template(each.text).temporary is not None]
    if len(names) != 1:
        why = f"name one of {', '.join(names)}" if names else "there is none for temporary credentials"
        raise errors.Invalid(field="template", why=why)
    return names[0]


async def check_entitled(op: Operation, template: Template, place: Place) -> Person:
    """Return the person that the card is for, who may have it.

    Raises:
        UnknownHolder, HolderDisabled, Invalid: see `_check_one_person`.
        PlaceRefused: the template is for temporary credentials, and this is none; or the other way round.
        LimitReached: the person has as many of these as may be.
    """
    if (template.temporary is None) != (place.primary is None):
        why = (
            "the template makes no temporary credentials"
            if template.temporary is None
            else "the template makes temporary credentials; say for which one"
        )
        raise errors.PlaceRefused(why=why)
    person = await op.services.directories[template.directory].get(op.holder)
    if person is None:
        raise errors.UnknownHolder(holder=op.holder)
    if not person.is_valid(op.services.clock.now()):
        raise errors.HolderDisabled(holder=op.holder)
    await _check_one_person(op, template, person)
    await check_limits(op, template, person, place, here=op.record.record_id if op.record else None)
    return person


async def _check_one_person(op: Operation, template: Template, person: Person) -> None:
    """Refuse an id under which another directory knows somebody else: who was chosen there must not get this card.

    People are searched in all directories, and chosen by their ids; a directory that does not answer chose nobody.

    Raises:
        Invalid: two people have this id.
    """
    others = [found for name, found in op.services.directories.items() if name != template.directory]
    for answer in await asyncio.gather(*(one.get(person.holder) for one in others), return_exceptions=True):
        if isinstance(answer, BaseException):
            if not isinstance(answer, errors.ConnectorError):
                raise answer
        elif answer is not None and answer.name != person.name:
            raise errors.Invalid(field="holder", why="two directories have this id, for different people")


async def check_limits(
    op: Operation, template: Template, person: Person, place: Place, here: RecordId | None
) -> None:
    """Count what the person has in use or is about to get, but `here`; what is replaced does not count.

    Raises:
        LimitReached: there are as many as the template allows, or another temporary one.
    """
    others = [
        card
        for card in await op.services.store.credentials.of_holder(person.holder)
        if card.record_id != here
        and not (card.credential is not None and card.credential.credential_id == place.replaces)
    ]
    of_template = [card for card in others if _template_of(card) == template.name]
    if template.limit is not None and len(of_template) >= template.limit:
        raise _limit(template.limit, template.name, of_template)
    temporary = [card for card in others if _is_temporary(card)]
    if template.temporary is not None and temporary:
        raise _limit(1, template.name, temporary)


def _template_of(card: CardRecord) -> str | None:
    """Return the template of a credential in use, or of one that is being made; None where there is neither."""
    if card.credential is not None and card.credential.state in IN_USE:
        return card.credential.template.name
    making = _making(card)
    return making.template.name if making is not None and making.template is not None else None


def _is_temporary(card: CardRecord) -> bool:
    if card.credential is not None and card.credential.state in IN_USE:
        return card.credential.primary is not None
    making = _making(card)
    return making is not None and making.primary is not None


def _making(card: CardRecord) -> OpenOperation | None:
    cut = card.open_operation
    return cut if cut is not None and cut.kind == OperationKind.ISSUE else None


def _limit(limit: int, template: str, cards: list[CardRecord]) -> errors.LimitReached:
    ids = [str(card.credential.credential_id if card.credential else card.record_id) for card in cards]
    return errors.LimitReached(limit=limit, template=template, credentials=", ".join(ids))


async def take_place(op: Operation, place: Place) -> dict[str, errors.Fact]:
    """Do what follows from the operation being open: a lost credential is revoked now, whatever becomes of the new one.

    Raises:
        CardLeased, StoreConflict: it could not be revoked now; that is done as soon as possible, and the issue can be gone
            on with.
    """
    if place.replaces is None:
        return {}
    followed = await Succession(op.services).follow(op.caller, op.holder)
    if followed.failure is not None:
        raise followed.failure
    return {**followed.facts, "waiting": followed.waiting}
