"""Every kind of drift is found, alone, and its mend is an operation that may start; nothing is found where all agrees."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given

from shared.credential.drift import Against, drift, shown
from shared.credential.drift_kinds import CALL, CONTINUE, Drift, Kind
from shared.credential.lifecycle import OperationKind, reachable
from shared.credential.model import (
    FACTORY,
    CardRecord,
    CertificateRecord,
    CertificateState,
    CredentialId,
    CredentialRecord,
    HolderId,
    KeyRecord,
    KeyState,
    OpenOperation,
    OperationId,
    PinState,
    RecordId,
    RequestId,
    SecretRecord,
    SecretVersion,
    State,
    TemplateRef,
)
from shared.credential.sight import COVERED, KeySight, Sight, SlotSight, digest
from shared.credential.template_reading import parse_template
from shared.piv.data import object_name
from shared.piv.ids import PRIMARY_SLOTS, Algorithm, ManagementAlgorithm, ObjectId, Slot
from shared.piv.inspect import ManagementFacts, ReferenceFacts
from shared.relay import StepLine
from tests.scenario.templates import EMPLOYEE
from tests.shared.proto import values

NOW: Final = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
UNTIL: Final = datetime(2028, 11, 20, tzinfo=UTC)
SOON: Final = timedelta(days=30)
"""What a template says that says nothing of it."""
CARD: Final = RecordId(UUID("7a7e7c6e-0000-4000-8000-000000000001"))
STRANGE: Final = digest(b"somebody else's")
SLOT: Final = Slot.SIGNATURE
FREE: Final = Slot.CARD_AUTHENTICATION
"""A slot that the credential does not use."""
USED: Final = tuple(slot for slot in PRIMARY_SLOTS if slot is not FREE)


def certified(slot: Slot) -> tuple[bytes, bytes]:
    """Return a public key and a certificate for it, both DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string(f"CN={slot.text}")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(UNTIL)
        .sign(key, hashes.SHA256())
    )
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return public, certificate.public_bytes(Encoding.DER)


MADE: Final[dict[Slot, tuple[bytes, bytes]]] = {slot: certified(slot) for slot in USED}
OURS: Final = {slot: shown(digest(certificate)) for slot, (_, certificate) in MADE.items()}

