"""Replacements: the old credential ends at once where somebody may misuse it, else when the new one works."""

import pytest

from server.operations.succession import Succession
from server.ports.ca import Reason
from shared.credential.lifecycle import OperationKind
from shared.credential.model import State
from shared.credential.reasons import Cause
from shared.virtual.faults import Fault, FaultKind
from tests.scenario.cabinet import cabinet
from tests.scenario.lab import BOB, Holder, Lab
from tests.scenario.templates import EMPLOYEE


def error_of(outcome: object) -> tuple[str, str]:
    error = getattr(outcome, "error", None)
    assert error is not None
    return error.code, str(error.facts.get("why", ""))


@pytest.mark.parametrize("cause", [Cause.LOST, Cause.STOLEN, Cause.COMPROMISED])
async def test_what_may_be_misused_is_revoked_before_the_new_card_is_written(cause: Cause) -> None:
    async with cabinet() as bench:
        old = await bench.active("old")
        await bench.put("new")
        bench.lab.readers.arm(
            "new", Fault(kind=FaultKind.COMMAND_LOST, at=1 + await _until_writing(bench.lab))
        )
        cut = await bench.lab.perform(OperationKind.ISSUE, replaces=str(old.credential_id), reason=cause)
        assert cut.error is not None
        assert cut.error.code == "card-lost"
        assert bench.credential("old").state is State.REVOKED
        assert bench.credential("old").reason == cause
        assert bench.revoked("old") == {Reason.KEY_COMPROMISE: 4}
        assert bench.record("new").credential is None


async def _until_writing(lab: Lab) -> int:
    """Return how many commands reading a card takes, before anything is written to it."""
    card = lab.readers.card("new")
    before = card.commands
    refused = await lab.perform(OperationKind.ISSUE, subject="nobody", template="employee")
    assert refused.error is not None
    return card.commands - before


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (Cause.DAMAGED, Reason.SUPERSEDED),
        (Cause.NAME_CHANGED, Reason.AFFILIATION_CHANGED),
        (Cause.REPLACED, Reason.SUPERSEDED),
    ],
)
async def test_what_is_only_old_works_until_the_new_one_does(cause: Cause, reason: Reason) -> None:
    async with cabinet() as bench:
        old = await bench.active("old")
        issued = await bench.issue("new", replaces=str(old.credential_id), reason=cause)
        assert issued.error is None
        assert "followed" not in issued.facts
        assert bench.credential("old").state is State.ACTIVE
        assert bench.revoked("old") == {"": 4}
        new = bench.credential("new")
        assert (new.replaces, new.holder, new.template.name) == (old.credential_id, BOB.holder, "employee")
        activated = await bench.activate("new")
        assert activated.error is None
        assert activated.facts["followed"] == "revoke"
        assert activated.facts["waiting"] == 0
        assert (bench.credential("old").state, bench.credential("old").reason) == (State.REVOKED, cause)
        assert bench.revoked("old") == {reason: 4}
        assert bench.revoked("new") == {"": 4}
        revoked = [
            e.record for e in await bench.lab.store.audit.page(0, 10_000) if e.record.event == "revoked"
        ]
        (evidence,) = revoked
        assert evidence.facts == {"reason": cause.value, "follows": str(bench.record("new").record_id)}


async def test_a_replacement_that_is_given_up_leaves_the_old_one() -> None:
    async with cabinet() as bench:
        old = await bench.active("old")
        assert (await bench.issue("new", replaces=str(old.credential_id), reason="damaged")).error is None
        await bench.lab.perform(OperationKind.DELETE, reason=Cause.DAMAGED)
        assert bench.credential("old").state is State.ACTIVE
        assert bench.revoked("old") == {"": 4}
        again = await bench.active("another", replaces=str(old.credential_id), reason="damaged")
        assert again.replaces == old.credential_id
        assert bench.credential("old").state is State.REVOKED


async def test_a_credential_that_was_revoked_by_telephone_is_replaced_later() -> None:
    async with cabinet() as bench:
        old = await bench.active("old")
        await bench.lab.station.decide(bench.record("old").record_id, OperationKind.REVOKE, Cause.LOST)
        new = await bench.active("new", replaces=str(old.credential_id))
        assert new.reason == Cause.LOST
        twice = await bench.issue("third", replaces=str(old.credential_id))
        code, why = error_of(twice)
        assert (code, str(new.credential_id) in why) == ("place-refused", True)


