"""Plans: what is missing, in the one order that survives a cut."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from shared.credential import plan
from shared.credential.model import (
    FACTORY,
    NEVER,
    CardRecord,
    CertificateAction,
    CertificateRecord,
    CertificateState,
    CertificateTask,
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
    ChangeRetries,
    Generate,
    Own,
    ReadBack,
    Request,
    Revoke,
    RotatePuk,
    SetRetries,
    SetTransportPin,
    WriteCcc,
    WriteCertificate,
    WriteChuid,
    WriteSecurityObject,
    der,
    plan_issue,
    plan_register,
)
from shared.credential.template import Template
from shared.credential.template_reading import parse_template
from shared.piv.ccc import Ccc
from shared.piv.chuid import NO_EXPIRY, Chuid
from shared.piv.fascn import FascN
from shared.piv.ids import Algorithm, ManagementAlgorithm, Origin, PinPolicyId, Slot, TouchPolicyId
from shared.piv.inspect import CardFacts, ReferenceFacts, SlotFacts
from shared.piv.profiles import YUBIKEY_4, YUBIKEY_5_7, Answers
from shared.piv.publickey import PublicKey
from shared.piv.select import Selected
from shared.piv.vendor import SlotMetadata

S = TypeVar("S")

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
slot = "9C"
algorithm = "P-256"
ca = "built-in"
profile = "signature"
subject = "CN=${user.name}"
"""
TEMPLATE = parse_template(TEXT)
A, C = Slot.AUTHENTICATION, Slot.SIGNATURE
RECORD_ID = RecordId(UUID("7b0f1b51-9a06-4c7c-8d1d-0f7f3a3f6a10"))
OURS = SecretVersion(1)
WHEN_NEW: tuple[type, ...] = (
    Own, WriteChuid, WriteCcc, Generate, Generate, SetTransportPin, RotatePuk, Request, Request,
    WriteCertificate, WriteCertificate, WriteSecurityObject, ReadBack,
)  # fmt: skip
KEYS: dict[Slot, PublicKey] = {slot: ec.generate_private_key(ec.SECP256R1()).public_key() for slot in (A, C)}
OTHER_KEY: PublicKey = ec.generate_private_key(ec.SECP256R1()).public_key()
REQUEST_IDS = {A: RequestId(UUID(int=10)), C: RequestId(UUID(int=12))}


def facts(*, ours: bool = False, shown: dict[Slot, PublicKey] | None = None) -> CardFacts:
    """Return what a card says: with our CHUID and a CCC, and with the keys that its metadata shows."""
    made = CardFacts(
        profile=YUBIKEY_4 if shown is None else YUBIKEY_5_7,
        answers=Answers(metadata=shown is not None),
        selected=Selected(identifier=b""),
    )
    if ours:
        chuid = Chuid(fasc_n=FascN(), guid=RECORD_ID, expires=None)  # type: ignore[arg-type]  # not looked at
        made = replace(made, chuid=chuid, ccc=Ccc(card_id=bytes(14)))
    return replace(
        made, slots={slot: SlotFacts(metadata=_metadata((shown or {}).get(slot))) for slot in (A, C)}
    )


def _metadata(key: PublicKey | None) -> SlotMetadata | None:
    if key is None:
        return None
    return SlotMetadata(
        algorithm=Algorithm.P256,
        pin_policy=PinPolicyId.ONCE,
        touch_policy=TouchPolicyId.NEVER,
        origin=Origin.GENERATED,
        public_key=key,
    )


def key(slot: Slot, state: KeyState = KeyState.PROVEN) -> KeyRecord:
    public = b"" if state is KeyState.INTENDED else der(KEYS[slot])
    return KeyRecord(slot=slot, algorithm=Algorithm.P256, state=state, public_key=public)


