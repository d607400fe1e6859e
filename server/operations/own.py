"""Own a card: what issuing and registering have in common, from the factory's keys to ours.

The record is made and says what is about to be done before the card is touched; a card that does not open with the
factory's key never was ours, and nothing is written to it. Cut anywhere, it is planned again at the next insertion.

Source: card-rules, "Own a card".
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import uuid4

from server.operations.build import Material, build
from server.operations.identify import Identified
from server.operations.judge import key_record
from server.operations.objects import IdentityObjects
from server.operations.operation import Operation
from server.operations.puk import check_factory_puk, next_puk, use_puk
from server.ports.store import (
    AuditKind,
    KeyChanged,
    ManagementAlgorithmChanged,
    PinChanged,
    SecretChanged,
    SecretsCarried,
    StateChanged,
)
from shared import errors
from shared.credential import plan
from shared.credential.model import (
    FACTORY,
    CardRecord,
    KeyState,
    PinState,
    RecordId,
    SecretKind,
    SecretRecord,
    SecretVersion,
    State,
    TemplateRef,
)
from shared.iso7816.apdu import Hole
from shared.iso7816.conversation import together
from shared.piv.ids import ManagementAlgorithm, Slot
from shared.piv.inspect import CardFacts
from shared.piv.pin import reset_pin, set_pin_retries, verify_pin

TRANSPORT: Final = Hole(name="transport")


@dataclass(frozen=True, slots=True, kw_only=True)
class Owning:
    """What is settled before the card is touched. `record` is the one from before; `new` says that it was made now."""

    facts: CardFacts
    record: CardRecord
    identity: IdentityObjects
    steps: Sequence[plan.Step]
    new: bool


def new_record(op: Operation, facts: CardFacts, algorithm: ManagementAlgorithm) -> CardRecord:
    """Return the record of a card from the factory, whose management key will be of this algorithm."""
    return CardRecord(
        record_id=RecordId(uuid4()),
        state=State.REGISTERED,
        profile=facts.profile.name.value,
        serial=facts.serial,
        virtual=op.begin.virtual,
        management_algorithm=algorithm,
        management_key=SecretRecord(proven=FACTORY),
        puk=SecretRecord(proven=FACTORY),
        pin=PinState.FACTORY,
    )


def check_blank(facts: CardFacts, record: CardRecord | None) -> None:
    """Refuse a new card that says that its management key, or its PUK, is not the factory's.

    Raises:
        ManagementKeyRejected: it belongs to somebody else.
        SecretUnresolved: somebody else set the PUK.
    """
    if record is None and facts.management.default is False:
        raise errors.ManagementKeyRejected
    if record is None or record.puk == SecretRecord(proven=FACTORY):
        check_factory_puk(facts)


def check_factory_pin(facts: CardFacts, record: CardRecord | None, steps: Sequence[plan.Step]) -> None:
    """Refuse to set retry counters, which takes the factory's PIN, where that is known not to be in force.

    Raises:
        SecretUnresolved: somebody else set the PIN.
    """
    if not any(isinstance(step, plan.SetRetries) for step in steps):
        return
    if facts.pin.default is False or (record is not None and record.pin is not PinState.FACTORY):
        raise errors.SecretUnresolved(secret="pin")  # noqa: S106  # a name, not a secret


def note_impostor(op: Operation, facts: CardFacts, found: Identified) -> None:
    """Keep evidence of a known card that shows up in factory state."""
    if found.impostor is not None:
        op.journal.evidence(
            AuditKind.REFUSED,
            "known card in factory state",
            found.impostor.record_id,
            serial=facts.serial or 0,
        )


async def take(op: Operation, job: Owning, template: TemplateRef | None) -> CardRecord:
    """Take the lease and store what is about to be done to the management key and the slots; show the plan.

    Raises:
        OperationInterrupted, CardLeased: as `Operation.open`.
    """
    record = job.record
    own = next((step for step in job.steps if isinstance(step, plan.Own)), None)
    if own is not None:
        secret = SecretRecord(
            proven=record.management_key.proven,
            pending=record.management_key.pending or SecretVersion(own.generation),
        )
        op.journal.note(
            SecretChanged(kind=SecretKind.MANAGEMENT_KEY, value=secret),
            ManagementAlgorithmChanged(algorithm=own.algorithm),
        )
        record = replace(record, management_key=secret, management_algorithm=own.algorithm)
    op.journal.note(
        *(KeyChanged(key=key_record(step.spec, KeyState.INTENDED)) for step in _generates(job.steps))
    )
    op.journal.note(SecretsCarried(station=op.caller.station_id))
    await op.open(record.record_id, new_card=job.record if job.new else None, template=template)
    await op.show(job.steps)
    return record


async def build_card(op: Operation, job: Owning, record: CardRecord) -> dict[Slot, bytes]:
    """Own the card and make the keys that the plan makes; return their public keys (DER).

    `record` is what `take` returned. When it ends well, the card has proven its management key in this power session.

    Raises:
        ManagementKeyRejected: the card belongs to somebody else; nothing was written to it.
        PinRejected: the factory's PIN, which setting the retry counters takes, is not in force.
    """
    secrets = op.secrets(record.record_id)
    current, algorithm = await _current_key(op, job, record)
    wanted = record.management_key.pending or record.management_key.proven
    assert wanted is not None
    material = Material(
        current_key=await secrets.management_key(algorithm, current),
        current_is_factory=current == FACTORY,
        new_key=None
        if current == wanted
        else await secrets.management_key(record.management_algorithm, wanted),
        chuid=job.identity.chuid,
        ccc=job.identity.ccc,
    )
    try:
        made = await op.talk.converse(build(job.steps, material, op))
    except errors.ManagementKeyRejected:
        _disown(op, job)
        raise
    except errors.PinRejected:
        # the factory's PIN, which setting the retry counters takes: tried once, never again
        op.journal.note(PinChanged(pin=PinState.UNKNOWN))
        raise
    if wanted != FACTORY:
        op.journal.proved()
    op.journal.note(
        SecretChanged(kind=SecretKind.MANAGEMENT_KEY, value=SecretRecord(proven=wanted)),
        *(
            KeyChanged(key=key_record(step.spec, KeyState.UNPROVEN, made[step.spec.slot]))
            for step in _generates(job.steps)
        ),
    )
    return made


async def change_retries(op: Operation, job: Owning, record: CardRecord, puk: SecretVersion) -> SecretVersion:
    """Set other retry counters where the plan says so; return the PUK that is on the card then.

    The command takes the PIN and puts factory PIN and PUK in force, so the PIN is first replaced by one that nobody
    knows, and the next step replaces both. The card must have proven its management key in this power session.

    Raises:
        SecretUnresolved: somebody else has changed the PUK.
    """
    step = next((step for step in job.steps if isinstance(step, plan.ChangeRetries)), None)
    if step is None:
        return puk
    if (
        puk != FACTORY
    ):  # else the record has it as a candidate, beside the one whose count is not to be forgotten
        value = SecretRecord(proven=puk, pending=FACTORY)
        op.journal.note(SecretChanged(kind=SecretKind.PUK, value=value))
    op.journal.note(PinChanged(pin=PinState.UNKNOWN))
    await op.journal.commit()
    await op.talk.draw(TRANSPORT.name, 2)
    present = await op.secrets(record.record_id).puk(puk)
    change = together(
        reset_pin(present, TRANSPORT),
        verify_pin(TRANSPORT),
        set_pin_retries(step.pin_tries, step.puk_tries),
    )
    await use_puk(op, change, next_puk(op, record), release=False)
    return FACTORY


async def _current_key(
    op: Operation, job: Owning, record: CardRecord
) -> tuple[SecretVersion, ManagementAlgorithm]:
    """Return which management key is on the card now, and its algorithm."""
    factory = job.facts.management.algorithm or job.facts.profile.factory_management
    secret = job.record.management_key
    if secret.pending is not None:
        found = await op.resolve_management_key(job.record, job.facts)
    else:
        assert secret.proven is not None
        found = secret.proven
    return found, factory if found == FACTORY else record.management_algorithm


def _disown(op: Operation, job: Owning) -> None:
    """A new card does not open with the factory's key: nothing was written to it, and it never was ours."""
    if job.new:
        op.untouched = True
        op.journal.note(StateChanged(state=State.UNREGISTERED))


def _generates(steps: Sequence[plan.Step]) -> list[plan.Generate]:
    return [step for step in steps if isinstance(step, plan.Generate)]
