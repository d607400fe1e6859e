"""Who is not the holder, or not any more, and tries: proofs that are replayed, borrowed, too old, or for something else."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from kiosk.station.operator_card import prove_operator, read_operator_card
from server.operations.disclose import ATTEMPTS
from server.ports.store import StationRecord
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.credential.model import State
from shared.credential.reasons import Cause
from shared.logon import LogonPurpose, LogonText, read_logon_text
from shared.piv.ids import ProfileName, Slot
from shared.secret import Secret
from shared.self_service import CardShown, CodeGiven, PasswordGiven
from shared.sessions import LogonProof
from shared.station_profile import StationProfile
from tests.scenario.holders import ALICE, BADGE, BOBS_PIN, LIMITS, Kiosk, a_caller, a_place
from tests.scenario.lab import ALICE as SAME_NAMES
from tests.scenario.lab import BOB, Holder
from tests.scenario.templates import EMPLOYEE
from tests.server.rpc.world import MovableClock

NEW = "482615"


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def kiosk(clock: MovableClock) -> AsyncIterator[Kiosk]:
    made = await Kiosk.start(clock=clock)
    await made.lab.insert(ProfileName.YUBIKEY_5_7)
    await active(made)
    yield made
    await made.close()


async def active(kiosk: Kiosk) -> None:
    await kiosk.as_operator()
    lab = kiosk.lab
    assert (await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")).error is None
    assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[BOBS_PIN]))).error is None
    await lab.settle()


async def refused(kiosk: Kiosk, given: PasswordGiven | CardShown | CodeGiven) -> str:
    """Try to log on, and return why that was refused: the evidence says it, whoever tries does not hear it."""
    with pytest.raises(errors.HolderLogonRefused) as told:
        await kiosk.give(given)
    assert told.value.facts == {}
    last = (await kiosk.lab.store.audit.page(0, 1000))[-1].record
    assert last.event == "holder-log-on-failed"
    return str(last.facts["why"])


def password(name: str, text: str) -> PasswordGiven:
    return PasswordGiven(name=name, password=Secret.from_text(text))


# --- passwords ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("bsmith", "wrong", "password"),
        ("bsmith", "", "password"),
        ("", "correct horse", "name"),
        ("bsmit", "correct horse", "name"),
        ("*", "correct horse", "name"),
        ("Bob Smith", "correct horse", "name"),
        ("correct horse", "bsmith", "name"),
        ("ajones", "correct horse", "password"),
    ],
)
async def test_a_name_and_its_own_password_are_needed(kiosk: Kiosk, name: str, text: str, why: str) -> None:
    assert await refused(kiosk, password(name, text)) == why
    everything = [repr(entry) for entry in await kiosk.lab.store.audit.page(0, 1000)]
    assert not any("correct horse" in each for each in everything)


@pytest.mark.parametrize("name", ["BSMITH", " bsmith ", "bsmith@example.test"])
async def test_a_name_is_meant_however_it_is_written(kiosk: Kiosk, name: str) -> None:
    assert await kiosk.give(password(name, "correct horse"))


async def test_an_account_that_is_disabled_or_locked_logs_nobody_on(kiosk: Kiosk) -> None:
    card, code = (
        await kiosk.card_shown(),
        await kiosk.lab.station.make_unblock_code((await kiosk.the_card()).record_id),
    )
    kiosk.directory.disable(BOB.holder)
    assert await refused(kiosk, password("bsmith", "correct horse")) == "account"
    assert await refused(kiosk, card) == "account"
    given = CodeGiven(card=card.card, code=Secret(code.code.reveal()))
    assert await refused(kiosk, given) == "account"
    kiosk.directory.locked.add(ALICE.holder)
    assert await refused(kiosk, password("ajones", "battery staple")) == "account"


async def test_a_name_that_two_people_have_logs_on_neither(kiosk: Kiosk) -> None:
    kiosk.directory._people[SAME_NAMES.holder] = SAME_NAMES
    assert await refused(kiosk, password("bsmith", "correct horse")) == "name"
    assert kiosk.directory.asked == []


async def test_the_directory_is_asked_less_often_than_locks_an_account(
    kiosk: Kiosk, clock: MovableClock
) -> None:
    for _ in range(LIMITS.tries):
        assert await refused(kiosk, password("bsmith", "wrong")) == "password"
    for _ in range(3):
        with pytest.raises(errors.TooManyAttempts):
            await kiosk.by_password()
    assert kiosk.directory.asked == [BOB.holder] * LIMITS.tries
    await kiosk.by_password(ALICE)
    clock.later += LIMITS.within
    for _ in range(2 * LIMITS.tries):  # who knows the password is not counted
        clock.later += LIMITS.idle
        await kiosk.by_password()


async def test_a_directory_that_is_silent_lets_nobody_in(kiosk: Kiosk) -> None:
    kiosk.directory.silent = True
    with pytest.raises(errors.ConnectorUnreachable):
        await kiosk.by_password()


# --- cards ----------------------------------------------------------------------------------------------


async def test_a_signature_is_good_once(kiosk: Kiosk) -> None:
    shown = await kiosk.card_shown()
    await kiosk.give(shown)
    assert await refused(kiosk, shown) == "challenge"


async def test_a_signature_is_good_for_a_minute_and_at_its_station(kiosk: Kiosk, clock: MovableClock) -> None:
    shown = await kiosk.card_shown()
    clock.later += LIMITS.idle
    assert await refused(kiosk, shown) == "challenge"
    shown = await kiosk.card_shown()
    other = a_caller(await a_place(kiosk.lab, "other"))
    with pytest.raises(errors.HolderLogonRefused):
        await kiosk.give(shown, other)


async def signed(kiosk: Kiosk, text: bytes) -> LogonProof:
    async def challenge() -> LogonText:
        return read_logon_text(text)

    card = await read_operator_card(kiosk.lab.readers, "Reader 1")
    return await prove_operator(kiosk.lab.readers, card, Holder(current_pins=[BOBS_PIN]), challenge)


async def test_what_an_operator_signs_is_no_holders_and_the_other_way_round(kiosk: Kiosk) -> None:
    record = await kiosk.the_card()
    text = await kiosk.operators.challenge(kiosk.station, LogonPurpose.LOG_ON, "lab")
    given = CardShown(card=record.record_id, proof=await signed(kiosk, text))
    assert await refused(kiosk, given) == "challenge"
    text = await kiosk.sessions.challenge(kiosk.station, "lab")
    with pytest.raises(errors.LogonRefused):
        await kiosk.operators.log_on(kiosk.station, await signed(kiosk, text))


async def test_a_signature_of_another_key_or_over_another_text_is_none(kiosk: Kiosk) -> None:
    shown = await kiosk.card_shown()
    flipped = bytes([*shown.proof.signature[:-1], shown.proof.signature[-1] ^ 1])
    altered = replace(shown, proof=replace(shown.proof, signature=flipped))
    assert await refused(kiosk, altered) == "signature"
    first, second = await kiosk.card_shown(), await kiosk.card_shown()
    mixed = replace(first, proof=replace(first.proof, signature=second.proof.signature))
    assert await refused(kiosk, mixed) == "signature"


@pytest.mark.parametrize("slot", [Slot.CARD_AUTHENTICATION, Slot.SIGNATURE])
async def test_a_key_that_takes_no_pin_or_is_for_something_else_proves_nobody(
    kiosk: Kiosk, slot: Slot
) -> None:
    shown, record = await kiosk.card_shown(), await kiosk.the_card()
    other = next(each.certificate for each in record.certificates if each.slot is slot)
    given = replace(shown, proof=replace(shown.proof, certificate=other))
    assert await refused(kiosk, given) == "certificate"


async def test_a_card_that_is_not_in_use_proves_nobody(kiosk: Kiosk) -> None:
    shown, token = await kiosk.card_shown(), await kiosk.by_card()
    await kiosk.lab.backend.decide(shown.card, OperationKind.SUSPEND, Cause.LOST)
    assert await refused(kiosk, shown) == "credential"
    with pytest.raises(errors.SessionEnded):  # nor does what it began go on
        await kiosk.enter(token)


# --- codes ----------------------------------------------------------------------------------------------


async def test_a_code_is_good_once_and_not_found_by_trying(kiosk: Kiosk) -> None:
    card = (await kiosk.the_card()).record_id
    made = await kiosk.lab.station.make_unblock_code(card)
    assert await kiosk.by_code(made.code)
    assert await refused(kiosk, CodeGiven(card=card, code=Secret(made.code.reveal()))) == "code"
    again = await kiosk.lab.station.make_unblock_code(card)
    for _ in range(ATTEMPTS):
        assert await refused(kiosk, CodeGiven(card=card, code=Secret(b"0000 0000 0000"))) == "code"
    assert await refused(kiosk, CodeGiven(card=card, code=Secret(again.code.reveal()))) == "code"


async def test_a_code_ends_with_its_credential(kiosk: Kiosk) -> None:
    card = (await kiosk.the_card()).record_id
    made = await kiosk.lab.station.make_unblock_code(card)
    token = await kiosk.by_code(made.code)
    await kiosk.lab.backend.decide(card, OperationKind.REVOKE, Cause.LOST)
    with pytest.raises(errors.SessionEnded):
        await kiosk.enter(token)


async def test_a_code_is_for_one_credential_of_several(kiosk: Kiosk) -> None:
    first = (await kiosk.the_card()).record_id
    made = await kiosk.lab.station.make_unblock_code(first)
    given = CodeGiven(card=first, code=Secret(made.code.reveal()))
    await kiosk.lab.readers.pull("Reader 1")
    await kiosk.lab.insert(ProfileName.YUBIKEY_5_7, serial=1002, name="second")
    await active(kiosk)
    await kiosk.act(await kiosk.give(given))
    outcome = await kiosk.lab.perform(OperationKind.UNBLOCK, Holder(new_pins=[NEW]))
    assert isinstance(outcome.error, errors.OtherProofNeeded)


# --- what is done ---------------------------------------------------------------------------------------


async def test_a_session_that_ends_stops_what_it_does(kiosk: Kiosk, clock: MovableClock) -> None:
    await kiosk.act(await kiosk.by_card())

    class Slow(Holder):
        async def current_pin(
            self, tries_left: int | None, problem: errors.KioskError | None
        ) -> Secret | None:
            clock.later += LIMITS.absolute
            return await super().current_pin(tries_left, problem)

    before = await kiosk.the_card()
    outcome = await kiosk.lab.perform(OperationKind.REISSUE, Slow(current_pins=[BOBS_PIN]))
    assert isinstance(outcome.error, errors.SessionEnded)
    assert (await kiosk.the_card()).certificates == before.certificates


async def test_a_template_that_allows_it_no_more_stops_it(kiosk: Kiosk) -> None:
    await kiosk.lab.apply(EMPLOYEE, version=2)
    await kiosk.lab.readers.pull("Reader 1")
    await kiosk.lab.insert(ProfileName.YUBIKEY_5_7, serial=1003, name="third")
    await kiosk.act(await kiosk.by_password())
    outcome = await kiosk.lab.perform(OperationKind.ISSUE, template="employee")
    assert isinstance(outcome.error, errors.NotAllowed)


@pytest.mark.parametrize(
    "asked",
    [
        {"roles": ("normal",)},
        {"replaces": "7a7e7c6e-0001-0000-0000-000000000000"},
        {"primary": "7a7e7c6e-0001-0000-0000-000000000000"},
    ],
)
async def test_what_only_operators_decide_is_refused(kiosk: Kiosk, asked: dict[str, str]) -> None:
    await kiosk.act(await kiosk.by_password())
    outcome = await kiosk.lab.perform(OperationKind.ISSUE, template="employee", **asked)  # type: ignore[arg-type]  # one of them
    assert isinstance(outcome.error, errors.NotAllowed)


async def test_a_station_does_what_it_is_for(kiosk: Kiosk) -> None:
    profile = StationProfile(operations=frozenset({OperationKind.UNBLOCK}))
    place: StationRecord = await a_place(kiosk.lab, "unblocking", profile)
    kiosk.station, kiosk.record = a_caller(place), place
    await kiosk.act(await kiosk.by_password())
    refusal = await kiosk.lab.perform(
        OperationKind.CHANGE_PIN, Holder(current_pins=[BOBS_PIN], new_pins=[NEW])
    )
    assert isinstance(refusal.error, errors.NotAllowed)
    assert (await kiosk.lab.perform(OperationKind.UNBLOCK, Holder(new_pins=[NEW]))).error is None


# --- credentials that carry roles -----------------------------------------------------------------------


async def test_a_credential_that_carries_roles_is_no_matter_of_self_service(clock: MovableClock) -> None:
    operator = EMPLOYEE.replace('name = "employee"', 'name = "operator"\noperator = true')
    kiosk = await Kiosk.start(operator, BADGE, clock=clock)
    try:
        await kiosk.lab.insert(ProfileName.YUBIKEY_5_7)
        await kiosk.as_operator()
        made = await kiosk.lab.perform(
            OperationKind.ISSUE, subject=BOB.holder, template="operator", roles=["system-administrator"]
        )
        assert made.error is None
        card = await kiosk.the_card()
        with pytest.raises(errors.TransitionForbidden):
            await kiosk.lab.station.make_unblock_code(card.record_id)
        await kiosk.act(await kiosk.by_password())
        for operation in (OperationKind.ACTIVATE, OperationKind.UNBLOCK, OperationKind.RETIRE):
            outcome = await kiosk.lab.perform(operation, Holder(new_pins=[NEW]), reason=Cause.LOST)
            assert isinstance(outcome.error, errors.NotAllowed), operation
        assert (await kiosk.the_card()).state is State.ISSUED
        with pytest.raises(errors.NotAllowed):
            await kiosk.lab.backend.decide(card.record_id, OperationKind.REVOKE, Cause.LOST)
    finally:
        await kiosk.close()
