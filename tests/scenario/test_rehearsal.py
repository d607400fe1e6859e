"""A dry run says exactly what issuing does, touches nothing, and says it again in the same bytes."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from typing import Any, cast
from uuid import UUID

import pytest

from server.connectors.directory.memory import MemoryDirectory
from server.operations import rehearsal as subject
from server.operations.services import Services
from server.ports.connection import Ability
from server.scratch import spare_key
from shared import errors
from shared.console import CardHints
from shared.credential.model import HolderId, Person
from shared.credential.reasons import Cause
from shared.errors import KioskError
from shared.piv.ids import FACTORY_PUK, PRIMARY_SLOTS, Algorithm, ProfileName, Slot
from shared.proto.convert_rehearsal import decode_rehearsal, encode_rehearsal
from shared.rehearsal import Rehearsal, RehearsalRequest
from shared.relay import OperationKind
from shared.secret import Secret
from shared.virtual.faults import Fault, FaultKind
from tests.scenario.cards import pooled
from tests.scenario.lab import BOB, Holder, Lab
from tests.scenario.rehearsing import Ear, Sealed, rehearsals_of, rehearse, seen
from tests.scenario.templates import EMPLOYEE, certificate, template
from tests.scenario.test_attestation import FOUR_KEYS, trusting
from tests.serving import REPOSITORY

A, C, D, E = PRIMARY_SLOTS
PROFILES = [ProfileName.YUBIKEY_4, ProfileName.YUBIKEY_5_4, ProfileName.YUBIKEY_5_7, ProfileName.UNKNOWN]
LONG_KEYS = template(
    certificate(A, Algorithm.RSA_2048),
    certificate(C, Algorithm.P384),
    certificate(D, Algorithm.X25519),
    certificate(E, Algorithm.ED25519),
    certificate(Slot.RETIRED_3, Algorithm.RSA_3072),
    tables="[pin]\ntries = 8\npuk-tries = 5",
)
UNITS = ",".join(f"OU=Department number {number} of the head office" for number in range(60))
COMPRESSED = template(certificate(A, Algorithm.RSA_2048, subject="CN=${user.name}," + UNITS))
CLARA = replace(BOB, holder=HolderId("7a7e7c6e-0003"), name="Clara Vane", enabled=False)


@asynccontextmanager
async def desk(
    text: str = EMPLOYEE,
    profile: ProfileName | None = None,
    adapt: Callable[[Services], Services] = lambda services: services,
) -> AsyncIterator[Lab]:
    """Start a lab, with a new card in its reader where a profile is named."""
    lab = await Lab.start(template=text, adapt=adapt)
    try:
        if profile is not None:
            await lab.insert(profile, make=pooled)
        yield lab
    finally:
        await lab.close()


async def compare(lab: Lab, rehearsed: Rehearsal, name: str) -> None:
    """Issue the card in the reader, and see that it is what was said."""
    ear = Ear()
    ear.listen(lab)
    outcome = await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template=name)
    assert outcome.error is None
    assert (len(rehearsed.round_trips), rehearsed.commands) == (outcome.round_trips, outcome.commands)
    said = [[(each.header, each.label) for each in trip.commands] for trip in rehearsed.round_trips]
    assert said == [[(each.header, each.label) for each in trip] for trip in ear.trips]
    for trip, real in zip(rehearsed.round_trips, ear.trips, strict=True):
        for command, sent in zip(trip.commands, real, strict=True):
            assert sent.data <= command.data_max, command
            assert sent.response <= command.response_max, command


# --- it is what is done -------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", PROFILES)
async def test_a_new_card(profile: ProfileName) -> None:
    async with desk(profile=profile) as lab:
        without_reader = await rehearse(lab, profile)
        in_reader = await rehearse(lab, await seen(lab))
        assert in_reader == without_reader
        assert in_reader.new
        await compare(lab, in_reader, "employee")


@pytest.mark.parametrize(
    ("text", "adapt"),
    [
        (LONG_KEYS, lambda services: services),
        (COMPRESSED, lambda services: services),
        (FOUR_KEYS, trusting()),
    ],
    ids=["keys of every kind", "compressed", "attested"],
)
async def test_templates_that_ask_for_more(text: str, adapt: Callable[[Services], Services]) -> None:
    async with desk(text, ProfileName.YUBIKEY_5_7, adapt) as lab:
        hints = await seen(lab)
        rehearsed = await rehearse(lab, hints, template="breadth")
        spare_key.cache_clear()
        assert await rehearse(lab, hints, template="breadth") == rehearsed
        await compare(lab, rehearsed, "breadth")


@pytest.mark.parametrize("profile", PROFILES)
async def test_a_card_that_was_taken_back(profile: ProfileName) -> None:
    async with desk(profile=profile) as lab:
        for operation, person, reason in (
            (OperationKind.ISSUE, Holder(), ""),
            (OperationKind.ACTIVATE, Holder(new_pins=["739154"]), ""),
            (OperationKind.RETIRE, Holder(), Cause.LEFT.value),
        ):
            outcome = await lab.perform(
                operation, person, subject=BOB.holder, template="employee", reason=reason
            )
            assert outcome.error is None
        rehearsed = await rehearse(lab, await seen(lab))
        assert not rehearsed.new
        assert not [step for step in rehearsed.steps if step.line.key == "own"]
        await compare(lab, rehearsed, "employee")


async def test_a_card_that_was_taken_back_and_gets_other_retry_counters() -> None:
    other = EMPLOYEE.replace('"employee"', '"other"') + "[pin]\ntries = 5\npuk-tries = 6\n"
    first = EMPLOYEE + "[pin]\ntries = 8\npuk-tries = 8\n"
    async with desk(first, ProfileName.YUBIKEY_5_7) as lab:
        await lab.apply(other)
        await lab.services.keystore.add_generation()  # type: ignore[attr-defined]
        for operation, reason in ((OperationKind.ISSUE, ""), (OperationKind.RETIRE, Cause.LEFT.value)):
            outcome = await lab.perform(operation, subject=BOB.holder, template="employee", reason=reason)
            assert outcome.error is None
        await lab.services.keystore.add_generation()  # type: ignore[attr-defined]
        rehearsed = await rehearse(lab, await seen(lab), template="other")
        assert rehearsed.steps[0].line.facts == {"generation": 3}
        await compare(lab, rehearsed, "other")


async def test_the_newest_master_key_is_in_the_plan() -> None:
    async with desk(profile=ProfileName.YUBIKEY_5_7) as lab:
        await lab.services.keystore.add_generation()  # type: ignore[attr-defined]
        rehearsed = await rehearse(lab, ProfileName.YUBIKEY_5_7)
        assert rehearsed.steps[0].line.facts == {"generation": 2}
        await compare(lab, rehearsed, "employee")


async def test_what_a_person_has_to_wait_for_is_said() -> None:
    async with desk(LONG_KEYS) as lab:
        rehearsed = await rehearse(lab, ProfileName.YUBIKEY_5_7, template="breadth")
        keys = {step.line.facts["slot"]: step.expected_ms for step in rehearsed.steps if step.expected_ms}
        assert keys == {"9A": 12_000, "9C": 160, "9D": 160, "9E": 160, "84": 20_000}
        made = [c for trip in rehearsed.round_trips for c in trip.commands if c.header[1:2] == b"\x47"]
        assert [command.expected_ms for command in made] == [*keys.values()]
        for trip in rehearsed.round_trips:
            assert trip.expected_ms == 50 + sum(command.expected_ms for command in trip.commands)


# --- nothing is touched -------------------------------------------------------------------------------------


async def test_nothing_real_is_written_signed_or_derived() -> None:
    """The parts that act are sealed: whatever is touched but the few things that may be looked at fails."""
    async with desk() as lab:
        real = lab.services
        sealed = replace(
            real,
            store=cast(
                "Any",
                Sealed(
                    real.store,
                    cards=Sealed(real.store.cards, card=True, cards_by_hint=True),
                    templates=Sealed(real.store.templates, latest=True),
                ),
            ),
            keystore=cast("Any", Sealed(real.keystore, generation=True)),
            authorities={
                name: cast("Any", Sealed(each, abilities=True)) for name, each in real.authorities.items()
            },
            directories={
                name: cast("Any", Sealed(each, get=True, abilities=frozenset({Ability.WRITE_BACK})))
                for name, each in real.directories.items()
            },
        )
        before, ledger = lab.store.commits, dict(lab.store._book.state.ledger)
        hints = CardHints(profile=ProfileName.YUBIKEY_5_7, serial=7, guid=UUID(int=7))
        rehearsed = await rehearse(lab, hints, services=sealed)
        assert len(rehearsed.round_trips) == 7
        assert lab.store.commits == before
        assert lab.store._book.state.ledger == ledger
        assert not lab.store._book.state.cards


async def test_the_operation_gets_no_part_of_the_real_installation() -> None:
    """Also none that is added to `Services` one day: what is shared is named here."""
    async with desk() as lab:
        scratch = (await rehearsals_of(lab.services)._build(1)).services
        shared = {
            each.name
            for each in fields(Services)
            if (part := getattr(scratch, each.name)) is getattr(lab.services, each.name)
            and not isinstance(part, bool | tuple)
        }
        assert shared == {"clock"}
        assert not {*scratch.authorities.values()} & {*lab.services.authorities.values()}


def test_the_seal_can_break() -> None:
    with pytest.raises(AssertionError, match=r"dict\.values"):
        Sealed({}, keys=True).values()


async def test_a_rehearsal_that_is_refused_leaves_no_evidence_either() -> None:
    async with desk() as lab:
        before = lab.store.commits
        with pytest.raises(errors.UnknownHolder):
            await rehearse(lab, ProfileName.YUBIKEY_5_7, holder="nobody")
        assert lab.store.commits == before


# --- the same bytes -----------------------------------------------------------------------------------------

PROGRAM = """
import asyncio, sys
from shared.piv.ids import ProfileName
from shared.proto.convert_rehearsal import encode_rehearsal
from tests.scenario.lab import Lab
from tests.scenario.rehearsing import rehearse

