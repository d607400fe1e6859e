"""A card that does not do what it says: found by proof before a certificate is asked for, or by the read-back."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from kiosk.station.faces import Outcome
from server.ports.ca import Outcome as Answer
from server.ports.ca import SignRequest
from shared.credential.model import State
from shared.iso7816.apdu import Apdu
from shared.piv.ids import Algorithm, Ins, ObjectId, ProfileName, Slot
from shared.relay import OperationKind
from shared.virtual.applet import Applet
from shared.virtual.card import VirtualCard
from shared.virtual.keys import generate_key
from tests.scenario.cards import holds_matching_keys, pooled
from tests.scenario.lab import BOB, Lab
from tests.scenario.templates import certificate, template

A, D = Slot.AUTHENTICATION, Slot.KEY_MANAGEMENT
TEMPLATE = template(certificate(A, Algorithm.P256), certificate(D, Algorithm.X25519))


@asynccontextmanager
async def desk(profile: ProfileName = ProfileName.YUBIKEY_5_7, text: str = TEMPLATE) -> AsyncIterator[Lab]:
    lab = await Lab.start(template=text)
    try:
        await lab.insert(profile, make=pooled)
        await lab.settle()
        yield lab
    finally:
        await lab.close()


async def issue(lab: Lab) -> Outcome:
    return await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="breadth")


Lie = Callable[[Applet, Apdu], None]
"""What the card does to itself when it has done what it was told."""


def lying(monkeypatch: pytest.MonkeyPatch, ins: Ins, lie: Lie) -> Callable[[], None]:
    """Let every card lie after a command; what is returned makes it honest again."""
    handlers = VirtualCard.transmit.__globals__["HANDLERS"]
    honest = handlers[ins]

    def handle(applet: Applet, apdu: Apdu) -> bytes:
        answer: bytes = honest(applet, apdu)
        lie(applet, apdu)
        return answer

    monkeypatch.setitem(handlers, ins, handle)
    return lambda: monkeypatch.setitem(handlers, ins, honest)


def swap(slot: Slot) -> Lie:
    """Put another key into a slot."""

    def lie(applet: Applet, _: Apdu) -> None:
        key = applet.memory.keys.get(slot)
        if key is not None:
            other = replace(key, private=generate_key(key.algorithm))
            applet.memory = applet.memory.with_key(slot, other)

    return lie


def forget(*objects: ObjectId) -> Lie:
    """Lose objects."""

    def lie(applet: Applet, _: Apdu) -> None:
        for object_id in objects:
            if object_id in applet.memory.objects:
                applet.memory = applet.memory.with_object(object_id, b"")

    return lie


def live(lab: Lab) -> int:
    """Return how many certificates for requests are not revoked."""
    entries = lab.store._book.state.ledger.values()
    return sum(1 for entry in entries if entry.request_id is not None and entry.revoked_at is None)


@pytest.mark.parametrize("slot", [A, D])
async def test_a_key_that_is_not_there_gets_no_certificate(
    monkeypatch: pytest.MonkeyPatch, slot: Slot
) -> None:
    """It shows a public key, and holds another private one: a signature or an agreement tells."""
    honest = lying(monkeypatch, Ins.GENERATE_ASYMMETRIC, swap(slot))
    async with desk() as lab:
        for _ in range(2):
            outcome = await issue(lab)
            assert outcome.error is not None
            assert outcome.error.code == "card-not-genuine"
            assert slot.text in str(outcome.error.facts["why"])
            assert outcome.state == State.REGISTERED
        assert live(lab) == 0
        honest()
        assert (await issue(lab)).error is None
        assert holds_matching_keys(lab.readers.card("card"), A, D)
        assert live(lab) == 2


@pytest.mark.parametrize(
    ("lie", "what"),
    [
        (forget(A.certificate_object), "authentication-certificate"),
        (forget(ObjectId.SECURITY), "security"),
        (swap(A), "key-9A"),
        (swap(D), "key-9D"),
    ],
)
@pytest.mark.parametrize("profile", [ProfileName.YUBIKEY_5_7])
async def test_what_is_not_on_the_card_is_found_at_the_read_back(
    monkeypatch: pytest.MonkeyPatch, profile: ProfileName, lie: Lie, what: str
) -> None:
    async with desk(profile) as lab:
        real, turn_honest = lab.ca.issue, list[Callable[[], None]]()

        async def then_lie(requests: Sequence[SignRequest]) -> Sequence[Answer]:
            turn_honest.append(lying(monkeypatch, Ins.PUT_DATA, lie))
            return await real(requests)

        lab.ca.issue = then_lie  # type: ignore[method-assign]  # the card lies from here on
        outcome = await issue(lab)
        assert outcome.error is not None
        assert outcome.error.code in {"read-back-failed", "object-missing"}
        if outcome.error.code == "read-back-failed":
            assert outcome.error.facts == {"what": what}
        assert outcome.state == State.REGISTERED, "not issued before everything was read back"
        turn_honest[0]()
        del lab.ca.issue
        assert (await issue(lab)).error is None
        assert holds_matching_keys(lab.readers.card("card"), A, D)
        assert live(lab) == 2


async def test_an_object_that_is_not_as_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def falsify(applet: Applet, _: Apdu) -> None:
        content = applet.memory.objects.get(ObjectId.SECURITY)
        if content:
            applet.memory = applet.memory.with_object(
                ObjectId.SECURITY, content[:40] + b"\x00" + content[41:]
            )

    honest = lying(monkeypatch, Ins.PUT_DATA, falsify)
    async with desk() as lab:
        outcome = await issue(lab)
        assert outcome.error is not None
        assert (outcome.error.code, outcome.error.facts) == ("read-back-failed", {"what": "security"})
        honest()
        assert (await issue(lab)).error is None


async def test_a_management_key_that_it_did_not_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that it took the key: nothing more is written, and no secret sent."""

    def keep_the_old_one(applet: Applet, _: Apdu) -> None:
        key = applet.memory.management
        applet.memory = replace(
            applet.memory, management=replace(key, value=type(key.value)(bytes(len(key.value.reveal()))))
        )

    honest = lying(monkeypatch, Ins.SET_MANAGEMENT_KEY, keep_the_old_one)
    async with desk() as lab:
        outcome = await issue(lab)
        assert getattr(outcome.error, "code", "") == "card-not-genuine"
        card = lab.readers.card("card")
        assert set(card.memory.keys) == {Slot.ATTESTATION}
        honest()
        again = await issue(lab)
        assert getattr(again.error, "code", "") == "management-key-rejected"
        assert live(lab) == 0


