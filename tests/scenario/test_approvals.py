"""A second person agrees before a card becomes usable: asked for, approved with a card, spent once."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from server.connectors.directory.memory import MemoryDirectory
from shared import errors
from shared.approvals import ApprovalState
from shared.credential.approval import Way
from shared.credential.lifecycle import OperationKind
from shared.piv.ids import ProfileName
from tests.scenario.approving import ADMINISTRATOR, Second
from tests.scenario.lab import ALICE, BOB, Holder, Lab
from tests.scenario.templates import EMPLOYEE

PIN = "824650"
GUARDED = f"""{EMPLOYEE}
[[approval]]
operations = ["issue", "activate", "resume", "renew", "reissue", "update", "unblock"]
"""


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    people = {"people": MemoryDirectory([BOB, ALICE])}
    made = await Lab.start(template=GUARDED, adapt=lambda services: replace(services, directories=people))
    await made.insert(ProfileName.YUBIKEY_5_7)
    yield made
    await made.close()


async def issue(lab: Lab, subject: str = BOB.holder) -> errors.KioskError | None:
    return (await lab.perform(OperationKind.ISSUE, subject=subject, template="employee")).error


async def test_nothing_is_written_before_somebody_agreed(lab: Lab) -> None:
    carol = await Second.hired(lab)
    refused = await issue(lab)
    assert isinstance(refused, errors.ApprovalNeeded)
    assert refused.facts["operation"] == "issue"
    assert not await lab.store.credentials.of_holder(BOB.holder)
    asked = await carol.ask(Way.ISSUE, holder=BOB.holder, template="employee")
    assert isinstance(await issue(lab), errors.ApprovalNeeded), "asked is not approved"
    approved = await carol.approve(asked.request_id)
    assert [each.name for each in approved.signed] == ["Carol Reed"]
    assert await issue(lab) is None
    spent = await carol.approvals.show(lab.backend._caller, asked.request_id)
    assert spent.state is ApprovalState.SPENT


async def test_an_approval_is_good_for_one_card(lab: Lab) -> None:
    carol = await Second.hired(lab)
    await carol.agree(Way.ISSUE, holder=BOB.holder, template="employee")
    assert await issue(lab) is None
    await lab.readers.pull("Reader 1")
    await lab.insert(ProfileName.YUBIKEY_5_7, serial=1002, name="second")
    assert isinstance(await issue(lab), errors.ApprovalNeeded)
    assert isinstance(await issue(lab, ALICE.holder), errors.ApprovalNeeded)


async def test_a_card_with_roles_takes_a_second_person_whatever_its_template_says(lab: Lab) -> None:
    await lab.apply(EMPLOYEE.replace('name = "employee"', 'name = "operator"\noperator = true'))

    async def make() -> errors.KioskError | None:
        outcome = await lab.perform(
            OperationKind.ISSUE, subject=BOB.holder, template="operator", roles=[ADMINISTRATOR]
        )
        return outcome.error

    carol = await Second.hired(lab)
    assert isinstance(await make(), errors.ApprovalNeeded)
    await carol.agree(Way.ISSUE, holder=BOB.holder, template="operator", roles=(ADMINISTRATOR,))
    assert await make() is None
    activated = await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))
    assert isinstance(activated.error, errors.ApprovalNeeded)
    await carol.agree(Way.ACTIVATE, holder=BOB.holder)
    activated = await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))
    assert activated.error is None
