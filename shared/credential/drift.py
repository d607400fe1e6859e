"""Drift: where a card is not what the record says, and the way to mend it.

Pure. It compares the record with what was seen of the card (`sight`), at every insertion. What is seen is a claim and
not proof: drift is shown, and changes nothing by itself. What it cannot see are the values of secrets (a management key
or PUK that somebody else set looks like ours until an operation has the card prove it) and keys on cards that do not
tell of them; those an operation proves when it reads the card back.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from shared.credential.drift_kinds import CALL, CONTINUE, Drift, Kind
from shared.credential.expiry import due_for_renewal, ends_at
from shared.credential.lifecycle import CONTINUED, OperationKind
from shared.credential.model import (
    FACTORY,
    CardRecord,
    CertificateRecord,
    CertificateState,
    KeyState,
    PinState,
    State,
)
from shared.credential.sight import Sight, SlotSight, digest
from shared.credential.template import Template
from shared.piv.data import object_name
from shared.piv.ids import ObjectId, Slot
from shared.relay import StepLine

SHOWN_DIGITS: Final = 16
"""Of a digest, for eyes."""

UNREADABLE: Final = "unreadable"
"""What is found where something is, and is not what belongs there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """What there is to compare with beside the card's own record.

    `due` are the steps of the update that the card needs now, `ways` the operations that may start: mending is one of
    them. `template` is the version that the credential was issued by, `reissue` says that a newer one wants more.
    """

    now: datetime
    due: Sequence[StepLine] = ()
    ways: Collection[OperationKind] = field(default_factory=tuple)
    template: Template | None = None
    reissue: bool = False


PERSONALISED: Final = frozenset({State.ISSUED, State.ACTIVE, State.SUSPENDED, State.REVOKED})
"""States in which the credential's keys, certificates and objects are on the card."""

NAMED: Final = PERSONALISED | {State.REGISTERED, State.RETIRED}
"""States in which the card is ours, and its CHUID says which one it is."""

IN_USE: Final = frozenset({State.ISSUED, State.ACTIVE})

RECORDED: Final = frozenset({CertificateState.CONFIRMED, CertificateState.HELD})
"""States of a certificate that lies on its card."""

_DUE: Final = {
    "rekey": Kind.MANAGEMENT_KEY_OLDER,
    "puk": Kind.PUK_OLDER,
    "template": Kind.TEMPLATE_OLDER,
}
"""What a step of an update says of the card."""

_PROOF: Final = "read-back"
"""The step that ends every update; it mends nothing."""


def drift(record: CardRecord, *, guid: UUID | None, sight: Sight, against: Against) -> tuple[Drift, ...]:
    """Compare a card with its record; `guid` is that of its CHUID.

    A card that was reset, and one whose operation was cut, have just this one difference: all others follow from it.
    """
    if record.state is State.DELETED:
        return ()
    if sight.management.default and not may_be_factory(record):
        mend = OperationKind.ISSUE if OperationKind.ISSUE in against.ways else CALL
        return (Drift(key=Kind.CARD_RESET, mend=mend),)
    cut = record.open_operation
    if cut is not None and cut.kind in CONTINUED:
        day = cut.began_at.date().isoformat()
        return (Drift(key=Kind.OPERATION_CUT, subject=cut.kind, found=day, mend=CONTINUE),)
    return tuple(_Comparison(record, guid, sight, against).all())


def may_be_factory(record: CardRecord) -> bool:
    """Whether the record allows the card to still have its factory management key."""
    return FACTORY in {record.management_key.proven, record.management_key.pending}


def shown(digested: bytes) -> str:
    """Return the beginning of a digest, for people to compare."""
    return digested.hex()[:SHOWN_DIGITS]


