"""Own a card: what issuing and registering have in common, from the factory's keys to ours.

The record is made and says what is about to be done before the card is touched; a card that does not open with the
factory's key never was ours, and nothing is written to it. Cut anywhere, it is planned again at the next insertion.

Source: card-rules, "Own a card".
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from server.operations.build import Material, build
from server.operations.judge import key_record
from server.operations.objects import IdentityObjects
from server.operations.operation import Operation
from server.ports.store import (
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
from shared.piv.ids import ManagementAlgorithm, Slot
from shared.piv.inspect import CardFacts


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


def check_factory_pin(facts: CardFacts, record: CardRecord | None) -> None:
    """Refuse to set retry counters, which takes the factory's PIN, where that is known not to be in force.

    Raises:
        SecretUnresolved: somebody else set the PIN.
    """
    if facts.pin.default is False or (record is not None and record.pin is not PinState.FACTORY):
        raise errors.SecretUnresolved(secret="pin")  # noqa: S106  # a name, not a secret


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
    op.journal.note(
        SecretChanged(kind=SecretKind.MANAGEMENT_KEY, value=SecretRecord(proven=wanted)),
        *(
            KeyChanged(key=key_record(step.spec, KeyState.UNPROVEN, made[step.spec.slot]))
            for step in _generates(job.steps)
        ),
    )
    return made


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
