"""The PUK: two candidates, never a guess.

No card has a neutral way to probe its PUK; a change that was cut is settled by making the change again, first
from the old value and, where that is refused, from the new one. Never on the last try.

Source: card-rules, "Two candidates, not more"; [SP 800-73-5] part 2, section 3.2.2 (key reference 81).
"""

from typing import Final

from server.operations.operation import Operation
from server.ports.store import SecretChanged
from shared import errors
from shared.credential.model import FACTORY, CardRecord, SecretKind, SecretRecord, SecretVersion
from shared.piv.inspect import CardFacts
from shared.piv.pin import change_puk

TRIES_NEEDED: Final = 2


async def settle_puk(op: Operation, record: CardRecord, facts: CardFacts) -> SecretVersion:
    """Return the PUK version that is on the card, and settle a change that was cut.

    The card must have proven its management key in this power session.

    Raises:
        SecretUnresolved: too few tries are left to find out, or neither value fits.
        PukBlocked: no tries are left.
    """
    proven, pending = record.puk.proven, record.puk.pending
    if proven is None:
        raise errors.SecretUnresolved(secret="puk")  # noqa: S106  # a name, not a secret
    if pending is None:
        return proven
    if facts.puk.default is not None and FACTORY in {proven, pending}:
        other = pending if proven == FACTORY else proven
        return FACTORY if facts.puk.default else other
    if facts.puk.tries_left is not None and facts.puk.tries_left < TRIES_NEEDED:
        raise errors.SecretUnresolved(secret="puk")  # noqa: S106  # a name, not a secret
    secrets = op.secrets(record.record_id)
    old, new = await secrets.puk(proven), await secrets.puk(pending)
    op.journal.note(SecretChanged(kind=SecretKind.PUK, value=record.puk))
    await op.journal.commit()
    try:
        await op.talk.converse(change_puk(old, new))
    except errors.PukRejected as refused:
        if int(refused.facts.get("tries_left", 0)) < TRIES_NEEDED:
            raise errors.SecretUnresolved(secret="puk") from refused  # noqa: S106  # a name, not a secret
        try:
            await op.talk.converse(change_puk(new, new))
        except errors.PukRejected as neither:
            raise errors.SecretUnresolved(secret="puk") from neither  # noqa: S106  # a name, not a secret
    op.journal.note(SecretChanged(kind=SecretKind.PUK, value=SecretRecord(proven=pending)))
    return pending
