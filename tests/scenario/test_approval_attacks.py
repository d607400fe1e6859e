"""What gets round a second person: nothing that is tried here."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from server.authority.approved import ApprovalPolicy
from server.authority.policy import Principal
from server.connectors.directory.memory import MemoryDirectory
from server.ports.approvals import ApprovalRecord, ApprovalState
from server.ports.store import OperatorState
from shared import errors
from shared.approval import read_intent
from shared.approvals import ApprovalView, ApprovalWish
from shared.credential.approval import Way
from shared.credential.lifecycle import OperationKind
from shared.credential.model import HolderId, StationId
from shared.logon import LogonPurpose, read_logon_text
from shared.piv.ids import ProfileName
from shared.roles import PRESETS, union
from shared.sessions import LogonProof
from shared.station_profile import Face, StationProfile
from tests.conftest import FixedClock
from tests.scenario.approving import Second, logged_on, service
from tests.scenario.lab import ALICE, BOB, Holder, Lab
from tests.scenario.templates import EMPLOYEE
from tests.server.store.examples import EVIDENCE

GUARDED = f"""{EMPLOYEE}
[[approval]]
operations = ["issue", "activate", "reissue", "unblock"]
valid-for-hours = 2
"""
PIN = "824650"
BADGE: dict[str, Any] = {"holder": BOB.holder, "template": "employee"}


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    people = {"people": MemoryDirectory([BOB, ALICE])}
    made = await Lab.start(
        template=GUARDED,
        clock=FixedClock(),
        adapt=lambda services: replace(services, directories=people),
    )
    await made.insert(ProfileName.YUBIKEY_5_7)
    yield made
    await made.close()


@pytest.fixture
async def carol(lab: Lab) -> Second:
    return await Second.hired(lab)


async def issue(lab: Lab, subject: str = BOB.holder, template: str = "employee") -> str:
    """Try to issue; return why a second person is still needed, or nothing."""
    error = (await lab.perform(OperationKind.ISSUE, subject=subject, template=template)).error
    assert error is None or isinstance(error, errors.ApprovalNeeded), error
    return str(error.facts["why"]) if error is not None else ""


def later(lab: Lab, **times: float) -> None:
    clock = lab.services.clock
    assert isinstance(clock, FixedClock)
    clock.move(timedelta(**times))


def edit(lab: Lab, request: ApprovalView, change: Callable[[ApprovalRecord], ApprovalRecord]) -> None:
    """Do what somebody does who can write to the database."""
    kept = lab.store._book.state.approvals
    kept[request.request_id] = change(kept[request.request_id])


# --- who approves ---------------------------------------------------------------------------------------


async def test_whoever_asks_does_not_approve(lab: Lab, carol: Second) -> None:
    logged_on(lab, carol)
    asked = await carol.ask(Way.ISSUE, **BADGE)
    with pytest.raises(errors.ApprovalRefused):
        await carol.approve(asked.request_id)
    assert await issue(lab)


async def test_whoever_approved_does_not_carry_it_out(lab: Lab, carol: Second) -> None:
    await carol.agree(Way.ISSUE, **BADGE)
    logged_on(lab, carol)
    assert "may not carry it out" in await issue(lab)
    lab.engine._services = replace(lab.services, approvals=ApprovalPolicy(approver_executes=True))
    assert await issue(lab) == ""


async def test_nobody_approves_for_themselves(lab: Lab, carol: Second) -> None:
    book = lab.store._book.state.operators
    book[carol.operator.operator_id] = replace(book[carol.operator.operator_id], holder=BOB.holder)
    asked = await carol.ask(Way.ISSUE, **BADGE)
    with pytest.raises(errors.ApprovalRefused, match="themselves"):
        await carol.approve(asked.request_id)


async def test_who_may_not_do_it_does_not_approve_it(lab: Lab, carol: Second) -> None:
    dave = await Second.hired(lab, "Dave", "restricted")
    asked = await carol.ask(Way.ISSUE, **BADGE)
    with pytest.raises(errors.NotAllowed):
        await dave.approve(asked.request_id)
    assert await issue(lab)


async def test_two_cards_of_one_person_are_one_approval(lab: Lab) -> None:
    await lab.apply(GUARDED.replace("valid-for-hours", "count = 2\nvalid-for-hours"), version=2)
    carol, twin = await Second.hired(lab), await Second.hired(lab, "Carol's other card")
    book = lab.store._book.state.operators
    for each in (carol, twin):
        one = book[each.operator.operator_id]
        lab.store._book.state.operators[one.operator_id] = replace(one, holder=HolderId("carol"))
    asked = await carol.agree(Way.ISSUE, **BADGE)
    with pytest.raises(errors.ApprovalRefused, match="already"):
        await twin.approve(asked.request_id)
    assert "1 of 2" in await issue(lab)
    await (await Second.hired(lab, "Dave")).approve(asked.request_id)
    assert await issue(lab) == ""


@pytest.mark.parametrize("how", ["deactivated", "suspended", "role"])
async def test_who_counts_no_more_when_it_is_spent_did_not_approve(lab: Lab, carol: Second, how: str) -> None:
    await carol.agree(Way.ISSUE, **BADGE)
    operators, who = lab.store.operators, carol.operator.operator_id
    if how == "deactivated":
        await operators.set_state(who, OperatorState.INACTIVE, EVIDENCE)
    elif how == "suspended":
        await carol.dismissed()
    else:
        await operators.set_roles(who, {"restricted"}, EVIDENCE)
    assert "0 of 1" in await issue(lab)


async def test_stations_are_kept_apart_by_a_switch(lab: Lab, carol: Second) -> None:
    lab.services = replace(lab.services, approvals=ApprovalPolicy(same_station=False))
    lab.engine._services = lab.services
    carol.approvals = service(lab)
    asked = await carol.ask(Way.ISSUE, **BADGE)
    elsewhere, carol.caller = carol.caller, lab.backend._caller
    with pytest.raises(errors.ApprovalRefused, match="station"):
        await carol.approve(asked.request_id)
    carol.caller = elsewhere
    await carol.approve(asked.request_id)
    lab.backend._caller = replace(lab.backend._caller, station_id=elsewhere.station_id)
    assert "not at this station" in await issue(lab)


@pytest.mark.parametrize(
    "profile",
    [
        StationProfile(faces=frozenset({Face.SELF_SERVICE})),
        StationProfile(templates=frozenset({"visitor"})),
        StationProfile(operations=frozenset({OperationKind.UNBLOCK})),
    ],
    ids=["for holders", "another template", "another operation"],
)
async def test_where_it_may_not_be_done_it_is_not_approved(carol: Second, profile: StationProfile) -> None:
    """A kiosk that was taken over has the card and the PIN of an operator who came for something else."""
    asked = await carol.ask(Way.ISSUE, **BADGE)
    text = await carol.approvals.challenge(carol.caller, asked.request_id, "lab")
    carol.caller = replace(carol.caller, profile=profile)
    with pytest.raises(errors.NotAllowed):
        await carol.approve(asked.request_id)
    with pytest.raises(errors.NotAllowed):
        await carol.approvals.approve(carol.caller, asked.request_id, carol.clerk.person.prove(text), None)


# --- what is signed -------------------------------------------------------------------------------------


async def test_a_challenge_is_for_one_station_one_request_and_once(lab: Lab, carol: Second) -> None:
    asked, other = await carol.ask(Way.ISSUE, **BADGE), await carol.ask(Way.ISSUE, **BADGE)
    approvals, card = carol.approvals, carol.clerk.person

    async def text() -> bytes:
        return await approvals.challenge(carol.caller, asked.request_id, "lab")

    elsewhere = replace(carol.caller, station_id=StationId(uuid4()))
    with pytest.raises(errors.LogonRefused):
        await approvals.approve(elsewhere, asked.request_id, card.prove(await text()), None)
    later(lab, minutes=2)  # failures wait
    with pytest.raises(errors.LogonRefused):
        await approvals.approve(carol.caller, other.request_id, card.prove(await text()), None)
    later(lab, minutes=2)
    proof = card.prove(await text())
    await approvals.approve(carol.caller, asked.request_id, proof, None)
    later(lab, minutes=2)
    with pytest.raises(errors.LogonRefused):
        await approvals.approve(carol.caller, asked.request_id, proof, None)
    late = card.prove(await approvals.challenge(carol.caller, other.request_id, "lab"))
    later(lab, minutes=2)
    with pytest.raises(errors.LogonRefused):
        await approvals.approve(carol.caller, other.request_id, late, None)


async def test_a_signature_for_a_log_on_approves_nothing(carol: Second) -> None:
    asked = await carol.ask(Way.ISSUE, **BADGE)
    text = read_logon_text(await carol.approvals.challenge(carol.caller, asked.request_id, "lab"))
    assert text.purpose is LogonPurpose.APPROVE
    assert text.intent == asked.intent.digest
    log_on = bytes(replace(text, purpose=LogonPurpose.LOG_ON, intent=b""))
    with pytest.raises(errors.LogonRefused):
        await carol.approvals.approve(carol.caller, asked.request_id, carol.clerk.person.prove(log_on), None)


async def test_an_agents_signature_approves_nothing(carol: Second) -> None:
    asked = await carol.ask(Way.ISSUE, **BADGE)
    text = await carol.approvals.challenge(carol.caller, asked.request_id, "lab")
    person = carol.clerk.person
    signature = person.key.sign(text, ec.ECDSA(SHA256()))  # what an agent makes of any bytes
    proof = LogonProof(text=text, certificate=person.certificate, signature=signature)
    with pytest.raises(errors.LogonRefused):
        await carol.approvals.approve(carol.caller, asked.request_id, proof, None)


@pytest.mark.parametrize("part", ["intent", "text", "certificate", "signature"])
async def test_one_byte_of_the_record_that_was_edited_gives_nothing(
    lab: Lab, carol: Second, part: str
) -> None:
    approved = await carol.agree(Way.ISSUE, **BADGE)

    def flipped(content: bytes) -> bytes:
        return content[:-1] + bytes((content[-1] ^ 1,))

    def change(kept: ApprovalRecord) -> ApprovalRecord:
        if part == "intent":
            return replace(kept, intent=flipped(kept.intent))
        (signed,) = kept.signatures
        edited: dict[str, Any] = {part: flipped(getattr(signed, part))}
        return replace(kept, signatures=(replace(signed, **edited),))

    edit(lab, approved, change)
    assert await issue(lab)
    if part == "intent":  # it hides no other
        another = await carol.ask(Way.ISSUE, **BADGE)
        newest, *_ = await carol.approvals.all()
        assert newest.request_id == another.request_id


@pytest.mark.parametrize(
    "changed",
    [
        {"holder": ALICE.holder},
        {"template_digest": b"\x05" * 32},
        {"roles": ("normal",)},
        {"count": 1, "by": "colleagues"},
    ],
    ids=["holder", "template", "roles", "by"],
)
async def test_an_intent_that_was_rewritten_has_no_signature(
    lab: Lab, carol: Second, changed: dict[str, Any]
) -> None:
    approved = await carol.agree(Way.ISSUE, **BADGE)
    if "by" in changed:
        from shared.credential.approval import Approvers  # beside its only use

        changed = {**changed, "by": Approvers(changed["by"])}
    edit(lab, approved, lambda kept: replace(kept, intent=bytes(replace(approved.intent, **changed))))
    assert await issue(lab, changed.get("holder", BOB.holder))


# --- when and how often ---------------------------------------------------------------------------------


async def test_it_expires_whatever_the_row_says(lab: Lab, carol: Second) -> None:
    approved = await carol.agree(Way.ISSUE, **BADGE)
    edit(lab, approved, lambda kept: replace(kept, expires_at=kept.expires_at + timedelta(days=9)))
    later(lab, hours=3)
    assert await issue(lab)


async def test_one_that_expired_is_over_with_evidence(lab: Lab, carol: Second) -> None:
    asked = await carol.ask(Way.ISSUE, **BADGE)
    later(lab, hours=3)
    with pytest.raises(errors.ApprovalRefused, match="expired"):
        await carol.approve(asked.request_id)
    events = [each.record.event for each in await lab.store.audit.about(str(asked.request_id))]
    assert events == ["approval-asked", "approval-expired"]


@pytest.mark.parametrize("end", [ApprovalState.SPENT, ApprovalState.DECLINED, ApprovalState.WITHDRAWN])
async def test_a_row_that_is_set_back_to_open_is_not(lab: Lab, carol: Second, end: ApprovalState) -> None:
    approved = await carol.agree(Way.ISSUE, **BADGE)
    if end is ApprovalState.SPENT:
        assert await issue(lab) == ""
        await lab.readers.pull("Reader 1")
        await lab.insert(ProfileName.YUBIKEY_5_7, serial=1002, name="second")
    elif end is ApprovalState.DECLINED:
        await carol.approvals.decline(carol.caller, approved.request_id, "changed my mind")
    else:
        await carol.approvals.withdraw(lab.backend._caller, approved.request_id)
    edit(
        lab,
        approved,
        lambda kept: replace(kept, state=ApprovalState.OPEN, spent_by=None, spent_on=None, spent_at=None),
    )
    assert await issue(lab)


async def test_what_was_declined_says_why_and_is_approved_no_more(carol: Second) -> None:
    asked = await carol.ask(Way.ISSUE, **BADGE)
    declined = await carol.approvals.decline(carol.caller, asked.request_id, "Bob leaves")
    assert (declined.state, declined.why) == (ApprovalState.DECLINED, "Bob leaves")
    with pytest.raises(errors.ApprovalRefused):
        await carol.approve(asked.request_id)
    with pytest.raises(errors.Invalid):
        await carol.approvals.decline(carol.caller, (await carol.ask(Way.ISSUE, **BADGE)).request_id, " ")


async def test_only_who_asked_withdraws(lab: Lab, carol: Second) -> None:
    asked = await carol.ask(Way.ISSUE, **BADGE)
    logged_on(lab, carol)
    with pytest.raises(errors.ApprovalRefused):
        await carol.approvals.withdraw(lab.backend._caller, asked.request_id)


# --- for what -------------------------------------------------------------------------------------------


async def test_it_is_for_one_holder_and_one_version(lab: Lab, carol: Second) -> None:
    await carol.agree(Way.ISSUE, **BADGE)
    assert await issue(lab, ALICE.holder)
    await lab.apply(GUARDED.replace("Employee badge", "Employee card"), version=2)
    assert "template digest" in await issue(lab)


async def test_it_is_for_one_card_where_one_was_named(lab: Lab, carol: Second) -> None:
    assert (await lab.perform(OperationKind.REGISTER)).error is None
    (record_id,) = lab.store._book.state.cards.keys() - {carol.clerk.lease.record_id}
    await carol.agree(Way.ISSUE, card=str(record_id), **BADGE)
    await lab.readers.pull("Reader 1")
    await lab.insert(ProfileName.YUBIKEY_5_7, serial=1002, name="second")
    assert "card" in await issue(lab)
    await lab.readers.pull("Reader 1")
    await lab.readers.insert("Reader 1", "card")
    assert await issue(lab) == ""


async def test_it_is_not_for_the_next_credential_on_the_same_card(lab: Lab, carol: Second) -> None:
    await carol.agree(Way.ISSUE, **BADGE)
    assert await issue(lab) == ""
    await carol.agree(Way.ACTIVATE, holder=BOB.holder)
    assert (await lab.perform(OperationKind.RETIRE, reason="replaced")).error is None
    await carol.agree(Way.ISSUE, **BADGE)
    assert await issue(lab) == ""
    activated = (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))).error
    assert isinstance(activated, errors.ApprovalNeeded)
    assert "credential" in str(activated.facts["why"])


async def test_a_template_that_asks_from_now_on_asks_for_what_was_issued_before(lab: Lab) -> None:
    await lab.apply(EMPLOYEE, version=2)
    assert await issue(lab) == ""
    await Second.hired(lab)
    await lab.apply(GUARDED.replace("Employee badge", "Employee card"), version=3)
    activated = (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))).error
    assert isinstance(activated, errors.ApprovalNeeded)


async def test_nobody_asks_for_what_they_may_not_do(lab: Lab, carol: Second) -> None:
    caller = lab.backend._caller
    with pytest.raises(errors.LogonNeeded):
        await carol.approvals.request(replace(caller, principal=None), ApprovalWish(way=Way.ISSUE, **BADGE))
    restricted = Principal(actor="dave", permissions=union([PRESETS["restricted"]]))
    with pytest.raises(errors.NotAllowed):
        await carol.approvals.request(
            replace(caller, principal=restricted), ApprovalWish(way=Way.ISSUE, **BADGE)
        )
    await lab.apply(EMPLOYEE.replace('name = "employee"', 'name = "plain"'))
    with pytest.raises(errors.Invalid, match="takes no approval"):
        await carol.ask(Way.ISSUE, holder=BOB.holder, template="plain")
    with pytest.raises(errors.Invalid):
        await carol.ask(Way.NEW_KEY_GENERATION, card=str(uuid4()))


async def test_what_is_shown_is_what_is_signed(lab: Lab, carol: Second) -> None:
    asked = await carol.ask(Way.ISSUE, note="For the new desk", **BADGE)
    shown = await carol.approvals.show(lab.backend._caller, asked.request_id)
    assert read_intent(shown.content) == shown.intent == asked.intent
    assert (shown.intent.holder_name, shown.intent.detail) == (BOB.name, "For the new desk")
