"""The PUK: two candidates, never a guess.

No card has a neutral way to probe its PUK; a change that was cut is settled by making the change again, first
from the old value and, where that is refused, from the new one. Never on the last try.

A card that does not tell its tries could be asked for the same wrong value at every insertion that is cut again. So
the record names the candidates in the order in which they are to be tried, and before each try they change places:
whatever becomes of the answer, the next contact begins with the other one.

Source: card-rules, "Two candidates, not more"; [SP 800-73-5] part 2, section 3.2.2 (key reference 81).
"""

from typing import Final, TypeVar

from server.operations.operation import Operation
from server.ports.store import SecretChanged
from shared import errors
from shared.credential.model import FACTORY, CardRecord, SecretKind, SecretRecord, SecretVersion
from shared.iso7816.conversation import Conversation
from shared.piv.inspect import CardFacts
from shared.piv.pin import change_puk

T = TypeVar("T")

TRIES_NEEDED: Final = 2


def check_factory_puk(facts: CardFacts) -> None:
    """Refuse a new card that says that its PUK is not the factory's: trying it would only cost tries.

    Raises:
        SecretUnresolved: somebody else set the PUK.
    """
    if facts.puk.default is False:
        raise _unresolved()


def next_puk(op: Operation, record: CardRecord) -> SecretVersion:
    """Return a version that no station has carried yet: higher than both candidates."""
    counts = [version.count for version in (record.puk.proven, record.puk.pending) if version is not None]
    return SecretVersion(op.services.keystore.generation, max(counts, default=0) + 1)


async def settle_puk(op: Operation, record: CardRecord, facts: CardFacts) -> SecretVersion:
    """Return the PUK version that is on the card, and settle a change that was cut.

    The card must have proven its management key in this power session.

    Raises:
        SecretUnresolved: too few tries are left to find out, or neither value fits.
        PukBlocked: no tries are left.
    """
    first, second = record.puk.proven, record.puk.pending
    if first is None:
        raise _unresolved()
    if second is None:
        return first
    if facts.puk.default is not None and FACTORY in {first, second}:
        other = second if first == FACTORY else first
        return FACTORY if facts.puk.default else other
    if facts.puk.tries_left is not None and facts.puk.tries_left < TRIES_NEEDED:
        raise _unresolved()
    new = max(first, second)
    op.journal.note(SecretChanged(kind=SecretKind.PUK, value=SecretRecord(proven=second, pending=first)))
    await op.journal.commit()
    try:
        await _try(op, record, first, new)
    except errors.PukRejected as refused:
        if int(refused.facts.get("tries_left", 0)) < TRIES_NEEDED:
            _give_up(op, new)
            raise _unresolved() from refused
        try:
            await _try(op, record, second, new)
        except errors.PukRejected as neither:
            _give_up(op, new)
            raise _unresolved() from neither
    op.journal.note(SecretChanged(kind=SecretKind.PUK, value=SecretRecord(proven=new)))
    return new


async def use_puk(
    op: Operation, conversation: Conversation[T], pending: SecretVersion, *, release: bool = True
) -> T:
    """Hold a conversation that uses the PUK, after which the card is let go; a rejected PUK is never tried again.

    Without `release` the conversation may have more than one batch.

    Raises:
        SecretUnresolved: somebody else has changed the PUK.
    """
    try:
        return await op.talk.converse(conversation, release=release)
    except errors.PukRejected as refused:
        _give_up(op, pending)
        raise _unresolved() from refused


async def _try(op: Operation, record: CardRecord, present: SecretVersion, new: SecretVersion) -> None:
    secrets = op.secrets(record.record_id)
    await op.talk.converse(change_puk(await secrets.puk(present), await secrets.puk(new)))


def _give_up(op: Operation, last: SecretVersion) -> None:
    """Note that no value is known; `last` stays, so that its count is not used again."""
    op.journal.note(SecretChanged(kind=SecretKind.PUK, value=SecretRecord(proven=None, pending=last)))


def _unresolved() -> errors.SecretUnresolved:
    return errors.SecretUnresolved(secret="puk")  # noqa: S106  # a name, not a secret
