"""The card of a rehearsal: a virtual one, as new, or as the record says that the real one is."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final
from uuid import uuid4

from cryptography import x509

from server.authority.access import Caller
from server.operations.objects import identity_objects
from server.operations.operation import Operation
from server.operations.secrets import CardSecrets
from server.operations.services import Services
from server.operations.stage import PIN, Stage, transmit
from server.operations.talk import Talk
from server.ports.store import Opening, OperationClosed
from shared.console import CardHints
from shared.credential import plan
from shared.credential.model import FACTORY, CardRecord, OperationId, PinState, State
from shared.credential.sight import Sight, digest
from shared.iso7816.conversation import drive
from shared.piv.certificate import CertificateContainer
from shared.piv.chuid import NO_EXPIRY
from shared.piv.ids import ObjectId, Origin, ProfileName, TouchPolicyId
from shared.piv.inspect import ReferenceFacts, inspect
from shared.relay import Begin
from shared.secret import Secret
from shared.virtual.applet import KeySource
from shared.virtual.card import VirtualCard
from shared.virtual.factory import manufacture
from shared.virtual.keys import default_pin_policy
from shared.virtual.memory import ManagementKey, Memory, Reference, StoredKey
from shared.virtual.profiles import PROFILES

SERIAL: Final = 20_000_001
"""In the place of the serial number of a card that is not there: as long as real ones are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scratch:
    """An installation in memory for one rehearsal, and where its card's random bytes and keys come from."""

    services: Services
    random: Callable[[int], bytes]
    keys: KeySource


async def card_for(
    scratch: Scratch, caller: Caller, begin: Begin, hints: CardHints, record: CardRecord | None
) -> VirtualCard:
    """Return the card that these hints and this record speak of, with power; `record` becomes known in `scratch`.

    A station knows no more of a card than its hints: what is on a new card besides, a rehearsal takes to be as it left
    the factory.
    """
    memory = _with_keys(scratch, _new(scratch, hints), hints.sight or Sight())
    if record is None:
        memory = _as_seen(scratch, memory, hints)
    else:
        await _make_known(scratch, caller, record)
        memory = await _as_recorded(scratch, caller, begin, memory, record, hints)
    sight = hints.sight or Sight()
    tries = replace(memory, pin=_with_tries(memory.pin, sight.pin), puk=_with_tries(memory.puk, sight.puk))
    return _powered(scratch, tries)


def _new(scratch: Scratch, hints: CardHints) -> Memory:
    """Return a card from the factory; one that attests is made until its certificate has the greatest length."""
    profile = PROFILES[ProfileName(hints.profile)]
    while True:
        memory = manufacture(
            profile, serial=hints.serial or SERIAL, random=scratch.random, key_source=scratch.keys
        )
        container = memory.objects.get(ObjectId.ATTESTATION_CERTIFICATE)
        if container is None or _longest(container):
            return memory


def _with_keys(scratch: Scratch, memory: Memory, sight: Sight) -> Memory:
    """Return the card with a key of the same kind in every slot that it says has one."""
    for slot, seen in sight.slots.items():
        if seen.key is not None and seen.key.algorithm is not None:
            held = StoredKey(
                algorithm=seen.key.algorithm,
                private=scratch.keys(seen.key.algorithm),
                origin=Origin.GENERATED,
                pin=seen.key.pin_policy or default_pin_policy(slot),
                touch=seen.key.touch_policy or TouchPolicyId.NEVER,
            )
            memory = memory.with_key(slot, held)
    return memory


def _as_seen(scratch: Scratch, memory: Memory, hints: CardHints) -> Memory:
    """Return a card without a record: secrets that it says are not the factory's are somebody else's."""
    sight = hints.sight or Sight()
    if sight.management.default is False:
        foreign = Secret(scratch.random(memory.management.algorithm.key_length))
        memory = replace(memory, management=replace(memory.management, value=foreign))
    if sight.pin.default is False:
        memory = replace(memory, pin=memory.pin.set_to(PIN))
    if sight.puk.default is False:
        memory = replace(memory, puk=memory.puk.set_to(PIN))
    return memory


def _longest(container: bytes) -> bool:
    certificate = x509.load_der_x509_certificate(CertificateContainer.from_bytes(container).certificate)
    return len(certificate.signature) == 72  # P-256: a SEQUENCE of two INTEGERs with a zero byte before each


def _powered(scratch: Scratch, memory: Memory) -> VirtualCard:
    card = VirtualCard(memory, random=scratch.random, key_source=scratch.keys)
    card.power_on()
    return card


def _with_tries(reference: Reference, seen: ReferenceFacts) -> Reference:
    total = seen.tries_total or reference.tries
    return replace(
        reference, tries=total, left=total if seen.tries_left is None else min(seen.tries_left, total)
    )


async def _make_known(scratch: Scratch, caller: Caller, record: CardRecord) -> None:
    """Put a copy of a record into the store of the rehearsal."""
    await scratch.services.store.cards.open(
        Opening(
            operation_id=OperationId(uuid4()),
            kind="copy",
            record_id=record.record_id,
            station=caller.station_id,
            new_card=replace(record, credential=None, open_operation=None),
            changes=(OperationClosed(code="done"),),
        )
    )


async def _as_recorded(
    scratch: Scratch, caller: Caller, begin: Begin, memory: Memory, record: CardRecord, hints: CardHints
) -> Memory:
    """Return the card with the secrets that the record says it has, derived from worthless keys, and our objects."""
    card = _powered(scratch, memory)
    op = Operation(scratch.services, caller, begin, Talk(Stage(begin, card, object_max=0)))
    secrets = CardSecrets(scratch.services.keystore, record.record_id, op.journal)
    management, puk = record.management_key.proven or FACTORY, record.puk.proven or FACTORY
    if management != FACTORY:
        key = await secrets.management_key(record.management_algorithm, management)
        held = ManagementKey(algorithm=key.algorithm, value=key.value)
        memory = replace(memory, management=held)
    if puk != FACTORY:
        memory = replace(memory, puk=memory.puk.set_to(await secrets.puk(puk)))
    if record.pin is not PinState.FACTORY:
        memory = replace(memory, pin=memory.pin.set_to(PIN))
    if hints.guid == record.record_id:
        facts = drive(inspect(), partial(transmit, card))
        ours = (plan.WriteChuid(), plan.WriteCcc())
        in_stock = record.state is State.REGISTERED and record.open_operation is None
        expires = NO_EXPIRY if in_stock else scratch.services.clock.now().date()
        identity = await identity_objects(op, record.record_id, ours, facts, expires)
        memory = memory.with_object(ObjectId.CHUID, identity.chuid)
        if (hints.sight or Sight()).objects.get(ObjectId.CCC) == digest(identity.ccc):
            memory = memory.with_object(ObjectId.CCC, identity.ccc)
    return memory
