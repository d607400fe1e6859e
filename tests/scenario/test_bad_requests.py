"""Wrong people, wrong templates, wrong moments: refused with a clear error, before anything is touched."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from server.ports.store import AuditKind
from shared.credential.model import State
from shared.piv.ids import Ins, ProfileName
from shared.relay import OperationKind
from shared.virtual.faults import Fault, FaultKind
from tests.scenario.judging import (
    PIN,
    WatchedCard,
    active_card,
    evidence,
    give,
    issue,
    nothing_changes,
    put,
    said,
)
from tests.scenario.lab import ALICE, BOB, Holder, Lab
from tests.scenario.templates import EMPLOYEE

NEXT_PIN = "482615"


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    made = await Lab.start()
    yield made
    await made.close()


async def test_an_unknown_person(lab: Lab) -> None:
    card = await put(lab, WatchedCard.fresh())
    async with nothing_changes(lab):
        for subject in ("nobody", "", "*", "../../etc/passwd", "x" * 5000):
            outcome = await issue(lab, subject=subject)
            assert said(outcome, "unknown-holder") == (
                "There is no such person in the directory. Choose another person or another template."
            )
    assert card.writes == []
    assert evidence(lab)[-1].kind is AuditKind.REFUSED
    assert evidence(lab)[-1].event == "unknown-holder"


async def test_a_disabled_person(lab: Lab) -> None:
    card = await put(lab, WatchedCard.fresh())
    give(lab, replace(BOB, enabled=False))
    async with nothing_changes(lab):
        outcome = await issue(lab)
    assert said(outcome, "holder-disabled").startswith("The directory says that this person is disabled.")
    assert card.writes == []


async def test_a_person_without_what_the_template_needs(lab: Lab) -> None:
    card = await put(lab, WatchedCard.fresh())
    give(lab, replace(BOB, attributes={"mail": "bsmith@example.test"}))
    async with nothing_changes(lab):
        outcome = await issue(lab)
    assert said(outcome, "variable-missing").startswith(
        "The directory has no user.upn for this person, and the template needs it."
    )
    assert card.writes == []


async def test_an_unknown_template(lab: Lab) -> None:
    card = await put(lab, WatchedCard.fresh())
    async with nothing_changes(lab):
        for name in ("visitor", "", "EMPLOYEE", "employee' OR 1=1"):
            said(await issue(lab, template=name), "unknown-template")
    assert card.writes == []


@pytest.mark.parametrize(
    ("profile", "old", "new", "why"),
    [
        (ProfileName.YUBIKEY_4, '"P-256"', '"Ed25519"', "YubiKey 4 has no Ed25519 keys"),
        (ProfileName.YUBIKEY_5_4, '"P-256"', '"RSA-4096"', "has no RSA-4096 keys"),
        (ProfileName.UNKNOWN, '"9E"', '"95"', "slot 95"),
        (ProfileName.PLAIN, "", "", "no command that changes the management key"),
        (ProfileName.YUBIKEY_4, "title", 'management-key = "AES-256"\ntitle', "management key"),
        (ProfileName.UNKNOWN, "[[cert", "[pin]\ntries = 5\npuk-tries = 5\n[[cert", "sets retry counters"),
        (
            ProfileName.UNKNOWN,
            "[[cert",
            '[attestation]\nrequired = true\nroots = ["yubico"]\n[[cert',
            "cannot attest",
        ),
        (
            ProfileName.YUBIKEY_5_7,
            "[[cert",
            '[attestation]\nrequired = true\nroots = ["yubico"]\n[[cert',
            "root yubico",
        ),
        (ProfileName.YUBIKEY_5_7, '"people"', '"staff"', "there is no directory staff"),
        (ProfileName.YUBIKEY_5_7, '"built-in"', '"corporate"', "there is no certificate authority corporate"),
        (ProfileName.YUBIKEY_5_7, '"signature"', '"stamp"', "has no profile stamp"),
    ],
)
async def test_a_template_that_asks_for_what_is_not_possible(
    profile: ProfileName, old: str, new: str, why: str
) -> None:
    lab = await Lab.start(template=EMPLOYEE.replace(old, new, 1) if old else EMPLOYEE)
    try:
        card = await put(lab, WatchedCard.fresh(profile))
        async with nothing_changes(lab):
            outcome = await issue(lab)
        sentence = said(outcome, "template-impossible")
        assert why in sentence
        assert sentence.endswith("Ask an administrator to correct the template, or choose another one.")
        assert card.writes == []
    finally:
        await lab.close()


# --- what is not allowed --------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["server", "station"])
async def test_a_virtual_card_where_none_is_allowed(where: str) -> None:
    lab = await Lab.start(lab=where != "station")
    try:
        if where == "server":
            lab.engine._services = replace(lab.services, allow_virtual=False)
        await put(lab, WatchedCard.fresh())
        async with nothing_changes(lab):
            outcome = await issue(lab)
        assert said(outcome, "virtual-card-refused").startswith(
            "Virtual cards are for lab stations, and only where the server allows them."
        )
        assert outcome.commands == 0
    finally:
        await lab.close()


async def test_operations_that_the_state_of_the_card_forbids(lab: Lab) -> None:
    await put(lab, WatchedCard.fresh())
    async with nothing_changes(lab):
        said(await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN])), "unknown-card")
        said(await lab.perform(OperationKind.CHANGE_PIN, Holder([PIN], [NEXT_PIN])), "unknown-card")
    assert (await issue(lab)).error is None
    async with nothing_changes(lab):
        assert "not possible while the card is issued" in said(await issue(lab), "transition-forbidden")
        outcome = await lab.perform(OperationKind.CHANGE_PIN, Holder([PIN], [NEXT_PIN]))
        said(outcome, "transition-forbidden")


async def test_an_interrupted_issue_is_not_finished_for_somebody_else(lab: Lab) -> None:
    card = await put(lab, WatchedCard.fresh())
    give(lab, BOB, ALICE)
    card.faults.arm(Fault(kind=FaultKind.RESPONSE_LOST, ins=Ins.RESET_RETRY_COUNTER))
    said(await issue(lab), "card-lost")
    await lab.readers.insert("Reader 1", "card")
    async with nothing_changes(lab):
        outcome = await issue(lab, subject=ALICE.holder)
    assert said(outcome, "operation-interrupted") == (
        "The last operation on this card (“issue”) was cut, and it is for somebody else. "
        "Go on for the person that it was begun for, or use another card."
    )
    finished = await issue(lab)
    assert (finished.state, finished.facts["holder"]) == (State.ISSUED, BOB.name)


async def test_a_known_card_in_factory_state_gets_a_new_record(lab: Lab) -> None:
    """A stranger that copies a serial number must not be sent the real card's keys."""
    first = await active_card(lab)
    copy = await put(lab, WatchedCard.fresh(), "copy")
    seen = await lab.station.refresh("Reader 1")
    assert seen.record is not None
    assert seen.record.notices == ("known-card-in-factory-state",)
    assert (await issue(lab)).error is None
    assert copy.memory.management.value != first.memory.management.value
    assert copy.memory.puk.value != first.memory.puk.value
    assert any(record.event == "known card in factory state" for record in evidence(lab))
