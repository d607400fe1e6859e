"""What it takes to renew and to reissue: what is intended, and what is missing after a cut."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from shared import errors
from shared.credential.intention import (
    Intent,
    Room,
    chosen,
    intend_reissue,
    intend_renewal,
    intended_certificates,
    intended_keys,
    needs_room,
    shown,
    with_intent,
)
from shared.credential.model import (
    CardRecord,
    CertificateRecord,
    CertificateState,
    KeyRecord,
    KeyState,
    PinState,
    RecordId,
    RequestId,
    SecretRecord,
    SecretVersion,
    State,
)
from shared.credential.plan import (
    Generate,
    Keep,
    Move,
    ReadBack,
    Remove,
    Request,
    Revoke,
    Step,
    WriteCcc,
    WriteCertificate,
    WriteChuid,
    WriteSecurityObject,
    der,
)
from shared.credential.replacement import moving, plan_replacement, removed, standing, superseded
from shared.credential.template import Template
from shared.credential.template_reading import parse_template
from shared.piv.ccc import Ccc
from shared.piv.chuid import Chuid
from shared.piv.fascn import FascN
from shared.piv.ids import Algorithm, ManagementAlgorithm, Origin, PinPolicyId, Slot, TouchPolicyId
from shared.piv.inspect import CardFacts, SlotFacts
from shared.piv.profiles import YUBIKEY_4, YUBIKEY_5_7, Answers
from shared.piv.publickey import PublicKey
from shared.piv.select import Selected
from shared.piv.vendor import SlotMetadata

TEXT = """\
name = "employee"
title = "Employee badge"
directory = "people"

[[certificate]]
slot = "9A"
algorithm = "P-256"
ca = "built-in"
profile = "smart-card-logon"
subject = "CN=${user.name}"