def certificate(slot: Slot, state: CertificateState, **changes: object) -> CertificateRecord:
    profile = {A: "smart-card-logon", C: "signature"}[slot]
    made = CertificateRecord(
        request_id=REQUEST_IDS[slot],
        slot=slot,
        connection="built-in",
        profile=profile,
        public_key=der(KEYS[slot]),
        state=state,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # fields of it


def record(
    *,
    management: SecretRecord | None = None,
    keys: Sequence[KeyRecord] = (),
    certificates: Sequence[CertificateRecord] = (),
    algorithm: ManagementAlgorithm = ManagementAlgorithm.TDES,
) -> CardRecord:
    return CardRecord(
        record_id=RECORD_ID,
        state=State.REGISTERED,
        profile="yubikey-4",
        serial=None,
        virtual=True,
        management_algorithm=algorithm,
        management_key=management or SecretRecord(proven=OURS),
        puk=SecretRecord(proven=FACTORY),
        pin=PinState.FACTORY,
        keys={each.slot: each for each in keys},
        certificates=tuple(certificates),
    )


def steps(
    seen: CardFacts, known: CardRecord | None, *, generation: int = 1, text: str = TEXT
) -> list[plan.Step]:
    return list(plan_issue(template=parse_template(text), generation=generation, facts=seen, record=known))


def kinds(found: Sequence[plan.Step]) -> tuple[type, ...]:
    return tuple(type(step) for step in found)


def of_kind(found: Sequence[plan.Step], kind: type[S]) -> list[S]:
    return [step for step in found if isinstance(step, kind)]


def test_a_new_card_gets_everything() -> None:
    found = steps(facts(), None)
    assert kinds(found) == WHEN_NEW
    assert found[0] == Own(algorithm=ManagementAlgorithm.TDES, generation=1)


def test_the_best_management_key_of_the_card_or_the_templates() -> None:
    (own,) = of_kind(steps(facts(shown={}), None), Own)
    assert own == Own(algorithm=ManagementAlgorithm.AES256, generation=1)
    (own,) = of_kind(steps(facts(shown={}), None, text='management-key = "AES-128"\n' + TEXT), Own)
    assert own == Own(algorithm=ManagementAlgorithm.AES128, generation=1)


def test_a_card_that_is_done_only_gets_pin_puk_and_what_is_checked() -> None:
    """PIN and PUK were used by nobody knows whom: they are always set again."""
    known = record(
        keys=[key(A), key(C)],
        certificates=[certificate(A, CertificateState.ISSUED), certificate(C, CertificateState.CONFIRMED)],
    )
    found = steps(facts(ours=True), known)
    assert kinds(found) == WHEN_NEW[5:]
    assert [step.reuse for step in of_kind(found, Request)] == list(REQUEST_IDS.values())


@pytest.mark.parametrize(
    "management",
    [
        SecretRecord(proven=FACTORY),
        SecretRecord(proven=FACTORY, pending=OURS),
        SecretRecord(proven=OURS, pending=SecretVersion(2)),
        SecretRecord(proven=None, pending=OURS),
        SecretRecord(proven=SecretVersion(2)),
    ],
)
def test_a_management_key_that_is_not_proven_or_not_the_newest_is_set(management: SecretRecord) -> None:
    generation = 1 if management.proven != SecretVersion(2) else 3
    found = steps(facts(ours=True), record(management=management), generation=generation)
    assert of_kind(found, Own) == [Own(algorithm=ManagementAlgorithm.TDES, generation=generation)]


def test_a_card_of_ours_keeps_the_algorithm_of_its_management_key() -> None:
    known = record(algorithm=ManagementAlgorithm.AES128)
    assert of_kind(steps(facts(ours=True), known), Own) == []
    (own,) = of_kind(steps(facts(ours=True), known, generation=2), Own)
    assert own == Own(algorithm=ManagementAlgorithm.AES128, generation=2)


def test_retry_counters_are_set_only_while_factory_values_are_in_force() -> None:
    text = TEXT + "\n[pin]\ntries = 5\npuk-tries = 4\n"
    wanted = [SetRetries(pin_tries=5, puk_tries=4)]
    assert of_kind(steps(facts(), None, text=text), SetRetries) == wanted
    cut = record(management=SecretRecord(proven=FACTORY, pending=OURS))
    assert of_kind(steps(facts(ours=True), cut, text=text), SetRetries) == wanted
    assert of_kind(steps(facts(ours=True), record(), text=text), SetRetries) == []
    assert of_kind(steps(facts(), None), SetRetries) == []


@pytest.mark.parametrize(
    ("total", "wanted"),
    [((5, 4), []), ((5, 3), [(5, 4)]), ((3, 4), [(5, 4)]), ((None, None), [(5, 4)])],
)
def test_a_card_of_ours_gets_other_counters_than_it_says_it_has(
    total: tuple[int | None, int | None], wanted: list[tuple[int, int]]
) -> None:
    text = TEXT + "\n[pin]\ntries = 5\npuk-tries = 4\n"
    told = replace(
        facts(ours=True),
        pin=ReferenceFacts(tries_total=total[0]),
        puk=ReferenceFacts(tries_total=total[1]),
    )
    found = of_kind(steps(told, record(), text=text), ChangeRetries)
    assert [(step.pin_tries, step.puk_tries) for step in found] == wanted
    assert all(step.line.key == "retries" for step in found)
    assert of_kind(steps(told, record()), ChangeRetries) == []
    assert of_kind(steps(facts(), None, text=text), ChangeRetries) == []


def test_the_chuid_of_a_card_in_stock_is_written_anew() -> None:
    known = facts(ours=True)
    assert known.chuid is not None
    stocked = replace(known, chuid=replace(known.chuid, expires=NO_EXPIRY))
    assert of_kind(steps(stocked, record()), WriteChuid) == [WriteChuid()]
    assert of_kind(steps(known, record()), WriteChuid) == []


# --- a card for stock -----------------------------------------------------------------------------------


def stock(
    facts: CardFacts, record: CardRecord | None, template: Template | None = None, generation: int = 1
) -> list[type]:
    planned = plan_register(template=template, generation=generation, facts=facts, record=record)
    return [type(step) for step in planned]


LOCKED = [SetTransportPin, RotatePuk, ReadBack]


def test_a_blank_card_is_owned_and_nothing_else_is_on_it() -> None:
    assert stock(facts(), None) == [Own, WriteChuid, WriteCcc, *LOCKED]
    (own, *_) = plan_register(template=None, generation=3, facts=facts(shown={}), record=None)
    assert own == Own(algorithm=ManagementAlgorithm.AES256, generation=3), "the best that the card has"


def test_a_template_says_how_a_card_is_owned() -> None:
    text = TEXT.replace("\n\n", '\nmanagement-key = "AES-128"\n\n', 1) + "\n[pin]\ntries = 5\npuk-tries = 4\n"
    planned = plan_register(template=parse_template(text), generation=1, facts=facts(shown={}), record=None)
    assert planned[:2] == (
        Own(algorithm=ManagementAlgorithm.AES128, generation=1),
        SetRetries(pin_tries=5, puk_tries=4),
    )


def test_a_registration_that_was_cut_does_what_is_missing() -> None:
    pending = record(management=SecretRecord(proven=FACTORY, pending=OURS))
    assert stock(facts(), pending) == [Own, WriteChuid, WriteCcc, *LOCKED]
    assert stock(facts(ours=True), pending) == [Own, WriteCcc, *LOCKED]
    chuid = facts(ours=True).chuid
    assert chuid is not None
    stocked = replace(facts(ours=True), chuid=replace(chuid, expires=NO_EXPIRY))
    assert stock(stocked, record()) == LOCKED
    assert stock(replace(stocked, ccc=None), record()) == [WriteCcc, *LOCKED]


def test_another_guid_is_overwritten() -> None:
    seen = facts(ours=True)
    assert seen.chuid is not None
    other = replace(seen, chuid=replace(seen.chuid, guid=UUID(int=1)))
    assert of_kind(steps(other, record()), WriteChuid) == [WriteChuid()]


def test_the_ccc_of_the_factory_is_replaced() -> None:
    """A card that comes with one: until the management key is proven to be ours, it is not known whose it is."""
    cut = record(management=SecretRecord(proven=FACTORY, pending=OURS))
    assert of_kind(steps(facts(ours=True), cut), WriteCcc) == [WriteCcc()]
    assert of_kind(steps(facts(ours=True), record()), WriteCcc) == []


@pytest.mark.parametrize("state", list(KeyState))
@pytest.mark.parametrize("metadata", ["none", "same", "other", "empty"])
@pytest.mark.parametrize("requested", [False, True])
def test_when_a_key_is_made_anew(state: KeyState, metadata: str, *, requested: bool) -> None:
    """The card's own word counts; where it says nothing, a proof, or a request that was signed."""
    shown: dict[Slot, PublicKey] | None = {
        "none": None,
        "same": {A: KEYS[A]},
        "other": {A: OTHER_KEY},
        "empty": {},
    }[metadata]
    request = (
        [certificate(A, CertificateState.REQUESTED)] if requested and state is not KeyState.INTENDED else []
    )
    known = record(
        keys=[key(A, state)],
        certificates=request,
        algorithm=ManagementAlgorithm.TDES if shown is None else ManagementAlgorithm.AES256,
    )
    found = steps(facts(ours=True, shown=shown), known)
    made = {step.spec.slot for step in of_kind(found, Generate)}
    held = state is not KeyState.INTENDED and (
        metadata == "same" or (metadata == "none" and (state is KeyState.PROVEN or requested))
    )
    assert made == ({C} if held else {A, C})
    first = of_kind(found, Request)[0]
    assert (first.reuse is not None) == (held and bool(request))


def test_a_key_of_another_algorithm_is_made_anew() -> None:
    known = record(keys=[replace(key(A), algorithm=Algorithm.P384)])
    assert len(of_kind(steps(facts(ours=True), known), Generate)) == 2


@pytest.mark.parametrize("changes", [{"connection": "other"}, {"profile": "piv-authentication"}])
def test_a_certificate_of_another_authority_or_profile_is_not_used(changes: dict[str, str]) -> None:
    known = record(keys=[key(A)], certificates=[certificate(A, CertificateState.ISSUED, **changes)])
    found = steps(facts(ours=True), known)
    assert [step.reuse for step in of_kind(found, Request)] == [None, None]
    assert of_kind(found, Revoke) == [Revoke(certificate=known.certificates[0])]


@pytest.mark.parametrize("action", list(CertificateAction))
@pytest.mark.parametrize("state", [CertificateState.REQUESTED, CertificateState.ISSUED])
def test_what_is_on_its_way_to_be_revoked_is_not_gone_on_with(
    state: CertificateState, action: CertificateAction
) -> None:
    """Its key is made again, and its authority is not asked a second time."""
    task = CertificateTask(
        request_id=REQUEST_IDS[A],
        record_id=RECORD_ID,
        connection="built-in",
        action=action,
        reason="superseded",
        asked_at=NEVER,
        next_at=NEVER,
    )
    plain = record(keys=[key(A), key(C)], certificates=[certificate(A, state), certificate(C, state)])
    found = steps(facts(ours=True, shown=KEYS), replace(plain, tasks=(task,)))
    revoking = action is CertificateAction.REVOKE
    assert [step.spec.slot for step in of_kind(found, Generate)] == ([A] if revoking else [])
    assert [step.reuse for step in of_kind(found, Request)] == [
        None if revoking else REQUEST_IDS[A],
        REQUEST_IDS[C],
    ]
    assert of_kind(found, Revoke) == []


@pytest.mark.parametrize("state", list(CertificateState))
@pytest.mark.parametrize("key_state", [KeyState.INTENDED, None])
def test_what_may_be_live_and_is_not_used_is_revoked(
    state: CertificateState, key_state: KeyState | None
) -> None:
    """The record of the certificate decides: the key that it was for may be forgotten by now."""
    keys = [key(A, key_state)] if key_state is not None else []
    known = record(keys=keys, certificates=[certificate(A, state)])
    found = steps(facts(ours=True), known)
    assert len(of_kind(found, Revoke)) == (state in plan.LIVE)
    order = kinds(found)
    if Revoke in order:
        assert order.index(RotatePuk) < order.index(Revoke) < order.index(Request)


@given(
    management=st.sampled_from(
        [SecretRecord(proven=FACTORY), SecretRecord(proven=FACTORY, pending=OURS), SecretRecord(proven=OURS)]
    ),
    states=st.lists(st.sampled_from([None, *KeyState]), min_size=2, max_size=2),
    issued=st.lists(st.sampled_from([None, *CertificateState]), min_size=2, max_size=2),
    ours=st.booleans(),
)
def test_every_plan_has_one_order_and_does_everything(
    management: SecretRecord,
    states: list[KeyState | None],
    issued: list[CertificateState | None],
    *,
    ours: bool,
) -> None:
    keys = [key(slot, state) for slot, state in zip((A, C), states, strict=True) if state is not None]
    certificates = [
        certificate(slot, state) for slot, state in zip((A, C), issued, strict=True) if state is not None
    ]
    known = record(management=management, keys=keys, certificates=certificates)
    found = steps(facts(ours=ours), known)
    order = (
        Own, SetRetries, WriteChuid, WriteCcc, Generate, SetTransportPin, RotatePuk, Revoke, Request,
        WriteCertificate, WriteSecurityObject, ReadBack,
    )  # fmt: skip
    places = [order.index(type(step)) for step in found]
    assert places == sorted(places)
    assert kinds(found)[-8:] == WHEN_NEW[-8:] or Revoke in kinds(found)
    assert found == steps(facts(ours=ours), known), "the same card gets the same plan"
    generated = {step.spec.slot for step in of_kind(found, Generate)}
    for request in of_kind(found, Request):
        assert not (request.reuse and request.spec.slot in generated)
    reused = {step.reuse for step in of_kind(found, Request)}
    revoked = {step.certificate.request_id for step in of_kind(found, Revoke)}
    live = {each.request_id for each in certificates if each.state in plan.LIVE}
    assert live == (reused | revoked) - {None}, "every certificate is used or revoked"
    assert not reused & revoked


def test_every_step_can_be_told() -> None:
    text = TEXT + "\n[pin]\ntries = 5\npuk-tries = 4\n"
    revoke = Revoke(certificate=certificate(A, CertificateState.ISSUED))
    lines = [step.line for step in (*steps(facts(), None, text=text), revoke)]
    assert len({line.key for line in lines}) == len(
        {type(step) for step in (*steps(facts(), None, text=text), revoke)}
    )
    assert ("key", {"slot": "9A", "algorithm": "P-256"}) in [(line.key, line.facts) for line in lines]
