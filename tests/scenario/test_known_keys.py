"""A key belongs to one card: one that another card has shown before gets no second certificate."""

from functools import cache, partial

from kiosk.station.faces import Outcome
from shared import errors
from shared.credential.model import CertificateState, KeyState, State
from shared.piv.ids import PRIMARY_SLOTS, Algorithm, ProfileName
from shared.relay import OperationKind
from shared.virtual.card import VirtualCard
from shared.virtual.keys import generate_key
from shared.virtual.memory import PrivateKey
from tests.scenario.lab import BOB, Lab
from tests.scenario.templates import certificate, template

ONE_KEY = template(certificate(PRIMARY_SLOTS[0], Algorithm.P256))


@cache
def the_same_key(algorithm: Algorithm) -> PrivateKey:
    return generate_key(algorithm)


async def issue(lab: Lab) -> Outcome:
    return await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="breadth")


async def test_the_key_of_another_card_gets_no_certificate() -> None:
    lab = await Lab.start(template=ONE_KEY)
    try:
        cloned = partial(VirtualCard.new, key_source=the_same_key)
        await lab.insert(ProfileName.YUBIKEY_5_4, 1001, "first", cloned)
        assert (await issue(lab)).error is None
        await lab.readers.pull("Reader 1")
        await lab.insert(ProfileName.YUBIKEY_5_4, 1002, "second", cloned)
        outcome = await issue(lab)
        assert isinstance(outcome.error, errors.CardNotGenuine)
        assert outcome.error.facts["why"] == "another card has shown one of its keys before"
        assert outcome.state == State.REGISTERED
        (record,) = await lab.store.cards.cards_by_hint(profile="yubikey-5.4", serial=1002)
        assert record.certificates == ()
        assert {key.state for key in record.keys.values()} == {KeyState.INTENDED}, "made anew next time"
        (first,) = await lab.store.cards.cards_by_hint(profile="yubikey-5.4", serial=1001)
        assert {one.state for one in first.certificates} == {CertificateState.CONFIRMED}
    finally:
        await lab.close()