[[certificate]]
slot = "9D"
algorithm = "P-256"
ca = "built-in"
profile = "key-management"
subject = "CN=${user.name}"
"""
TEMPLATE = parse_template(TEXT)
ACCEPTING = parse_template(f"{TEXT}accept-loss = true\n")
ONLY_9A = parse_template(TEXT[: TEXT.rindex("[[certificate]]")])
A, C, D, OLD, OLDER = (
    Slot.AUTHENTICATION,
    Slot.SIGNATURE,
    Slot.KEY_MANAGEMENT,
    Slot.RETIRED_1,
    Slot.RETIRED_2,
)
RECORD_ID = RecordId(UUID("7b0f1b51-9a06-4c7c-8d1d-0f7f3a3f6a10"))
KEYS: dict[Slot, PublicKey] = {
    slot: ec.generate_private_key(ec.SECP256R1()).public_key() for slot in (A, D, OLD)
}
OTHER_KEY: PublicKey = ec.generate_private_key(ec.SECP256R1()).public_key()
MOVES, STAYS = Room(moves=True, free=(OLD, OLDER)), Room()
READ: tuple[type, ...] = (WriteSecurityObject, ReadBack)


def key(slot: Slot, state: KeyState = KeyState.PROVEN) -> KeyRecord:
    public_key = b"" if state is KeyState.INTENDED else der(KEYS[slot])
    return KeyRecord(slot=slot, algorithm=Algorithm.P256, state=state, public_key=public_key)


def certificate(
    slot: Slot, number: int, state: CertificateState = CertificateState.CONFIRMED
) -> CertificateRecord:
    return CertificateRecord(
        request_id=RequestId(UUID(int=number)),
        slot=slot,
        connection="built-in",
        profile="smart-card-logon" if slot is A else "key-management",
        public_key=der(KEYS[slot]),
        state=state,
        certificate=b"" if state is CertificateState.REQUESTED else b"certificate",
    )


RECORD = CardRecord(
    record_id=RECORD_ID,
    state=State.ACTIVE,
    profile="yubikey-5.7",
    serial=1001,
    virtual=True,
    management_algorithm=ManagementAlgorithm.AES192,
    management_key=SecretRecord(proven=SecretVersion(1)),
    puk=SecretRecord(proven=SecretVersion(1, 1)),
    pin=PinState.HOLDER,
    keys={A: key(A), D: key(D)},
    certificates=(certificate(A, 1), certificate(D, 2)),
)


def facts(held: dict[Slot, PublicKey] | None = None) -> CardFacts:
    """Return what a card of ours says; with the keys that its metadata shows, where it has any."""
    slots = {slot: SlotFacts(metadata=_metadata((held or {}).get(slot))) for slot in (A, C, D)}
    return CardFacts(
        profile=YUBIKEY_4 if held is None else YUBIKEY_5_7,
        answers=Answers(metadata=held is not None),
        selected=Selected(identifier=b""),
        chuid=Chuid(fasc_n=FascN(), guid=RECORD_ID, expires=None),  # type: ignore[arg-type]  # not looked at
        ccc=Ccc(card_id=bytes(14)),
        slots=slots,
    )


def _metadata(held: PublicKey | None) -> SlotMetadata | None:
    if held is None:
        return None
    return SlotMetadata(
        algorithm=Algorithm.P256,
        pin_policy=PinPolicyId.ONCE,
        touch_policy=TouchPolicyId.NEVER,
        origin=Origin.GENERATED,
        public_key=held,
    )


TOLD = facts({A: KEYS[A], D: KEYS[D]})


def intended(intent: Intent, record: CardRecord = RECORD) -> CardRecord:
    numbers = iter(range(100, 200))
    return with_intent(
        record,
        intended_keys(intent, record),
        intended_certificates(intent, record, lambda: RequestId(UUID(int=next(numbers)))),
    )


def planned(
    intent: Intent | None,
    record: CardRecord,
    *,
    template: Template = TEMPLATE,
    present: Template = TEMPLATE,
    seen: CardFacts = TOLD,
) -> tuple[Step, ...]:
    return plan_replacement(template=template, present=present, facts=seen, record=record, intent=intent)


def kinds(steps: Sequence[Step]) -> tuple[type, ...]:
    return tuple(map(type, steps))


def revoked(steps: Sequence[Step]) -> list[int]:
    return [step.certificate.request_id.int for step in steps if isinstance(step, Revoke)]


# --- which slots ----------------------------------------------------------------------------------------


def test_all_slots_or_those_that_are_named_in_the_order_of_the_template() -> None:
    assert [spec.slot for spec in chosen(TEMPLATE, ())] == [A, D]
    assert [spec.slot for spec in chosen(TEMPLATE, ["9d"])] == [D]
    assert [spec.slot for spec in chosen(TEMPLATE, ["9D", "9A", "9D"])] == [A, D]
    with pytest.raises(errors.Invalid) as caught:
        chosen(TEMPLATE, ["9C"])
    assert caught.value.facts["why"] == "the card has 9A, 9D"


def test_there_must_be_a_key_to_renew_for() -> None:
    assert intend_renewal(TEMPLATE, RECORD, ()).renew == TEMPLATE.certificates
    lost = replace(RECORD, keys={A: key(A, KeyState.INTENDED), D: key(D)})
    assert intend_renewal(TEMPLATE, lost, ["9D"]).renew == TEMPLATE.certificates[1:]
    with pytest.raises(errors.Invalid):
        intend_renewal(TEMPLATE, lost, ())


# --- keys that decrypt ----------------------------------------------------------------------------------


def test_a_key_that_decrypts_moves_where_there_is_room() -> None:
    intent = intend_reissue(TEMPLATE, TEMPLATE, TOLD, RECORD, MOVES, ())
    assert intent.make == TEMPLATE.certificates
    assert intent.move == (Move(source=D, destination=OLD),)
    assert (intent.renew, intent.keep) == ((), ())


@pytest.mark.parametrize("room", [STAYS, Room(moves=True), Room(free=(OLD,))])
def test_it_stays_and_is_renewed_where_there_is_none(room: Room) -> None:
    intent = intend_reissue(TEMPLATE, TEMPLATE, TOLD, RECORD, room, ())
    assert (intent.make, intent.renew) == (TEMPLATE.certificates[:1], TEMPLATE.certificates[1:])
    assert (intent.keep, intent.move) == ((D,), ())
    with pytest.raises(errors.TemplateImpossible):
        intend_reissue(TEMPLATE, TEMPLATE, TOLD, RECORD, room, ["9D"])


def test_it_is_replaced_where_its_loss_is_accepted_or_nothing_is_lost() -> None:
    assert intend_reissue(ACCEPTING, TEMPLATE, TOLD, RECORD, MOVES, ()) == Intent(make=ACCEPTING.certificates)
    lost = replace(RECORD, keys={A: key(A), D: key(D, KeyState.INTENDED)})
    assert intend_reissue(TEMPLATE, TEMPLATE, TOLD, lost, STAYS, ()) == Intent(make=TEMPLATE.certificates)


def test_one_that_somebody_deleted_or_replaced_is_lost_already() -> None:
    for held in ({A: KEYS[A]}, {A: KEYS[A], D: OTHER_KEY}):
        seen = facts(held)
        assert intend_reissue(TEMPLATE, TEMPLATE, seen, RECORD, MOVES, ()) == Intent(
            make=TEMPLATE.certificates
        )
        assert not needs_room(TEMPLATE, TEMPLATE, seen, RECORD, ())
        assert intend_reissue(ONLY_9A, TEMPLATE, seen, RECORD, STAYS, ()).remove == (D,)
    assert intend_reissue(TEMPLATE, TEMPLATE, facts(), RECORD, STAYS, ()).keep == (D,)


def test_one_of_another_kind_cannot_stay() -> None:
    for change in (("P-256", "P-384"), ('slot = "9D"', 'slot = "9D"\npin-policy = "always"')):
        wanted = parse_template(change[1].join(TEXT.rsplit(change[0], 1)))
        with pytest.raises(errors.TemplateImpossible):
            intend_reissue(wanted, TEMPLATE, TOLD, RECORD, STAYS, ())
        assert intend_reissue(wanted, TEMPLATE, TOLD, RECORD, MOVES, ()).make == wanted.certificates


def test_one_in_a_slot_for_retired_keys_has_nowhere_to_go() -> None:
    wanted = parse_template(TEXT.replace('"9D"', '"82"'))
    record = replace(RECORD, keys={A: key(A), OLD: key(OLD)})
    intent = intend_reissue(wanted, wanted, TOLD, record, Room(moves=True, free=(OLDER,)), ())
    assert intent.keep == (OLD,)


def test_the_slot_that_the_template_does_not_have_any_more_is_emptied_but_not_of_what_decrypts() -> None:
    moved = intend_reissue(ONLY_9A, TEMPLATE, TOLD, RECORD, MOVES, ())
    assert (moved.remove, moved.move) == ((D,), (Move(source=D, destination=OLD),))
    accepted = intend_reissue(ONLY_9A, ACCEPTING, TOLD, RECORD, STAYS, ())
    assert (accepted.remove, accepted.move) == ((D,), ())
    with pytest.raises(errors.TemplateImpossible):
        intend_reissue(ONLY_9A, TEMPLATE, TOLD, RECORD, STAYS, ())


@pytest.mark.parametrize(
    ("template", "present", "slots", "needed"),
    [
        (TEMPLATE, TEMPLATE, (), True),
        (TEMPLATE, TEMPLATE, ("9d",), True),
        (TEMPLATE, TEMPLATE, ("9A",), False),
        (ONLY_9A, TEMPLATE, (), True),
        (ONLY_9A, ONLY_9A, (), False),
        (ACCEPTING, TEMPLATE, (), False),
    ],
)
def test_whether_a_card_is_asked_for_room(
    template: Template, present: Template, slots: tuple[str, ...], *, needed: bool
) -> None:
    assert needs_room(template, present, TOLD, RECORD, slots) is needed


@pytest.mark.parametrize("line", ['management-key = "AES-128"', "[pin]\ntries = 5\npuk-tries = 5"])
def test_what_only_a_card_without_a_holder_can_be_given(line: str) -> None:
    wanted = parse_template(TEXT.replace("\n[[", f"\n{line}\n\n[[", 1))
    with pytest.raises(errors.TemplateImpossible):
        intend_reissue(wanted, TEMPLATE, TOLD, RECORD, MOVES, ())


# --- plans ----------------------------------------------------------------------------------------------


def test_a_renewal_asks_writes_and_revokes() -> None:
    intent = intend_renewal(TEMPLATE, RECORD, ())
    steps = planned(intent, intended(intent))
    assert kinds(steps) == (
        *(Request, Request, WriteCertificate, WriteCertificate),
        *READ,
        *(Revoke, Revoke),
    )
    assert revoked(steps) == [1, 2]
    assert [step.reuse for step in steps if isinstance(step, Request)] == [
        RequestId(UUID(int=100)),
        RequestId(UUID(int=101)),
    ]


def test_a_reissue_moves_first_and_keeps_the_certificate_that_moved() -> None:
    intent = intend_reissue(TEMPLATE, TEMPLATE, TOLD, RECORD, MOVES, ())
    record = intended(intent)
    steps = planned(intent, record)
    assert kinds(steps) == (
        *(Move, Generate, Generate, Request, Request, WriteCertificate, WriteCertificate),
        *READ,
        Revoke,
    )
    assert revoked(steps) == [1]
    assert standing(record, [step for step in steps if isinstance(step, Request)], {A, D}) == {
        OLD: certificate(D, 2)
    }


def test_what_stays_is_said() -> None:
    intent = intend_reissue(TEMPLATE, TEMPLATE, TOLD, RECORD, STAYS, ())
    steps = planned(intent, intended(intent))
    assert kinds(steps)[:4] == (Keep, Generate, Request, Request)
    assert revoked(steps) == [1, 2]


def test_named_slots_leave_the_others_alone() -> None:
    broken = replace(RECORD, keys={A: key(A), D: key(D, KeyState.INTENDED)})
    intent = intend_reissue(TEMPLATE, TEMPLATE, TOLD, broken, MOVES, ["9A"])
    steps = planned(intent, intended(intent, broken))
    assert [step.spec.slot for step in steps if isinstance(step, Generate | Request)] == [A, A]


def test_a_slot_that_goes_is_emptied() -> None:
    intent = intend_reissue(ONLY_9A, ACCEPTING, TOLD, RECORD, STAYS, ())
    record = intended(intent)
    steps = planned(intent, record, template=ONLY_9A, present=ACCEPTING)
    assert kinds(steps) == (Remove, Generate, Request, WriteCertificate, *READ, Revoke, Revoke)
    assert removed(ONLY_9A, ACCEPTING, record) == {D}
    never = replace(RECORD, keys={A: key(A)})
    assert intended_keys(Intent(remove=(D,)), never) == ()


def test_an_identity_that_is_not_ours_is_written_again() -> None:
    intent = intend_renewal(TEMPLATE, RECORD, ["9A"])
    steps = planned(intent, intended(intent), seen=replace(TOLD, chuid=None, ccc=None))
    assert kinds(steps)[:2] == (WriteChuid, WriteCcc)


def test_a_key_that_somebody_replaced_gets_no_certificate() -> None:
    intent = intend_renewal(TEMPLATE, RECORD, ())
    for held in ({A: OTHER_KEY, D: KEYS[D]}, {D: KEYS[D]}):
        with pytest.raises(errors.CardNotGenuine):
            planned(intent, intended(intent), seen=facts(held))
    assert planned(intent, intended(intent), seen=facts()), "a card without metadata says nothing"


# --- after a cut ----------------------------------------------------------------------------------------


def test_before_the_first_key_was_made_everything_is_still_to_be_done() -> None:
    intent = intend_reissue(TEMPLATE, TEMPLATE, TOLD, RECORD, MOVES, ())
    record = intended(intent)
    assert planned(None, record) == planned(intent, record)


def test_a_key_that_was_moved_is_not_moved_again() -> None:
    record = intended(intend_reissue(TEMPLATE, TEMPLATE, TOLD, RECORD, MOVES, ()))
    steps = planned(None, record, seen=facts({A: KEYS[A], D: OTHER_KEY}))
    assert kinds(steps)[:2] == (Generate, Generate)
    assert moving(record, {A, D}) == (Move(source=D, destination=OLD),)


def test_keys_that_were_proven_stay_and_their_requests_are_gone_on_with() -> None:
    made = replace(
        RECORD,
        keys={A: key(A), D: key(D)},
        certificates=(
            replace(certificate(A, 1), public_key=der(OTHER_KEY)),
            certificate(D, 2),
            certificate(A, 3, CertificateState.REQUESTED),
        ),
    )
    steps = planned(None, made)
    assert kinds(steps) == (Request, WriteCertificate, *READ, Revoke)
    assert revoked(steps) == [1]
    assert isinstance(steps[0], Request)
    assert steps[0].reuse == RequestId(UUID(int=3))


def test_a_request_that_was_refused_is_made_again() -> None:
    refused = replace(RECORD, certificates=(certificate(A, 1, CertificateState.REFUSED), certificate(D, 2)))
    steps = planned(None, refused)
    assert kinds(steps) == (Request, WriteCertificate, *READ)
    assert isinstance(steps[0], Request)
    assert steps[0].reuse is None


def test_what_is_on_the_card_leaves_only_revocations() -> None:
    renewed = replace(RECORD, certificates=(*RECORD.certificates, certificate(A, 3)))
    steps = planned(None, renewed)
    assert kinds(steps) == (Revoke,)
    assert revoked(steps) == [1], "of two certificates of one key, the older one"
    assert superseded(renewed, (), {A, D}) == (certificate(A, 1),)


def test_a_key_without_a_certificate_stands_for_nothing() -> None:
    asked = replace(RECORD, certificates=(certificate(A, 1, CertificateState.REQUESTED), certificate(D, 2)))
    assert standing(asked, (), {A, D}) == {D: certificate(D, 2)}


def test_what_a_card_shows() -> None:
    assert shown(facts(), A) is None
    assert shown(TOLD, OLD) is None, "it was not asked"
    assert shown(TOLD, C) == b""
    assert shown(TOLD, A) == der(KEYS[A])
    metadata = _metadata(KEYS[A])
    assert metadata is not None
    unknown = replace(TOLD, slots={A: SlotFacts(metadata=replace(metadata, public_key=None))})
    assert shown(unknown, A) is None


def test_every_step_has_a_line() -> None:
    lines = [
        Move(source=D, destination=OLD).line,
        Keep(slot=D).line,
        Remove(slot=D).line,
    ]
    assert [(line.key, line.facts) for line in lines] == [
        ("move", {"slot": "9D", "to": "82"}),
        ("keep", {"slot": "9D"}),
        ("delete", {"slot": "9D"}),
    ]
