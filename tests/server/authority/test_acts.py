"""Acts of administration that take a second person: tried, approved, done once."""

from dataclasses import dataclass, replace

import pytest

from server.authority.access import Caller
from server.authority.acts import Acts
from server.authority.approvals import Approvals
from server.authority.approved import ApprovalPolicy
from server.authority.keys import MasterKeyGenerations
from server.authority.operators import Operators
from server.authority.policy import unrestricted
from server.authority.services import TemplateText
from server.authority.templates import Templates
from server.connectors.keystore.memory import MemoryKeyStore
from server.ports.approvals import ApprovalState
from server.ports.store import StoredTemplate
from shared import errors
from shared.approvals import ApprovalView
from shared.credential.approval import ADMINISTRATIVE, Way
from shared.credential.model import HolderId, TemplateRef
from shared.credential.template_reading import parse_template
from shared.roles import Area, Grant, Level
from tests.scenario.lab import Lab
from tests.scenario.templates import EMPLOYEE
from tests.server.authority.logons import Clerk, Office, Person
from tests.server.rpc.world import approvals_of
from tests.server.store.examples import EVIDENCE

ADMIN = unrestricted("admin")
EVERY = ApprovalPolicy(acts=ADMINISTRATIVE)
WHY = "a new desk"


@dataclass
class Room:
    """An office whose server asks a second person, and that person."""

    office: Office
    operators: Operators
    approvals: Approvals
    carol: Clerk
    card: Person

    @classmethod
    async def open(cls, policy: ApprovalPolicy = EVERY) -> "Room":
        office = await Office.open()
        card = Person()
        carol = await Clerk.hired(office.store, card, "system-administrator", name="Carol")
        acts = Acts(office.store, office.clock, policy)
        approvals = approvals_of(office.store, office.clock)
        return cls(office, Operators(office.store, office.clock, acts), approvals, carol, card)

    async def waiting(self) -> list[ApprovalView]:
        return [view for view in await self.approvals.all() if view.state is ApprovalState.OPEN]

    async def approve(self, view: ApprovalView) -> None:
        caller: Caller = self.office.desk
        text = await self.approvals.challenge(caller, view.request_id, "localhost")
        await self.approvals.approve(caller, view.request_id, self.card.prove(text), None)


async def test_an_act_is_asked_for_by_trying_it_and_done_once_it_is_approved() -> None:
    room = await Room.open()
    anna = str(room.office.operator.operator_id)

    async def give(*roles: str) -> None:
        await room.operators.set_roles(anna, roles, WHY, ADMIN)

    with pytest.raises(errors.ApprovalNeeded) as refused:
        await give("elevated")
    (asked,) = await room.waiting()
    assert refused.value.facts["request"] == str(asked.request_id)
    assert (asked.intent.way, asked.intent.holder, asked.intent.roles) == (
        Way.SET_ROLES,
        anna,
        ("elevated",),
    )
    with pytest.raises(errors.ApprovalNeeded):
        await give("elevated")
    assert len(await room.waiting()) == 1, "asked for once"
    await room.approve(asked)
    with pytest.raises(errors.ApprovalNeeded):
        await give("key-recovery")
    assert (await room.office.record()).roles == {"normal"}
    await give("elevated")
    assert (await room.office.record()).roles == {"elevated"}
    with pytest.raises(errors.ApprovalNeeded):
        await give("normal")
    events = [each.record.event for each in await room.office.store.audit.about(str(asked.request_id))]
    assert events == ["approval-asked", "approved", "approval-spent"]


async def test_every_change_of_a_role_and_every_activation_is_asked_for() -> None:
    room = await Room.open()
    grant = Grant(subject=Area.TASKS, level=Level.VIEW)
    operators = room.operators
    for call in (
        lambda: operators.clone("normal", "desk", "Desk", WHY, ADMIN),
        lambda: operators.edit("normal", [grant], "", WHY, ADMIN),
        lambda: operators.activate(str(room.office.operator.operator_id), WHY, ADMIN),
    ):
        with pytest.raises(errors.ApprovalNeeded):
            await call()
    shown = {view.intent.way for view in await room.waiting()}
    assert shown == {Way.CHANGE_ROLE, Way.ACTIVATE_OPERATOR}
    assert not await room.office.store.roles.all()