async def main() -> None:
    lab = await Lab.start()
    for profile in (ProfileName.YUBIKEY_4, ProfileName.YUBIKEY_5_7, ProfileName.UNKNOWN):
        made = encode_rehearsal(await rehearse(lab, profile))
        sys.stdout.buffer.write(made.SerializeToString())
    await lab.close()

asyncio.run(main())
"""


def test_two_processes_say_the_same() -> None:
    """Other keys, other identifiers, another time: the same bytes."""
    first, second = (
        subprocess.run([sys.executable, "-c", PROGRAM], cwd=REPOSITORY, check=True, capture_output=True)
        for _ in range(2)
    )
    assert first.stdout
    assert first.stdout == second.stdout


async def test_nothing_random_comes_over_the_wire() -> None:
    async with desk() as lab:
        rehearsed = await rehearse(lab, ProfileName.YUBIKEY_5_7)
        assert decode_rehearsal(encode_rehearsal(rehearsed)) == rehearsed
        fields = {name for name in dir(rehearsed.round_trips[0].commands[0]) if not name.startswith("_")}
        assert fields == {"header", "label", "data_max", "response_max", "expected_ms"}


# --- what is refused is refused in the same words -----------------------------------------------------------


async def refused(lab: Lab, hints: CardHints, holder: str, name: str) -> tuple[KioskError, KioskError]:
    """Return how the dry run fails and how the real operation does."""
    with pytest.raises(KioskError) as rehearsed:
        await rehearse(lab, hints, holder=holder, template=name)
    outcome = await lab.perform(OperationKind.ISSUE, subject=holder, template=name)
    assert outcome.error is not None
    return rehearsed.value, outcome.error


def people(*found: Person) -> Callable[[Services], Services]:
    return lambda services: replace(services, directories={"people": MemoryDirectory(found)})


NO_UPN = replace(BOB, attributes={**BOB.attributes, "upn": ""})
UNFIT = template(certificate(C, Algorithm.X25519))


@pytest.mark.parametrize(
    ("text", "adapt", "holder", "name", "code"),
    [
        (EMPLOYEE, people(BOB), "nobody", "employee", "unknown-holder"),
        (EMPLOYEE, people(CLARA), CLARA.holder, "employee", "holder-disabled"),
        (EMPLOYEE, people(BOB), BOB.holder, "nothing", "unknown-template"),
        (EMPLOYEE, people(NO_UPN), BOB.holder, "employee", "variable-missing"),
        (UNFIT, people(BOB), BOB.holder, "breadth", "template-impossible"),
        (FOUR_KEYS, people(BOB), BOB.holder, "breadth", "template-impossible"),
    ],
)
async def test_what_is_asked_for(
    text: str, adapt: Callable[[Services], Services], holder: str, name: str, code: str
) -> None:
    async with desk(text, ProfileName.YUBIKEY_5_7, adapt) as lab:
        rehearsed, real = await refused(lab, await seen(lab), holder, name)
        assert (rehearsed.code, rehearsed.facts, rehearsed.exit_code) == (code, real.facts, real.exit_code)
        assert real.code == code


async def test_a_card_of_somebody_else() -> None:
    async with desk(profile=ProfileName.YUBIKEY_5_7) as lab:
        memory = lab.readers.card("card").memory
        foreign = replace(memory.management, value=Secret(b"\x42" * 24))
        lab.readers.card("card")._applet.memory = replace(memory, management=foreign)
        rehearsed, real = await refused(lab, await seen(lab), BOB.holder, "employee")
        assert rehearsed.code == real.code == "management-key-rejected"


async def test_a_card_whose_unblocking_code_is_somebody_elses() -> None:
    async with desk(profile=ProfileName.YUBIKEY_5_7) as lab:
        memory = lab.readers.card("card").memory
        lab.readers.card("card")._applet.memory = replace(memory, puk=memory.puk.set_to(FACTORY_PUK[::-1]))
        rehearsed, real = await refused(lab, await seen(lab), BOB.holder, "employee")
        assert (rehearsed.code, rehearsed.facts) == ("secret-unresolved", real.facts)
        assert real.code == "secret-unresolved"


async def test_a_card_that_has_a_holder() -> None:
    async with desk(profile=ProfileName.YUBIKEY_5_7) as lab:
        done = await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")
        assert done.error is None
        rehearsed, real = await refused(lab, await seen(lab), BOB.holder, "employee")
        assert (rehearsed.code, rehearsed.facts) == ("transition-forbidden", real.facts)
        assert real.code == "transition-forbidden"


async def test_a_virtual_card_where_none_may_be() -> None:
    async with desk(adapt=lambda services: replace(services, allow_virtual=False)) as lab:
        with pytest.raises(errors.VirtualCardRefused):
            await rehearse(lab, CardHints(profile=ProfileName.YUBIKEY_5_7, virtual=True))


async def test_a_card_in_the_middle_of_its_issue_cannot_be_rehearsed() -> None:
    async with desk(profile=ProfileName.YUBIKEY_5_7) as lab:
        await lab.settle()
        lab.readers.arm("card", Fault(kind=FaultKind.COMMAND_LOST, at=40))
        cut = await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")
        assert cut.error is not None
        await lab.readers.insert("Reader 1", "card")
        before = lab.store.commits
        with pytest.raises(errors.CannotRehearse, match="cut"):
            await rehearse(lab, await seen(lab))
        assert lab.store.commits == before


async def test_a_profile_that_nobody_knows() -> None:
    async with desk() as lab:
        with pytest.raises(errors.Invalid, match="profile"):
            await rehearse(lab, CardHints(profile="floppy-disk"))


# --- and not too much of it ---------------------------------------------------------------------------------


async def test_they_take_turns_and_the_queue_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "WAITING_MAX", 3)
    async with desk() as lab:
        rehearsing = rehearsals_of(lab.services)
        asked = RehearsalRequest(
            holder=BOB.holder, template="employee", card=CardHints(profile=ProfileName.YUBIKEY_5_7)
        )
        answers = await asyncio.gather(
            *(rehearsing.rehearse_issue(lab.backend._caller, asked) for _ in range(5)), return_exceptions=True
        )
        assert [type(answer) for answer in answers] == [Rehearsal] * 3 + [errors.TooManyAttempts] * 2
        again = await rehearsing.rehearse_issue(lab.backend._caller, asked)
        assert again == answers[0]
