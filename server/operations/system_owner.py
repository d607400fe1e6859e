"""The System Owner's card: whose turn it is to make it, and the unblock code that the server does not know.

Everybody else's PUK is derived here. This one is drawn by the station, shown once, and set in the same batch as the first PIN;
it crosses nothing but the cable to the reader. So nobody but its owner unblocks the card, whatever the server, its keys or its
administrators are worth. The record says `OWNERS` in its place.

A card that is cut in between has either value. The code was kept by then, because it is asked for before anything is written;
so it is asked for again, and set again: from the derived value where that is still in force, else it is there already.

Source: design, section 6 (the one exception to rules 1 and 3); [SP 800-73-5] part 2, sections 3.2.2 and 3.2.3.
"""

from collections.abc import Iterable
from typing import Final

from server.authority.first_start import owner_made
from server.authority.operator_cards import known_to_owner as known_to_owner  # noqa: PLC0414  # set_pin asks, too
from server.operations.operation import Operation
from server.operations.puk import TRIES_NEEDED, settle_puk
from server.ports.store import PinChanged, SecretChanged
from shared import errors
from shared.credential.model import (
    OWNERS,
    CardRecord,
    Person,
    PinState,
    SecretKind,
    SecretRecord,
    SecretVersion,
)
from shared.credential.template import Template
from shared.first_start import SYSTEM_OWNER
from shared.iso7816.apdu import Hole
from shared.iso7816.conversation import together
from shared.piv.inspect import CardFacts
from shared.piv.pin import change_puk, reset_pin, verify_pin
from shared.piv.select import fresh
from shared.relay import Purpose, Question
from shared.roles import SYSTEM_ADMINISTRATOR

CODE: Final = Hole(name="unblock-code")

OUTSIDE: Final = "the System Owner's card, outside of a first start"


async def check_turn(op: Operation, template: Template, person: Person | None = None) -> None:
    """Refuse the System Owner's card outside of a first start, and anybody else's before it in one.

    Raises:
        NotAllowed: nobody makes the first start.
        Invalid: the cards are made in another order, the template is for the System Owner and this is somebody else, or the
            other way round.
    """
    principal = op.caller.principal
    starting = principal is not None and principal.first_start
    holder = person.holder if person is not None else _holder(op)
    if template.system_owner != (holder == SYSTEM_OWNER):
        raise errors.Invalid(field="template", why="the System Owner has a template of its own")
    if template.system_owner and not starting:
        raise errors.NotAllowed(what=OUTSIDE)
    if not starting:
        return
    if op.begin.replaces or op.begin.primary:
        raise errors.NotAllowed(what="a card in the place of another one, in a first start")
    kept = await op.services.store.passcode.get()
    if kept is None:
        raise errors.SessionEnded
    made = await owner_made(op.services.store, since=kept.made_at)
    if made and template.system_owner:
        raise errors.Invalid(field="template", why="there is a System Owner already")
    if not made and not template.system_owner:
        raise errors.Invalid(field="template", why="the System Owner's card comes first")


def owners_roles(template: Template) -> tuple[str, ...]:
    """Return what the System Owner's card carries, whatever was asked for; nothing for any other."""
    return (SYSTEM_ADMINISTRATOR,) if template.system_owner else ()


async def ask_code(op: Operation, record: CardRecord, purpose: Purpose) -> None:
    """Have the station draw the code and show it, or have it typed where the card has it, or may have it.

    Raises:
        Cancelled: it was not kept, or not typed; nothing was changed.
    """
    question = Question.PRESENT_CODE if known_to_owner(record) else Question.NEW_CODE
    uses = 1 if question is Question.NEW_CODE or record.puk.pending is None else 2
    await op.talk.ask_pin(question, purpose, hole=CODE.name, uses=uses)


async def set_owners_pin(op: Operation, record: CardRecord, facts: CardFacts, new_pin: Hole) -> None:
    """Set the PIN, and the code where it is not on the card yet. The card must have proven its management key.

    What comes of it is noted for the next commit.

    Raises:
        PukRejected: the code that was typed is wrong.
        PukBlocked: it was typed wrongly too often: nothing unblocks this card any more.
        SecretUnresolved: somebody else has changed the PUK.
    """
    verify = fresh(verify_pin(new_pin), chuid=facts.chuid_raw)
    op.journal.note(PinChanged(pin=PinState.UNKNOWN))
    if known_to_owner(record):
        await op.journal.commit()
        if record.puk.pending is not None:
            await _set_again(op, record, facts)
        await op.talk.converse(together(reset_pin(CODE, new_pin), verify), release=True)
    else:
        puk = await settle_puk(op, record, facts)
        op.journal.note(SecretChanged(kind=SecretKind.PUK, value=SecretRecord(proven=puk, pending=OWNERS)))
        await op.journal.commit()
        old = await op.secrets(record.record_id).puk(puk)
        try:
            await op.talk.converse(
                together(reset_pin(old, new_pin), change_puk(old, CODE), verify), release=True
            )
        except errors.PukRejected as refused:
            raise errors.SecretUnresolved(secret="puk") from refused  # noqa: S106  # a name, not a secret
    op.journal.note(SecretChanged(kind=SecretKind.PUK, value=SecretRecord(proven=OWNERS)))


async def _set_again(op: Operation, record: CardRecord, facts: CardFacts) -> None:
    """Set the code from the derived value, where the cut came before it was set; else it is there already."""
    before = _derived((record.puk.proven, record.puk.pending))
    if before is None or (facts.puk.tries_left is not None and facts.puk.tries_left < TRIES_NEEDED):
        return
    old = await op.secrets(record.record_id).puk(before)
    try:
        await op.talk.converse(change_puk(old, CODE))
    except errors.PukRejected as refused:
        if int(refused.facts.get("tries_left", 0)) < 1:
            raise


def _derived(versions: Iterable[SecretVersion | None]) -> SecretVersion | None:
    return next((each for each in versions if each is not None and each != OWNERS), None)


def _holder(op: Operation) -> str:
    credential = op.record.credential if op.record else None
    return credential.holder if credential is not None else op.holder