async def test_a_fault_of_the_server_is_recorded_and_healed(caplog: pytest.LogCaptureFixture) -> None:
    async with desk() as lab:

        async def stumble(_: object) -> Sequence[Answer]:
            message = "something that nobody thought of"
            raise RuntimeError(message)

        lab.ca.issue = stumble  # type: ignore[method-assign, assignment]  # a fault
        outcome = await issue(lab)
        assert outcome.error is not None
        assert outcome.error.code == "server-fault"
        incident = str(outcome.error.facts["incident"])
        assert incident in caplog.text
        assert outcome.next_action == "insert-again"
        del lab.ca.issue
        assert (await issue(lab)).error is None
        assert live(lab) == 2


@pytest.mark.parametrize("profile", [ProfileName.YUBIKEY_4, ProfileName.UNKNOWN, ProfileName.YUBIKEY_5_7])
async def test_a_key_that_was_deleted_in_between_is_made_anew(profile: ProfileName) -> None:
    """A card that does not tell is found out when it shall sign; the insertion after that heals."""
    async with desk(profile, template(certificate(A, Algorithm.P256))) as lab:
        await lose_the_key_of_an_issued_certificate(lab)
        outcome = await issue(lab)
        if profile is not ProfileName.YUBIKEY_5_7:
            assert getattr(outcome.error, "code", "") == "card-not-genuine"
            outcome = await issue(lab)
        assert outcome.error is None
        assert holds_matching_keys(lab.readers.card("card"), A)
        assert live(lab) == 1


async def test_an_authority_that_cannot_revoke_stops_the_issue() -> None:
    """A certificate whose key is gone would stay live: an administrator has to see to it."""
    async with desk(text=template(certificate(A, Algorithm.P256))) as lab:

        class Unrevoking:
            """The same authority, without its list."""

            def __init__(self) -> None:
                self.abilities = lab.ca.abilities
                self.issue, self.find, self.trust = lab.ca.issue, lab.ca.find, lab.ca.trust

        await lose_the_key_of_an_issued_certificate(lab)
        lab.services.authorities["built-in"] = Unrevoking()  # type: ignore[index]  # a dict, really
        outcome = await issue(lab)
        assert outcome.error is not None
        assert (outcome.error.code, outcome.error.facts["what"]) == ("not-supported", "revoke")
        lab.services.authorities["built-in"] = lab.ca  # type: ignore[index]  # a dict, really
        assert (await issue(lab)).error is None
        assert live(lab) == 1


async def lose_the_key_of_an_issued_certificate(lab: Lab) -> None:
    real = lab.ca.issue

    async def and_pull(requests: Sequence[SignRequest]) -> Sequence[Answer]:
        await lab.readers.pull("Reader 1")
        return await real(requests)

    lab.ca.issue = and_pull  # type: ignore[method-assign]  # the card is gone when the answer comes
    assert (await issue(lab)).error is not None
    del lab.ca.issue
    applet = lab.readers.card("card")._applet
    applet.memory = applet.memory.without_key(A)
    await lab.readers.insert("Reader 1", "card")
    await lab.settle()