@pytest.mark.parametrize(
    ("reason", "code", "words"),
    [
        ("", "invalid-request", "lost, stolen"),
        ("left", "invalid-request", "one of"),
        ("forgotten", "place-refused", "temporary"),
    ],
)
async def test_a_replacement_says_why(reason: str, code: str, words: str) -> None:
    async with cabinet() as bench:
        old = await bench.active("old")
        found, why = error_of(await bench.issue("new", replaces=str(old.credential_id), reason=reason))
        assert (found, words in why) == (code, True)
        assert bench.blank("new")
        assert bench.credential("old").state is State.ACTIVE


async def test_what_cannot_be_replaced() -> None:
    async with cabinet() as bench:
        old = await bench.active("old")
        named = str(old.credential_id)
        for asked, why in (
            ({"replaces": named, "reason": "lost", "subject": "somebody-else"}, "somebody else"),
            ({"replaces": str(bench.record("old").record_id), "reason": "lost"}, "not known"),
            ({"replaces": named, "primary": named, "reason": "lost"}, "or stands in"),
            ({"replaces": "x", "reason": "lost"}, "not the id"),
            ({"subject": BOB.holder, "template": "employee", "reason": "lost"}, "in the place"),
        ):
            assert why in error_of(await bench.issue("new", **asked))[1]
        await bench.put("old")
        assert (await bench.lab.perform(OperationKind.RETIRE, reason=Cause.LEFT)).error is None
        assert "it is retired" in error_of(await bench.issue("new", replaces=named, reason="damaged"))[1]


# --- cuts -----------------------------------------------------------------------------------------------


async def test_a_replacement_that_was_cut_goes_on_with_its_place() -> None:
    async with cabinet() as bench:
        old = await bench.active("old")
        named = str(old.credential_id)
        await bench.put("new")
        bench.lab.readers.arm("new", Fault(kind=FaultKind.COMMAND_LOST, at=60))
        cut = await bench.lab.perform(OperationKind.ISSUE, replaces=named, reason="damaged")
        assert cut.error is not None
        assert bench.credential("old").state is State.ACTIVE
        await bench.put("new")
        other = await bench.lab.perform(OperationKind.ISSUE, primary=named)
        assert error_of(other)[0] == "operation-interrupted"
        another = await bench.lab.perform(OperationKind.ISSUE, replaces=named, reason="lost")
        assert "it was damaged" in error_of(another)[1]
        done = await bench.lab.perform(OperationKind.ISSUE)
        assert done.error is None
        assert bench.credential("new").replaces == old.credential_id
        assert (await bench.activate("new")).error is None
        assert bench.revoked("old") == {Reason.SUPERSEDED: 4}


async def test_what_a_dead_server_left_is_done_by_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """The new one is active, and nobody came to revoke the old one."""
    async with cabinet() as bench:
        old = await bench.active("old")
        assert (
            await bench.issue("new", replaces=str(old.credential_id), reason="name-changed")
        ).error is None

        async def dies(*_: object) -> None:
            raise RuntimeError

        with monkeypatch.context() as patch:
            patch.setattr(Succession, "follow", dies)
            assert (await bench.activate("new")).error is not None
        assert bench.credential("new").state is State.ACTIVE
        assert bench.credential("old").state is State.ACTIVE
        assert await Succession(bench.lab.services).follow_all() == 1
        assert bench.revoked("old") == {Reason.AFFILIATION_CHANGED: 4}
        assert await Succession(bench.lab.services).follow_all() == 0
        actors = {
            e.record.actor for e in await bench.lab.store.audit.page(0, 10_000) if e.record.event == "revoked"
        }
        assert actors == {"server"}


async def test_the_old_card_learns_of_it_when_it_turns_up() -> None:
    async with cabinet(EMPLOYEE) as bench:
        old = await bench.active("old")
        await bench.active("new", replaces=str(old.credential_id), reason="lost")
        pin = bench.lab.readers.card("old").memory.pin.value
        await bench.put("old")
        carried = await bench.lab.perform(OperationKind.UPDATE)
        assert carried.error is None
        assert carried.state == State.REVOKED
        assert bench.lab.readers.card("old").memory.pin.value.reveal() != pin.reveal()
        await bench.put("new")
        changed = await bench.lab.perform(
            OperationKind.CHANGE_PIN, Holder(current_pins=["739154"], new_pins=["482615"])
        )
        assert changed.error is None