class _Comparison:
    """One record beside one sight. Each method yields the differences of one subject."""

    def __init__(self, record: CardRecord, guid: UUID | None, sight: Sight, against: Against) -> None:
        self._record = record
        self._guid = guid
        self._sight = sight
        self._against = against
        self._foreign_key = (
            sight.management.algorithm is not None
            and record.management_key.proven != FACTORY
            and sight.management.algorithm is not record.management_algorithm
        )
        self._foreign_puk = record.puk.proven != FACTORY and (
            bool(sight.puk.default) or record.puk.proven is None
        )
        self._objects: set[ObjectId] = set()
        """What was found different already."""

    def all(self) -> Iterator[Drift]:
        """Yield everything, the card's own matters first."""
        yield from self._management()
        yield from self._puk()
        yield from self._pin()
        yield from self._chuid()
        if self._record.state in PERSONALISED:
            yield from self._present()
            yield from self._keys()
            yield from self._certificates(self._recorded_certificates())
            yield from self._vouched()
            yield from self._tries()
        elif self._record.state in NAMED:
            yield from self._certificates({})
        yield from self._newer()

    def _mend(self, *wanted: OperationKind) -> str:
        """Return the first of these operations that may start, and can succeed; else a call for help.

        Every operation has the card prove its management key, and all but an update use its PUK.
        """
        if self._foreign_key:
            return CALL
        if self._foreign_puk or self._sight.puk.tries_left == 0:
            wanted = tuple(way for way in wanted if way is OperationKind.UPDATE)
        return next((way for way in wanted if way in self._against.ways), CALL)

    def _anew(self) -> str:
        """Return how keys, certificates and objects come onto the card anew."""
        return self._mend(OperationKind.REISSUE, OperationKind.RETIRE, OperationKind.ISSUE)

    # --- secrets ----------------------------------------------------------------------------------------

    def _management(self) -> Iterator[Drift]:
        if self._foreign_key and self._sight.management.algorithm is not None:
            yield Drift(
                key=Kind.MANAGEMENT_KEY_ALGORITHM,
                expected=self._record.management_algorithm.name,
                found=self._sight.management.algorithm.name,
                mend=CALL,
            )

    def _puk(self) -> Iterator[Drift]:
        if self._record.puk.proven is None:
            yield Drift(key=Kind.PUK_UNKNOWN, mend=CALL)
        elif self._foreign_puk:
            yield Drift(key=Kind.PUK_DEFAULT, mend=CALL)
        if self._sight.puk.tries_left == 0:
            yield Drift(key=Kind.PUK_BLOCKED, mend=CALL)

    def _pin(self) -> Iterator[Drift]:
        record = self._record
        ours = record.pin in {PinState.TRANSPORT, PinState.HOLDER}
        if self._sight.pin.default and ours:
            yield Drift(key=Kind.PIN_DEFAULT, mend=self._new_pin())
        if self._sight.pin.tries_left == 0 and record.state in IN_USE:
            yield Drift(key=Kind.PIN_BLOCKED, mend=self._new_pin())

    def _new_pin(self) -> str:
        """Return how another PIN comes onto the card."""
        return self._mend(
            OperationKind.UNBLOCK,
            OperationKind.ACTIVATE,
            OperationKind.RESUME,
            OperationKind.RETIRE,
            OperationKind.ISSUE,
        )

    def _tries(self) -> Iterator[Drift]:
        """Compare the retry counters, which only an issue sets: it puts another PIN in force."""
        if self._against.template is None:
            return
        wanted = self._against.template.pin
        for key, expected, found in (
            (Kind.PIN_TRIES, wanted.tries, self._sight.pin.tries_total),
            (Kind.PUK_TRIES, wanted.puk_tries, self._sight.puk.tries_total),
        ):
            if expected is not None and found is not None and found != expected:
                mend = self._mend(OperationKind.RETIRE, OperationKind.ISSUE)
                yield Drift(key=key, expected=str(expected), found=str(found), mend=mend)

    # --- objects ----------------------------------------------------------------------------------------

    def _chuid(self) -> Iterator[Drift]:
        if ObjectId.CHUID not in self._sight.objects:
            if self._record.state in NAMED:
                yield self._missing(ObjectId.CHUID)
        elif self._guid != self._record.record_id:
            self._objects.add(ObjectId.CHUID)
            yield Drift(
                key=Kind.CHUID_FOREIGN,
                expected=str(self._record.record_id),
                found=str(self._guid or UNREADABLE),
                mend=self._anew(),
            )

    def _present(self) -> Iterator[Drift]:
        for object_id in (ObjectId.CCC, ObjectId.SECURITY):
            if object_id not in self._sight.objects:
                yield self._missing(object_id)

    def _missing(self, object_id: ObjectId) -> Drift:
        self._objects.add(object_id)
        name = object_name(object_id)
        return Drift(key=Kind.OBJECT_MISSING, subject=name, expected=name, mend=self._anew())

    def _vouched(self) -> Iterator[Drift]:
        for object_id in sorted(self._sight.unvouched - self._objects):
            yield Drift(key=Kind.OBJECT_UNVOUCHED, subject=object_name(object_id), mend=self._anew())

    # --- keys and certificates --------------------------------------------------------------------------

    def _keys(self) -> Iterator[Drift]:
        for slot, seen in self._sight.slots.items():
            key = self._record.keys.get(slot)
            if key is None:
                if seen.key is not None:
                    theirs = self._key_in(seen)
                    yield Drift(key=Kind.KEY_UNKNOWN, subject=slot.text, found=theirs, mend=CALL)
            elif key.state is not KeyState.PROVEN:
                yield Drift(key=Kind.KEY_UNPROVEN, subject=slot.text, mend=self._anew())
            elif self._sight.metadata:
                ours = shown(digest(key.public_key))
                theirs = self._key_in(seen)
                if theirs != ours:
                    kind = Kind.KEY_FOREIGN if theirs else Kind.KEY_MISSING
                    yield Drift(key=kind, subject=slot.text, expected=ours, found=theirs, mend=self._anew())

    def _key_in(self, seen: SlotSight) -> str:
        return "" if seen.key is None else shown(seen.key.public_key) or UNREADABLE

    def _recorded_certificates(self) -> Mapping[Slot, CertificateRecord]:
        """Return the certificates that are to be on the card."""
        return {each.slot: each for each in self._record.certificates if each.state in RECORDED}

    def _certificates(self, recorded: Mapping[Slot, CertificateRecord]) -> Iterator[Drift]:
        revoked = {
            digest(each.certificate)
            for each in self._record.certificates
            if each.state is CertificateState.REVOKED and each.certificate
        }
        for slot, seen in self._sight.slots.items():
            found = self._certificate_in(slot, seen)
            record = recorded.get(slot)
            expected = shown(digest(record.certificate)) if record is not None else ""
            if found == expected:
                if record is not None:
                    yield from self._lifetime(record)
                continue
            self._objects.add(slot.certificate_object)
            key, mend = Kind.CERTIFICATE_FOREIGN, self._anew()
            if not found:
                key = Kind.CERTIFICATE_MISSING
            elif seen.certificate in revoked:
                key = Kind.CERTIFICATE_REVOKED
            elif record is None:
                key = Kind.CERTIFICATE_UNKNOWN
                mend = mend if slot in self._record.keys else CALL  # nothing of ours looks after that slot
            yield Drift(key=key, subject=slot.text, expected=expected, found=found, mend=mend)

    def _certificate_in(self, slot: Slot, seen: SlotSight) -> str:
        if seen.certificate:
            return shown(seen.certificate)
        return UNREADABLE if slot.certificate_object in self._sight.objects else ""

    def _lifetime(self, record: CertificateRecord) -> Iterator[Drift]:
        template, now = self._against.template, self._against.now
        if self._record.state not in IN_USE or template is None:
            return
        until = ends_at(record.certificate)
        is_over = until <= now
        if not is_over and record not in due_for_renewal(self._record.certificates, template, now):
            return
        day = until.date().isoformat()
        mend = self._mend(
            OperationKind.RENEW, OperationKind.REISSUE, OperationKind.RETIRE, OperationKind.ISSUE
        )
        key = Kind.CERTIFICATE_EXPIRED if is_over else Kind.CERTIFICATE_EXPIRES
        yield Drift(key=key, subject=record.slot.text, expected=day, found=day, mend=mend)

    # --- what is newer ----------------------------------------------------------------------------------

    def _newer(self) -> Iterator[Drift]:
        record = self._record
        mend = self._mend(OperationKind.UPDATE)
        for step in self._against.due:
            key = _DUE.get(step.key, Kind.UPDATE_DUE)
            if step.key == _PROOF:
                continue
            subject = step.key if key is Kind.UPDATE_DUE else ""
            expected, found = "", ""
            if key is Kind.MANAGEMENT_KEY_OLDER and record.management_key.proven is not None:
                expected = str(step.facts.get("generation", ""))
                found = str(record.management_key.proven.generation)
            if key is Kind.TEMPLATE_OLDER and record.credential is not None:
                expected = str(step.facts.get("version", ""))
                found = str(record.credential.template.version)
            yield Drift(key=key, subject=subject, expected=expected, found=found, mend=mend)
        if self._against.reissue:
            yield Drift(key=Kind.TEMPLATE_REISSUE, mend=self._anew())
