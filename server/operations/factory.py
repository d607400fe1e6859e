"""Bring a card's own secrets back to the factory's: PIN, PUK, then the management key, which is needed until then.

Where nobody knows the PUK any more, a card that has RESET is reset: it takes that only while PIN and PUK are both blocked,
so their tries are burned first. That is stored before, and goes on after a cut.

Source: card-rules, "Deleting keys" and "Two candidates, not more"; Yubico's PIV extensions (SET PIN RETRIES, RESET).
"""

from collections.abc import Callable
from typing import Any, Final

from server.operations.empty import BEHIND_PIN
from server.operations.operation import Operation
from server.operations.puk import settle_puk, use_puk
from server.ports.store import AuditKind, PinChanged, SecretChanged
from shared import errors
from shared.credential.model import (
    FACTORY,
    CardRecord,
    PinState,
    SecretKind,
    SecretRecord,
    SecretVersion,
)
from shared.iso7816.conversation import Conversation, together
from shared.piv.data import object_name, still_there
from shared.piv.ids import FACTORY_PIN, FACTORY_PUK
from shared.piv.inspect import CardFacts
from shared.piv.management import authenticated_singly, factory_key, set_management_key
from shared.piv.pin import change_puk, reset_pin, set_pin_retries, verify_pin
from shared.piv.profiles import Profile
from shared.piv.vendor import puk_metadata, reset

TRIES_MAX: Final = 255
"""The most tries that a PIN or PUK can have."""


async def give_factory_secrets(
    op: Operation, record: CardRecord, facts: CardFacts, version: SecretVersion
) -> bytes | None:
    """Give the card the factory's PIN, PUK and management key; return its CHUID then, None where RESET took it.

    The card must have proven its management key, `version`, in this power session.

    Raises:
        SecretUnresolved: nobody knows the PUK, and the card has no RESET.
    """
    try:
        puk = await settle_puk(op, record, facts)
        await _store_intent(
            op, version, SecretRecord(proven=puk, pending=None if puk == FACTORY else FACTORY)
        )
        present = await op.secrets(record.record_id).puk(puk)
        change = together(
            _factory_pin_and_puk(present, facts.profile), _factory_management_key(facts.profile)
        )
        await use_puk(op, change, FACTORY, release=False)
    except (errors.SecretUnresolved, errors.PukBlocked) as problem:
        if not facts.profile.features.reset:
            raise errors.SecretUnresolved(secret="puk") from problem  # noqa: S106  # a name, not a secret
        return await _reset(op, record, facts, version)
    return facts.chuid_raw


def proven_factory(profile: Profile) -> Conversation[None]:
    """Open the card with the factory's management key, and check that PIN and PUK are the factory's too.

    With the PIN shows what only the holder may read.

    Raises:
        ManagementKeyRejected, PinRejected, PinBlocked, PukRejected, PukBlocked: somebody has changed it meanwhile.
        ReadBackFailed: something is still there.
    """
    checks = together(
        _factory_puk(profile),
        verify_pin(FACTORY_PIN),
        *(still_there(object_id) for object_id in BEHIND_PIN),
    )
    _, _, *left = yield from authenticated_singly(factory_key(profile.factory_management), checks)
    for object_id, there in zip(BEHIND_PIN, left, strict=True):
        if there:
            raise errors.ReadBackFailed(what=object_name(object_id))


def _factory_puk(profile: Profile) -> Conversation[None]:
    """Check that the PUK is the factory's: by what the card says of it, else by using it."""
    if not profile.features.metadata:
        yield from change_puk(FACTORY_PUK, FACTORY_PUK)
    elif not (yield from puk_metadata()).default:
        raise errors.ReadBackFailed(what="puk")


async def _store_intent(op: Operation, version: SecretVersion, puk: SecretRecord) -> None:
    """Store that PIN, PUK and management key are about to be the factory's."""
    op.journal.note(
        SecretChanged(kind=SecretKind.PUK, value=puk),
        SecretChanged(kind=SecretKind.MANAGEMENT_KEY, value=SecretRecord(proven=version, pending=FACTORY)),
        PinChanged(pin=PinState.UNKNOWN),
    )
    await op.journal.commit()


def _factory_pin_and_puk(puk: bytes, profile: Profile) -> Conversation[Any]:
    """Set PIN and PUK, with as many tries as a new card has where the card lets them be set."""
    if profile.features.set_retries:
        counters = set_pin_retries(*profile.factory_tries)
        return together(reset_pin(puk, FACTORY_PIN), verify_pin(FACTORY_PIN), counters)
    return together(reset_pin(puk, FACTORY_PIN), change_puk(puk, FACTORY_PUK))


def _factory_management_key(profile: Profile) -> Conversation[None]:
    return set_management_key(factory_key(profile.factory_management))


# --- where nobody knows the PUK -------------------------------------------------------------------------


async def _reset(op: Operation, record: CardRecord, facts: CardFacts, version: SecretVersion) -> bytes | None:
    """Burn the tries of PUK and PIN, then reset; a PUK or PIN that turns out to be the factory's needs no reset."""
    op.journal.evidence(AuditKind.OPERATION, "reset", record.record_id, serial=facts.serial or 0)
    await _store_intent(op, version, SecretRecord(proven=None, pending=FACTORY))
    profile = facts.profile
    if not await _burnt(op, lambda: change_puk(FACTORY_PUK, FACTORY_PUK)):
        healed = _factory_pin_and_puk(FACTORY_PUK, profile)
    elif not await _burnt(op, lambda: verify_pin(FACTORY_PIN)):
        healed = set_pin_retries(*profile.factory_tries)
    else:
        await op.talk.converse(reset())
        return None
    await op.talk.converse(together(healed, _factory_management_key(profile)))
    return facts.chuid_raw


async def _burnt(op: Operation, attempt: Callable[[], Conversation[None]]) -> bool:
    """Try the factory's value until it is blocked; False where it is the right one."""
    for _ in range(TRIES_MAX + 1):
        try:
            await op.talk.converse(attempt())
        except (errors.PinRejected, errors.PukRejected):
            continue
        except (errors.PinBlocked, errors.PukBlocked):
            return True
        return False
    raise errors.SecretUnresolved(secret="puk")  # noqa: S106  # a name, not a secret