RECORD: Final = CardRecord(
    record_id=CARD,
    state=State.ACTIVE,
    profile="yubikey-5.7",
    serial=1001,
    virtual=True,
    management_algorithm=ManagementAlgorithm.AES256,
    management_key=SecretRecord(proven=SecretVersion(1)),
    puk=SecretRecord(proven=SecretVersion(1, 1)),
    pin=PinState.HOLDER,
    keys={
        slot: KeyRecord(slot=slot, algorithm=Algorithm.P256, state=KeyState.PROVEN, public_key=public)
        for slot, (public, _) in MADE.items()
    },
    certificates=tuple(
        CertificateRecord(
            request_id=RequestId(uuid4()),
            slot=slot,
            connection="built-in",
            profile="signature",
            public_key=public,
            state=CertificateState.CONFIRMED,
            certificate=certificate,
        )
        for slot, (public, certificate) in MADE.items()
    ),
    credential=CredentialRecord(
        credential_id=CredentialId(uuid4()),
        holder=HolderId("bob"),
        holder_name="Bob Smith",
        template=TemplateRef(name="employee", version=1, digest=bytes(32)),
        state=State.ACTIVE,
    ),
)
SIGHT: Final = Sight(
    metadata=True,
    slots={
        FREE: SlotSight(),
        **{
            slot: SlotSight(
                certificate=digest(certificate),
                algorithm=Algorithm.P256,
                key=KeySight(algorithm=Algorithm.P256, public_key=digest(public)),
            )
            for slot, (public, certificate) in MADE.items()
        },
    },
    objects={
        object_id: digest(object_id.name.encode())
        for object_id in (*COVERED, ObjectId.SECURITY)
        if object_id is not FREE.certificate_object
    },
    management=ManagementFacts(algorithm=ManagementAlgorithm.AES256, default=False),
    pin=ReferenceFacts(tries_left=3, tries_total=3, default=False),
    puk=ReferenceFacts(tries_left=3, tries_total=3, default=False),
)
TEMPLATE: Final = parse_template(EMPLOYEE + "\n[pin]\ntries = 3\npuk-tries = 3\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A card, its record, and what there is beside them."""

    record: CardRecord = RECORD
    sight: Sight = SIGHT
    guid: UUID | None = CARD
    now: datetime = NOW
    due: tuple[StepLine, ...] = ()
    reissue: bool = False
    ways: tuple[OperationKind, ...] | None = field(default=None)

    def drift(self) -> tuple[Drift, ...]:
        ways = reachable(self.record.state) if self.ways is None else self.ways
        against = Against(now=self.now, due=self.due, ways=ways, template=TEMPLATE, reissue=self.reissue)
        return drift(self.record, guid=self.guid, sight=self.sight, against=against)


def slot_seen(**changes: object) -> Sight:
    seen = replace(SIGHT.slots[SLOT], **changes)  # type: ignore[arg-type]  # the caller's fields
    return replace(SIGHT, slots={**SIGHT.slots, SLOT: seen})


def without(*objects: ObjectId, sight: Sight = SIGHT) -> Sight:
    left = {key: value for key, value in sight.objects.items() if key not in objects}
    return replace(sight, objects=left)


def in_free_slot(seen: SlotSight) -> Sight:
    return replace(SIGHT, slots={**SIGHT.slots, FREE: seen})


def pin(**changes: object) -> Sight:
    return replace(SIGHT, pin=replace(SIGHT.pin, **changes))  # type: ignore[arg-type]  # the caller's fields


def puk(**changes: object) -> Sight:
    return replace(SIGHT, puk=replace(SIGHT.puk, **changes))  # type: ignore[arg-type]  # the caller's fields


def state_of_certificate(state: CertificateState) -> CardRecord:
    changed = [replace(each, state=state) if each.slot is SLOT else each for each in RECORD.certificates]
    return replace(RECORD, certificates=tuple(changed))


CUT: Final = OpenOperation(
    operation_id=OperationId(uuid4()),
    kind=OperationKind.UNBLOCK.value,
    holder=HolderId("bob"),
    template=None,
    began_at=NOW - timedelta(days=3),
)
RETIRED: Final = replace(
    RECORD,
    state=State.RETIRED,
    pin=PinState.TRANSPORT,
    keys={slot: replace(key, state=KeyState.INTENDED) for slot, key in RECORD.keys.items()},
    certificates=tuple(replace(each, state=CertificateState.REVOKED) for each in RECORD.certificates),
)
NOTHING: Final[dict[Slot, SlotSight]] = {slot: SlotSight() for slot in PRIMARY_SLOTS}
EMPTY: Final = replace(
    without(*(slot.certificate_object for slot in USED), ObjectId.SECURITY),
    slots=NOTHING,
)
KEY: Final = shown(digest(MADE[SLOT][0]))

CASES: Final[dict[str, tuple[Case, Drift]]] = {
    "an operation that was cut": (
        Case(record=replace(RECORD, open_operation=CUT), sight=Sight()),
        Drift(key=Kind.OPERATION_CUT, subject="unblock", found="2026-11-17", mend=CONTINUE),
    ),
    "a reset": (
        Case(sight=Sight(management=ManagementFacts(default=True)), ways=reachable(State.UNREGISTERED)),
        Drift(key=Kind.CARD_RESET, mend="issue"),
    ),
    "a reset while something was cut": (
        Case(
            record=replace(RECORD, open_operation=CUT),
            sight=Sight(management=ManagementFacts(default=True)),
            ways=reachable(State.UNREGISTERED),
        ),
        Drift(key=Kind.CARD_RESET, mend="issue"),
    ),
    "a management key of another kind": (
        Case(sight=replace(SIGHT, management=ManagementFacts(algorithm=ManagementAlgorithm.TDES))),
        Drift(key=Kind.MANAGEMENT_KEY_ALGORITHM, expected="AES256", found="TDES", mend=CALL),
    ),
    "an older management key": (
        Case(due=(StepLine(key="rekey", facts={"generation": 2}), StepLine(key="read-back"))),
        Drift(key=Kind.MANAGEMENT_KEY_OLDER, expected="2", found="1", mend="update"),
    ),
    "an older PUK": (
        Case(due=(StepLine(key="puk"), StepLine(key="read-back"))),
        Drift(key=Kind.PUK_OLDER, mend="update"),
    ),
    "a newer template": (
        Case(due=(StepLine(key="template", facts={"version": 4}),)),
        Drift(key=Kind.TEMPLATE_OLDER, expected="4", found="1", mend="update"),
    ),
    "another step of an update": (
        Case(due=(StepLine(key="pin"),)),
        Drift(key=Kind.UPDATE_DUE, subject="pin", mend="update"),
    ),
    "a template that wants more": (
        Case(reissue=True),
        Drift(key=Kind.TEMPLATE_REISSUE, mend="reissue"),
    ),
    "a factory PUK": (Case(sight=puk(default=True)), Drift(key=Kind.PUK_DEFAULT, mend=CALL)),
    "a PUK that nobody knows": (
        Case(record=replace(RECORD, puk=SecretRecord(proven=None, pending=SecretVersion(1, 2)))),
        Drift(key=Kind.PUK_UNKNOWN, mend=CALL),
    ),
    "a blocked PUK": (Case(sight=puk(tries_left=0)), Drift(key=Kind.PUK_BLOCKED, mend=CALL)),
    "other tries of the PUK": (
        Case(sight=puk(tries_total=5)),
        Drift(key=Kind.PUK_TRIES, expected="3", found="5", mend="retire"),
    ),
    "a factory PIN": (
        Case(sight=pin(default=True)),
        Drift(key=Kind.PIN_DEFAULT, mend="unblock"),
    ),
    "a factory PIN before activation": (
        Case(record=replace(RECORD, state=State.ISSUED, pin=PinState.TRANSPORT), sight=pin(default=True)),
        Drift(key=Kind.PIN_DEFAULT, mend="activate"),
    ),
    "a factory PIN on a card that was taken back": (
        Case(record=RETIRED, sight=replace(EMPTY, pin=ReferenceFacts(default=True))),
        Drift(key=Kind.PIN_DEFAULT, mend="issue"),
    ),
    "a blocked PIN": (
        Case(sight=pin(tries_left=0)),
        Drift(key=Kind.PIN_BLOCKED, mend="unblock"),
    ),
    "other tries of the PIN": (
        Case(sight=pin(tries_total=8)),
        Drift(key=Kind.PIN_TRIES, expected="3", found="8", mend="retire"),
    ),
    "another GUID": (
        Case(guid=UUID(int=7)),
        Drift(key=Kind.CHUID_FOREIGN, expected=str(CARD), found=str(UUID(int=7)), mend="reissue"),
    ),
    "a CHUID that cannot be read": (
        Case(guid=None),
        Drift(key=Kind.CHUID_FOREIGN, expected=str(CARD), found="unreadable", mend="reissue"),
    ),
    **{
        f"no {object_name(object_id)}": (
            Case(sight=without(object_id), guid=None if object_id is ObjectId.CHUID else CARD),
            Drift(
                key=Kind.OBJECT_MISSING,
                subject=object_name(object_id),
                expected=object_name(object_id),
                mend="reissue",
            ),
        )
        for object_id in (ObjectId.CHUID, ObjectId.CCC, ObjectId.SECURITY)
    },
    "an object that nobody vouches for": (
        Case(sight=replace(SIGHT, unvouched=frozenset({ObjectId.CCC}))),
        Drift(key=Kind.OBJECT_UNVOUCHED, subject="CCC", mend="reissue"),
    ),
    "an empty slot": (
        Case(sight=slot_seen(key=None)),
        Drift(key=Kind.KEY_MISSING, subject="9C", expected=KEY, mend="reissue"),
    ),
    "another key": (
        Case(sight=slot_seen(key=KeySight(public_key=STRANGE))),
        Drift(key=Kind.KEY_FOREIGN, subject="9C", expected=KEY, found=shown(STRANGE), mend="reissue"),
    ),
    "a key of a kind that is not known": (
        Case(sight=slot_seen(key=KeySight())),
        Drift(key=Kind.KEY_FOREIGN, subject="9C", expected=KEY, found="unreadable", mend="reissue"),
    ),
    "a key in a slot that is not used": (
        Case(sight=in_free_slot(SlotSight(key=KeySight(public_key=STRANGE)))),
        Drift(key=Kind.KEY_UNKNOWN, subject="9E", found=shown(STRANGE), mend=CALL),
    ),
    "a key that never proved itself": (
        Case(
            record=replace(
                RECORD, keys={**RECORD.keys, SLOT: replace(RECORD.keys[SLOT], state=KeyState.UNPROVEN)}
            )
        ),
        Drift(key=Kind.KEY_UNPROVEN, subject="9C", mend="reissue"),
    ),
    "no certificate": (
        Case(sight=without(SLOT.certificate_object, sight=slot_seen(certificate=b""))),
        Drift(key=Kind.CERTIFICATE_MISSING, subject="9C", expected=OURS[SLOT], mend="reissue"),
    ),
    "no certificate before activation": (
        Case(
            record=replace(RECORD, state=State.ISSUED),
            sight=without(SLOT.certificate_object, sight=slot_seen(certificate=b"")),
        ),
        Drift(key=Kind.CERTIFICATE_MISSING, subject="9C", expected=OURS[SLOT], mend="retire"),
    ),
    "another certificate": (
        Case(sight=slot_seen(certificate=STRANGE)),
        Drift(
            key=Kind.CERTIFICATE_FOREIGN,
            subject="9C",
            expected=OURS[SLOT],
            found=shown(STRANGE),
            mend="reissue",
        ),
    ),
    "another certificate, which nobody vouches for": (
        Case(sight=replace(slot_seen(certificate=STRANGE), unvouched=frozenset({SLOT.certificate_object}))),
        Drift(
            key=Kind.CERTIFICATE_FOREIGN,
            subject="9C",
            expected=OURS[SLOT],
            found=shown(STRANGE),
            mend="reissue",
        ),
    ),
    "a certificate that cannot be read": (
        Case(sight=slot_seen(certificate=b"")),
        Drift(
            key=Kind.CERTIFICATE_FOREIGN,
            subject="9C",
            expected=OURS[SLOT],
            found="unreadable",
            mend="reissue",
        ),
    ),
    "a certificate in a slot that is not used": (
        Case(sight=in_free_slot(SlotSight(certificate=STRANGE))),
        Drift(key=Kind.CERTIFICATE_UNKNOWN, subject="9E", found=shown(STRANGE), mend=CALL),
    ),
    "a certificate on a card that was taken back": (
        Case(
            record=RETIRED,
            sight=replace(EMPTY, slots={**NOTHING, SLOT: SlotSight(certificate=STRANGE)}),
        ),
        Drift(key=Kind.CERTIFICATE_UNKNOWN, subject="9C", found=shown(STRANGE), mend="issue"),
    ),
    "no CHUID on a card that belongs to nobody yet": (
        Case(
            record=replace(RETIRED, state=State.REGISTERED, keys={}, certificates=()),
            sight=without(ObjectId.CHUID, sight=EMPTY),
            guid=None,
        ),
        Drift(key=Kind.OBJECT_MISSING, subject="CHUID", expected="CHUID", mend="issue"),
    ),
    "a revoked certificate": (
        Case(record=state_of_certificate(CertificateState.REVOKED)),
        Drift(key=Kind.CERTIFICATE_REVOKED, subject="9C", found=OURS[SLOT], mend="reissue"),
    ),
    "a revoked certificate on a revoked card": (
        Case(record=replace(state_of_certificate(CertificateState.REVOKED), state=State.REVOKED)),
        Drift(key=Kind.CERTIFICATE_REVOKED, subject="9C", found=OURS[SLOT], mend="retire"),
    ),
}


@pytest.mark.parametrize("what", CASES)
def test_each_kind_is_found_alone(what: str) -> None:
    case, expected = CASES[what]
    assert case.drift() == (expected,)


@pytest.mark.parametrize(
    ("now", "key"),
    [
        (UNTIL - SOON, Kind.CERTIFICATE_EXPIRES),
        (UNTIL - timedelta(seconds=1), Kind.CERTIFICATE_EXPIRES),
        (UNTIL, Kind.CERTIFICATE_EXPIRED),
    ],
)
def test_certificates_grow_old(now: datetime, key: Kind) -> None:
    found = Case(now=now).drift()
    assert [(each.key, each.subject, each.found, each.mend) for each in found] == [
        (key, slot.text, "2028-11-20", "renew") for slot in USED
    ]
    assert Case(now=UNTIL - SOON - timedelta(seconds=1)).drift() == ()


def test_every_kind_has_a_case() -> None:
    tried = {expected.key for _, expected in CASES.values()}
    assert tried | {Kind.CERTIFICATE_EXPIRED, Kind.CERTIFICATE_EXPIRES} == set(Kind)


@pytest.mark.parametrize(
    "case",
    [
        Case(),
        Case(record=state_of_certificate(CertificateState.HELD)),
        Case(record=RETIRED, sight=EMPTY),
        Case(record=replace(RECORD, state=State.DELETED), sight=Sight()),
        Case(record=replace(RECORD, open_operation=replace(CUT, kind="change-pin"))),
        Case(
            record=replace(RECORD, management_key=SecretRecord(proven=FACTORY)),
            sight=replace(
                SIGHT, management=ManagementFacts(default=True, algorithm=ManagementAlgorithm.TDES)
            ),
        ),
    ],
    ids=["active", "on hold", "retired", "deleted", "a change of PIN left nothing", "factory as recorded"],
)
def test_nothing_is_found_where_all_agrees(case: Case) -> None:
    assert case.drift() == ()


def test_a_card_that_tells_little_is_not_accused() -> None:
    silent = {slot: replace(seen, key=None) for slot, seen in SIGHT.slots.items()}
    sight = Sight(slots=silent, objects=SIGHT.objects)
    assert Case(sight=sight).drift() == ()


def test_a_slot_that_was_not_looked_at_is_not_missed() -> None:
    looked_at: dict[Slot, SlotSight] = {slot: seen for slot, seen in SIGHT.slots.items() if slot is not SLOT}
    assert Case(sight=without(SLOT.certificate_object, sight=replace(SIGHT, slots=looked_at))).drift() == ()


def test_what_cannot_succeed_is_not_proposed() -> None:
    empty_slot = slot_seen(key=None)
    blocked = replace(empty_slot, puk=replace(SIGHT.puk, tries_left=0))
    foreign = replace(empty_slot, management=ManagementFacts(algorithm=ManagementAlgorithm.TDES))
    older = (StepLine(key="rekey", facts={"generation": 2}),)
    assert {each.key: each.mend for each in Case(sight=blocked, due=older).drift()} == {
        Kind.PUK_BLOCKED: CALL,
        Kind.KEY_MISSING: CALL,
        Kind.MANAGEMENT_KEY_OLDER: "update",  # takes no PUK
    }
    assert {each.mend for each in Case(sight=foreign, due=older).drift()} == {CALL}


@given(values.sights)
def test_a_mend_may_always_start(sight: Sight) -> None:
    for state in State:
        ways = reachable(state)
        for each in Case(record=replace(RECORD, state=state), sight=sight).drift():
            assert each.mend in {*ways, CALL}
            assert each.sign in {"-", "+", "~"}
            assert Kind(each.key)
