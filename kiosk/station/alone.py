"""Unblocking with a code that was read out: this station and the card, no server.

The holder is somewhere with a reader and without a line to the server. The code carries the card's PUK; its check digits
tell a misheard code, and the code of another card, before the card counts a wrong try. The server has noted that the
PUK is disclosed and rotates it as soon as it sees the card.

Source: card-rules, "Unblocking at a distance"; [SP 800-73-5] part 2, section 3.2.3 (RESET RETRY COUNTER).
"""

from typing import Final

from kiosk.ports import Readers
from kiosk.station.converse import converse
from kiosk.station.faces import Person
from shared import errors
from shared.credential.pins import PinPolicy
from shared.credential.read_out import take_read_out_code
from shared.iso7816.conversation import together
from shared.piv.inspect import CardFacts, inspect
from shared.piv.pin import reset_pin, verify_pin
from shared.piv.select import fresh
from shared.secret import Secret

SAFE_TRIES: Final = 2
"""The last try of a PUK is never spent here: blocked for good, the card would have to be emptied."""


async def unblock_alone(readers: Readers, reader: str, code: Secret, person: Person) -> None:
    """Set a new PIN on the card in `reader` through the PUK that `code` carries; `code` is wiped.

    The template's rules are not known here; the usual ones hold.

    Raises:
        Invalid: misheard, or the code of another card; nothing was sent to the card.
        UnknownCard: the card is not one of ours: it names no record.
        SecretUnresolved: too few tries are left to try the PUK.
        PukRejected: the PUK was rotated or changed since the code was read out; ask for a new one.
        Cancelled: no PIN was given; nothing was changed.
        CardLost, CardChanged: the card left, or is another one.
    """
    try:
        facts = await _read(readers, reader)
        puk = _puk(facts, code)
    finally:
        code.wipe()
    try:
        await _set(readers, reader, facts, puk, person)
    finally:
        puk.wipe()


async def _read(readers: Readers, reader: str) -> CardFacts:
    async with readers.session(reader) as session:
        return await converse(inspect(), session)


def _puk(facts: CardFacts, code: Secret) -> Secret:
    if facts.chuid is None:
        raise errors.UnknownCard
    if facts.puk.tries_left is not None and facts.puk.tries_left < SAFE_TRIES:
        raise errors.SecretUnresolved(secret="puk")  # noqa: S106  # a name, not a secret
    text = code.reveal().decode("utf-8", "replace")
    return take_read_out_code(text, serial=facts.serial, guid=facts.chuid.guid)


async def _set(readers: Readers, reader: str, facts: CardFacts, puk: Secret, person: Person) -> None:
    problem: errors.PinNotAccepted | None = None
    while True:
        new = await person.new_pin(PinPolicy(), problem)
        if new is None:
            raise errors.Cancelled(question="new-pin")
        value = new.reveal()
        new.wipe()
        change = together(reset_pin(puk.reveal(), value), fresh(verify_pin(value), chuid=facts.chuid_raw))
        try:
            async with readers.session(reader) as session:
                await converse(fresh(change, chuid=facts.chuid_raw), session)
        except errors.PinNotAccepted as refused:
            problem = refused
        else:
            return
