"""From what somebody wants to have approved to what exactly would be done."""

from collections.abc import Sequence
from uuid import UUID

from server.authority.acting import all_roles
from server.authority.operator_cards import operator_of
from server.authority.policy import roles_of
from server.operations.approval import Doing, doing_with
from server.operations.services import Services
from shared import errors
from shared.approvals import ApprovalWish
from shared.credential.approval import ADMINISTRATIVE, Way
from shared.credential.model import CardRecord, CredentialId, HolderId, RecordId
from shared.credential.template import Template
from shared.credential.template_reading import parse_template


async def doing_of(services: Services, wish: ApprovalWish) -> Doing:
    """Return what somebody wants to do, with everything that the record and the directories say of it.

    Raises:
        Invalid: an administrative act, or something that it needs is not named.
        UnknownCard, UnknownHolder, UnknownTemplate, HolderDisabled, PlaceRefused: what is named does not exist, or must
            not be.
    """
    if wish.way in ADMINISTRATIVE:
        raise errors.Invalid(field="operation", why="an administrative act is asked for where it is done")
    if wish.way is Way.ISSUE:
        return await _issuing(services, wish)
    if not wish.card:
        raise errors.Invalid(field="card", why="say which card or credential")
    record = await named_card(services, wish.card)
    latest = None
    if wish.way in {Way.REISSUE, Way.UPDATE} and record.credential is not None:
        stored = await services.store.templates.latest(record.credential.template.name)
        latest = stored.ref if stored is not None else None
    return await doing_with(services, wish.way, record, latest)


async def _issuing(services: Services, wish: ApprovalWish) -> Doing:
    replaces, primary = _credential(wish.replaces, "replaces"), _credential(wish.primary, "primary")
    old = None
    if named := replaces or primary:
        found = await services.store.credentials.by_credential(named)
        old = found.credential if found is not None else None
        if old is None:
            raise errors.UnknownCard
    holder = HolderId(wish.holder or (old.holder if old is not None else ""))
    name = wish.template or (old.template.name if old is not None and replaces else "")
    if not holder or not name:
        raise errors.Invalid(field="template" if holder else "holder", why="say for whom, and by which")
    if old is not None and old.holder != holder:
        raise errors.PlaceRefused(why="it belongs to somebody else")
    stored = await services.store.templates.latest(name)
    if stored is None:
        raise errors.UnknownTemplate(template=name)
    template = parse_template(stored.text)
    directory = services.directories.get(template.directory)
    person = await directory.get(holder) if directory is not None else None
    if person is None:
        raise errors.UnknownHolder(holder=holder)
    if not person.is_valid(services.clock.now()):
        raise errors.HolderDisabled(holder=holder)
    return Doing(
        way=Way.ISSUE,
        ref=stored.ref,
        template=template,
        holder=holder,
        holder_name=person.name,
        record=await named_card(services, wish.card) if wish.card else None,
        roles=await _roles(services, template, holder, wish.roles),
        replaces=replaces,
        primary=primary,
    )


async def _roles(
    services: Services, template: Template, holder: HolderId, asked: Sequence[str]
) -> tuple[str, ...]:
    """Return the roles that a new credential will carry, as an issue settles them."""
    if not template.operator:
        if asked:
            raise errors.Invalid(field="role", why="only a credential of an operator carries roles")
        return ()
    known = await all_roles(services.store.roles)
    operator = await operator_of(services.store.operators, holder)
    if operator is not None:
        return tuple(sorted(role.name for role in roles_of(operator, known)))
    unknown = [name for name in asked if name not in known]
    if unknown or not asked:
        why = f"no role {unknown[0]}" if unknown else "an operator's credential carries one at least"
        raise errors.Invalid(field="role", why=why)
    return tuple(sorted(set(asked)))


async def named_card(services: Services, text: str) -> CardRecord:
    """Return a card by its record, or by its credential; `Invalid` where it is neither, `UnknownCard` where there is none."""
    try:
        named = UUID(text)
    except ValueError as cause:
        raise errors.Invalid(field="card", why="not the id of a card or credential") from cause
    found = await services.store.credentials.by_credential(CredentialId(named))
    found = found or await services.store.cards.card(RecordId(named))
    if found is None:
        raise errors.UnknownCard
    return found


def _credential(text: str, field: str) -> CredentialId | None:
    try:
        return CredentialId(UUID(text)) if text else None
    except ValueError as cause:
        raise errors.Invalid(field=field, why="not the id of a credential") from cause