async def test_whoever_tried_it_does_not_approve_it() -> None:
    room = await Room.open()
    carol = replace(ADMIN, actor=str(room.carol.operator.operator_id))
    with pytest.raises(errors.ApprovalNeeded):
        await room.operators.clone("normal", "desk", "Desk", WHY, carol)
    (asked,) = await room.waiting()
    with pytest.raises(errors.ApprovalRefused):
        await room.approve(asked)


async def test_whom_it_is_about_does_not_approve_it() -> None:
    """By the directory she is somebody, by the act an operator; she is the same person."""
    room = await Room.open()
    who = room.carol.operator.operator_id
    operators = room.office.store._book.state.operators  # type: ignore[attr-defined]  # the store in memory
    operators[who] = replace(operators[who], holder=HolderId("carol"))
    with pytest.raises(errors.ApprovalNeeded):
        await room.operators.set_roles(str(who), ["system-administrator", "key-recovery"], WHY, ADMIN)
    (asked,) = await room.waiting()
    with pytest.raises(errors.ApprovalRefused, match="themselves"):
        await room.approve(asked)


async def test_a_new_generation_of_the_master_key_takes_a_second_person() -> None:
    room = await Room.open()
    store, clock = room.office.store, room.office.clock
    keys = MemoryKeyStore(clock)
    generations = MasterKeyGenerations(keys, store.cards, store.audit, Acts(store, clock, EVERY))
    before = keys.generation
    with pytest.raises(errors.ApprovalNeeded):
        await generations.make(WHY, "admin")
    assert keys.generation == before
    (asked,) = await room.waiting()
    await room.approve(asked)
    assert (await generations.make(WHY, "admin")).generation == before + 1
    with pytest.raises(errors.ApprovalNeeded):
        await generations.make(WHY, "admin")


async def test_a_rule_is_taken_out_of_a_template_by_two_people() -> None:
    room = await Room.open()
    store, clock = room.office.store, room.office.clock
    lab = await Lab.start()
    services = lab.services
    acts = Acts(store, clock, EVERY)
    templates = Templates(store.templates, services.authorities, services.directories, clock, acts)
    await lab.close()

    def text(changed: str) -> list[TemplateText]:
        return [TemplateText(source="employee.toml", text=changed)]

    guarded = f'{EMPLOYEE}\n[[approval]]\noperations = ["issue"]\n'
    digest = parse_template(guarded).digest
    ref = TemplateRef(name="employee", version=1, digest=digest)
    await store.templates.add(StoredTemplate(ref=ref, text=guarded, applied_at=clock.now()), EVIDENCE)
    assert await templates.apply(text(guarded), "admin"), "the same again is nothing new"
    with pytest.raises(errors.ApprovalNeeded):
        await templates.apply(text(EMPLOYEE), "admin")
    (asked,) = await room.waiting()
    assert asked.intent.way is Way.APPLY_TEMPLATES
    assert '-operations = ["issue"]' in asked.intent.detail
    await room.approve(asked)
    with pytest.raises(errors.ApprovalNeeded):
        await templates.apply(text(EMPLOYEE.replace("Employee badge", "Badge")), "admin")
    await templates.apply(text(EMPLOYEE), "admin")
    latest = await store.templates.latest("employee")
    assert latest is not None
    assert latest.text == EMPLOYEE


async def test_what_the_policy_does_not_name_passes() -> None:
    room = await Room.open(ApprovalPolicy())
    await room.operators.set_roles(str(room.office.operator.operator_id), {"elevated"}, WHY, ADMIN)
    assert not await room.waiting()


async def test_a_row_that_is_set_back_approves_nothing_again() -> None:
    room = await Room.open()
    anna = str(room.office.operator.operator_id)
    with pytest.raises(errors.ApprovalNeeded):
        await room.operators.set_roles(anna, {"elevated"}, WHY, ADMIN)
    (asked,) = await room.waiting()
    await room.approve(asked)
    await room.operators.set_roles(anna, {"elevated"}, WHY, ADMIN)
    kept = room.office.store._book.state.approvals  # type: ignore[attr-defined]  # the store in memory
    spent = kept[asked.request_id]
    kept[asked.request_id] = replace(spent, state=ApprovalState.OPEN, spent_at=None)
    with pytest.raises(errors.ApprovalNeeded):
        await room.operators.set_roles(anna, {"elevated"}, WHY, ADMIN)
