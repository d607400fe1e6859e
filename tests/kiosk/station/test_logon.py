"""Logging on at a station: what the operator's card signs and when, what a wrong PIN costs, and how a session ends."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from kiosk.devices.virtual.reader import VirtualReaders
from kiosk.ports import LineEnds
from kiosk.station.converse import converse
from kiosk.station.faces import Ended
from kiosk.station.logon import Logon
from shared import errors
from shared.clock import SystemClock
from shared.errors import KioskError
from shared.iso7816.apdu import CHALLENGE_PREFIX
from shared.iso7816.conversation import Conversation
from shared.logon import LIFETIME, LogonPurpose, LogonText, verify_logon
from shared.piv.certificate import CertificateContainer
from shared.piv.data import write_object
from shared.piv.ids import Algorithm, PinPolicyId, ProfileName, Slot
from shared.piv.keys import generate_key, sign_digest
from shared.piv.management import authenticated_singly, factory_key
from shared.piv.pin import verify_pin
from shared.piv.publickey import PublicKey, subject_public_key_info
from shared.piv.select import fresh, select
from shared.roles import PRESETS, Grant
from shared.secret import Secret
from shared.sessions import Leaving, LogonProof, Proof, SessionView
from shared.virtual.card import VirtualCard
from tests.kiosk.station.doubles import READER, ToldPerson
from tests.shared.piv.terminal import Terminal

PIN = "123456"
WRONG = "999999"
OTHER_READER = "Virtual 2"
ENDS = LineEnds(server="cards.example.org", station=b"s" * 32)
VIEW = SessionView(
    operator_id=UUID(int=7),
    name="Anna Berg",
    began_at=datetime(2026, 11, 20, tzinfo=UTC),
    ends_at=datetime(2026, 11, 21, tzinfo=UTC),
    idle=timedelta(minutes=10),
)


@dataclass
class Line:
    """A server that asks for what the test says, and notes what it is told."""

    text: Callable[[LogonText], bytes] = bytes
    idle: timedelta = timedelta(minutes=10)
    proofs: list[tuple[LogonPurpose, Proof]] = field(default_factory=list)
    asked: list[LogonPurpose] = field(default_factory=list)
    ended: list[Leaving] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    failure: errors.KioskError | None = None
    told: Callable[[], None] = lambda: None
    looked: int = 0
    grants: tuple[Grant, ...] = ()

    @property
    def ends(self) -> LineEnds:
        return ENDS

    async def challenge(self, purpose: LogonPurpose) -> bytes:
        self.asked.append(purpose)
        now = datetime.now(UTC).replace(microsecond=0)
        return self.text(
            LogonText(
                server=ENDS.server,
                station=ENDS.station,
                nonce=len(self.asked).to_bytes(32, "big"),
                expires_at=now + LIFETIME,
                purpose=purpose,
            )
        )

    async def log_on(self, proof: Proof) -> SessionView:
        return self._take(LogonPurpose.LOG_ON, proof)

    async def step_up(self, proof: Proof) -> SessionView:
        return self._take(LogonPurpose.STEP_UP, proof)

    async def log_off(self, why: Leaving = Leaving.LOGGED_OFF) -> None:
        self.ended.append(why)
        self.heard.set()
        if self.failure is not None:
            raise self.failure

    async def who_is(self) -> SessionView:
        self.looked += 1
        if self.failure is not None:
            if isinstance(self.failure, errors.SessionEnded):
                self.told()
            raise self.failure
        return dataclasses.replace(VIEW, idle=self.idle, grants=self.grants)

    def when_ended(self, told: Callable[[], None]) -> None:
        self.told = told

    def _take(self, purpose: LogonPurpose, proof: Proof) -> SessionView:
        if self.failure is not None:
            raise self.failure
        self.proofs.append((purpose, proof))
        return dataclasses.replace(VIEW, idle=self.idle)


def certify(public_key: PublicKey) -> bytes:
    issuer = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string("CN=Anna Berg")
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, public_key, x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    return builder.sign(issuer, SHA256()).public_bytes(Encoding.DER)


def operator_card(
    algorithm: Algorithm = Algorithm.P256,
    pin_policy: PinPolicyId = PinPolicyId.DEFAULT,
    *,
    certified: PublicKey | None = None,
    profile: ProfileName = ProfileName.YUBIKEY_5_7,
) -> VirtualCard:
    """Return a card with a key in 9A and its certificate, or that of another key."""
    terminal = Terminal(profile)
    card = terminal.card
    management = card.memory.management.algorithm
    made = generate_key(Slot.AUTHENTICATION, algorithm, pin_policy)
    key = terminal.drive(fresh(authenticated_singly(factory_key(management), made)))
    container = CertificateContainer(certificate=certify(certified or key))
    written = write_object(Slot.AUTHENTICATION.certificate_object, bytes(container))
    terminal.drive(fresh(authenticated_singly(factory_key(management), written)))
    card.power_on()
    return card


def _wrong() -> Conversation[None]:
    yield from select()
    yield from verify_pin(WRONG.encode())


@dataclass
class Desk:
    readers: VirtualReaders
    card: VirtualCard
    line: Line
    logon: Logon

    async def tried(self, times: int) -> None:
        """Let somebody try wrong PINs."""
        async with self.readers.session(READER) as session:
            for _ in range(times):
                with contextlib.suppress(errors.PinRejected, errors.PinBlocked):
                    await converse(_wrong(), session)

    @property
    def pin_tries(self) -> int:
        return self.card.memory.pin.left


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    readers, card = VirtualReaders([READER, OTHER_READER]), operator_card()
    readers.add_card("card", card)
    await readers.insert(READER, "card")
    line = Line()
    made = Desk(readers, card, line, Logon(readers, line, SystemClock()))
    yield made
    await made.logon.close()
    await readers.close()


async def gone(desk: Desk) -> None:
    """Wait until nobody is logged on, and the server was told."""
    async with asyncio.timeout(5):
        async for session in desk.logon.views():
            if session is None:
                break
        await desk.line.heard.wait()


# --- logging on -----------------------------------------------------------------------------------------


async def test_an_operator_logs_on_with_card_and_pin(desk: Desk) -> None:
    person = ToldPerson(PIN)
    assert await desk.logon.log_on(READER, person) == desk.logon.session
    ((purpose, proof),) = desk.line.proofs
    assert purpose is LogonPurpose.LOG_ON
    assert isinstance(proof, LogonProof)
    key = x509.load_der_x509_certificate(proof.certificate).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    verify_logon(subject_public_key_info(key), proof.text, proof.signature)
    assert person.asked == [("current", 3, "")]
    assert all(secret.wiped for secret in person.secrets)


async def test_the_card_is_left_as_it_was_found(desk: Desk) -> None:
    """Nothing is verified in it, and no other program meets it open."""
    await desk.logon.log_on(READER, ToldPerson(PIN))
    async with desk.readers.session(READER) as session:
        await converse(select(), session)
        with pytest.raises(errors.NotAuthorised):
            await converse(sign_digest(Slot.AUTHENTICATION, Algorithm.P256, bytes(32)), session)


@pytest.mark.parametrize(
    ("algorithm", "pin_policy"),
    [
        (Algorithm.P384, PinPolicyId.DEFAULT),
        (Algorithm.RSA_2048, PinPolicyId.ALWAYS),
    ],
)
async def test_every_kind_of_key_logs_on(desk: Desk, algorithm: Algorithm, pin_policy: PinPolicyId) -> None:
    desk.readers.add_card("other", operator_card(algorithm, pin_policy))
    await desk.readers.insert(OTHER_READER, "other")
    await desk.logon.log_on(OTHER_READER, ToldPerson(PIN))
    assert len(desk.line.proofs) == 1


async def test_a_key_whose_signatures_an_agent_makes_too_logs_nobody_on(desk: Desk) -> None:
    desk.readers.add_card("other", operator_card(Algorithm.ED25519, PinPolicyId.ALWAYS))
    await desk.readers.insert(OTHER_READER, "other")
    with pytest.raises(errors.LogonRefused):
        await desk.logon.log_on(OTHER_READER, ToldPerson(PIN))
    assert not desk.line.proofs


async def test_a_wrong_pin_counts_at_the_card_alone(desk: Desk) -> None:
    person = ToldPerson(WRONG, PIN)
    await desk.logon.log_on(READER, person)
    assert person.asked == [("current", 3, ""), ("few", 2, ""), ("current", 2, "pin-rejected")]
    assert len(desk.line.proofs) == 1
    assert all(secret.wiped for secret in person.secrets)
    texts = {proof.text for _, proof in desk.line.proofs}
    assert len(desk.line.asked) == 2
    assert len(texts) == 1


async def test_with_few_tries_left_the_operator_decides(desk: Desk) -> None:
    await desk.tried(1)
    person = ToldPerson(PIN, agrees=False)
    with pytest.raises(errors.Cancelled):
        await desk.logon.log_on(READER, person)
    assert person.asked == [("few", 2, "")]
    assert desk.pin_tries == 2
    assert not desk.line.asked


async def test_a_blocked_pin_is_not_asked_for(desk: Desk) -> None:
    await desk.tried(3)
    person = ToldPerson(PIN)
    with pytest.raises(errors.PinBlocked):
        await desk.logon.log_on(READER, person)
    assert person.asked == []


async def test_a_try_that_was_lost_while_typing_is_asked_about(desk: Desk) -> None:
    class Slow(ToldPerson):
        async def current_pin(self, tries_left: int | None, problem: KioskError | None) -> Secret | None:
            if tries_left == 3:
                await desk.tried(1)
            return await super().current_pin(tries_left, problem)

    person = Slow(PIN, PIN)
    await desk.logon.log_on(READER, person)
    assert person.asked == [("current", 3, ""), ("few", 2, ""), ("current", 2, "")]


async def test_who_stops_is_not_logged_on(desk: Desk) -> None:
    with pytest.raises(errors.Cancelled):
        await desk.logon.log_on(READER, ToldPerson())
    assert desk.logon.session is None
    assert not desk.line.asked


async def test_what_is_no_pin_is_not_tried(desk: Desk) -> None:
    person = ToldPerson("123456789", PIN)
    await desk.logon.log_on(READER, person)
    assert person.asked[-1] == ("current", 3, "pin-policy-violated")
    assert desk.pin_tries == 3


# --- what is not signed ---------------------------------------------------------------------------------


def changed(**changes: Any) -> Callable[[LogonText], bytes]:
    return lambda text: bytes(dataclasses.replace(text, **changes))


@pytest.mark.parametrize(
    "hostile",
    [
        changed(server="evil.example.org"),
        changed(station=b"t" * 32),
        changed(purpose=LogonPurpose.STEP_UP),
        changed(purpose=LogonPurpose.APPROVE, intent=bytes(32)),
        changed(expires_at=datetime(2027, 11, 20, tzinfo=UTC)),
        changed(expires_at=datetime(2025, 11, 20, tzinfo=UTC)),
        lambda text: bytes(text) + b"x",
        lambda _: CHALLENGE_PREFIX + bytes(32),
        lambda _: b"transfer all my money",
    ],
    ids=["server", "station", "step-up", "approval", "later", "past", "more", "challenge", "words"],
)
async def test_nothing_else_is_signed(desk: Desk, hostile: Callable[[LogonText], bytes]) -> None:
    desk.line.text = hostile
    person = ToldPerson(PIN)
    with pytest.raises(errors.ChallengeRefused):
        await desk.logon.log_on(READER, person)
    assert not desk.line.proofs
    assert desk.logon.session is None
    assert all(secret.wiped for secret in person.secrets)


async def test_a_card_that_was_swapped_while_typing_signs_nothing(desk: Desk) -> None:
    other = operator_card()
    desk.readers.add_card("other", other)

    class Swapping(ToldPerson):
        async def current_pin(self, tries_left: int | None, problem: KioskError | None) -> Secret | None:
            await desk.readers.insert(READER, "other")
            return await super().current_pin(tries_left, problem)

    with pytest.raises(errors.CardChanged):
        await desk.logon.log_on(READER, Swapping(WRONG))
    assert not desk.line.proofs
    assert other.memory.pin.left == 3  # it was not sent the PIN of the other one


async def test_a_certificate_without_its_key_logs_nobody_on(desk: Desk) -> None:
    foreign = ec.generate_private_key(ec.SECP256R1()).public_key()
    desk.readers.add_card("other", operator_card(certified=foreign))
    await desk.readers.insert(READER, "other")
    with pytest.raises(errors.CardNotGenuine):
        await desk.logon.log_on(READER, ToldPerson(PIN))
    assert not desk.line.proofs


async def test_a_card_without_certificate_logs_nobody_on(desk: Desk) -> None:
    desk.readers.add_card("other", Terminal().card)
    await desk.readers.insert(READER, "other")
    person = ToldPerson(PIN)
    with pytest.raises(errors.LogonRefused):
        await desk.logon.log_on(READER, person)
    assert person.asked == []


async def test_a_server_that_refuses_logs_nobody_on(desk: Desk) -> None:
    desk.line.failure = errors.LogonRefused()
    with pytest.raises(errors.LogonRefused):
        await desk.logon.log_on(READER, ToldPerson(PIN))
    assert desk.logon.session is None


# --- how it ends ----------------------------------------------------------------------------------------


async def test_it_ends_when_the_card_is_pulled(desk: Desk) -> None:
    await desk.logon.log_on(READER, ToldPerson(PIN))
    await desk.readers.pull(READER)
    await gone(desk)
    assert desk.line.ended == [Leaving.CARD_REMOVED]
    await desk.readers.insert(READER, "card")
    with pytest.raises(errors.LogonNeeded):
        await desk.logon.step_up(ToldPerson(PIN))


async def test_another_reader_does_not_matter(desk: Desk) -> None:
    desk.readers.add_card("other", Terminal().card)
    await desk.readers.insert(OTHER_READER, "other")
    await desk.logon.log_on(READER, ToldPerson(PIN))
    await desk.readers.pull(OTHER_READER)
    await asyncio.sleep(0.05)
    assert desk.logon.session is not None


async def test_it_ends_when_the_reader_is_unplugged(desk: Desk) -> None:
    await desk.logon.log_on(READER, ToldPerson(PIN))
    await desk.readers.detach(READER)
    await gone(desk)


async def test_it_ends_when_nobody_does_anything(desk: Desk) -> None:
    desk.line.idle = timedelta(seconds=0.2)
    await desk.logon.log_on(READER, ToldPerson(PIN))
    await asyncio.sleep(0.15)
    desk.logon.touch()
    await asyncio.sleep(0.1)
    assert desk.logon.session is not None
    await gone(desk)
    assert desk.line.ended == [Leaving.LOGGED_OFF]


async def test_it_is_known_how_it_ended(desk: Desk) -> None:
    assert desk.logon.ended is None
    desk.line.idle = timedelta(seconds=0.1)
    await desk.logon.log_on(READER, ToldPerson(PIN))
    await gone(desk)
    assert desk.logon.ended is Ended.IDLE
    desk.line.idle = timedelta(minutes=10)
    await desk.logon.log_on(READER, ToldPerson(PIN))
    await desk.logon.log_off()
    assert desk.logon.ended is Ended.LOGGED_OFF


async def test_a_session_that_ended_at_the_server_ends_here_though_nobody_asks_anything(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kiosk.station.logon.LOOK_EVERY_S", 0.01)
    await desk.logon.log_on(READER, ToldPerson(PIN))
    desk.line.failure = errors.ServerUnreachable()
    await asyncio.sleep(0.05)
    assert desk.logon.session is not None, "a server that is away decides nothing"
    desk.line.failure = errors.SessionEnded()
    async with asyncio.timeout(2):
        async for session in desk.logon.views():
            if session is None:
                break
    assert desk.logon.ended is Ended.BY_SERVER
    looked = desk.line.looked
    await asyncio.sleep(0.05)
    assert desk.line.looked == looked, "nobody is looked for who is not there"


async def test_what_an_operator_may_do_from_now_on_is_learnt(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kiosk.station.logon.LOOK_EVERY_S", 0.01)
    await desk.logon.log_on(READER, ToldPerson(PIN))
    desk.line.grants = PRESETS["normal"].grants
    async with asyncio.timeout(2):
        async for session in desk.logon.views():
            if session is not None and session.grants:
                break


async def test_who_logs_off_is_gone_whatever_the_server_says(desk: Desk) -> None:
    await desk.logon.log_on(READER, ToldPerson(PIN))
    desk.line.failure = errors.ServerUnreachable()
    await desk.logon.log_off()
    assert desk.logon.session is None
    assert desk.line.ended == [Leaving.LOGGED_OFF]


async def test_it_ends_when_the_server_says_so(desk: Desk) -> None:
    await desk.logon.log_on(READER, ToldPerson(PIN))
    desk.line.told()
    assert desk.logon.session is None


async def test_a_second_log_on_ends_the_first(desk: Desk) -> None:
    await desk.logon.log_on(READER, ToldPerson(PIN))
    await desk.logon.log_on(READER, ToldPerson(PIN))
    assert desk.line.ended == [Leaving.LOGGED_OFF]
    assert len(desk.line.proofs) == 2


# --- the PIN again --------------------------------------------------------------------------------------


async def test_the_pin_is_asked_again(desk: Desk) -> None:
    await desk.logon.log_on(READER, ToldPerson(PIN))
    await desk.logon.step_up(ToldPerson(PIN))
    assert [purpose for purpose, _ in desk.line.proofs] == [LogonPurpose.LOG_ON, LogonPurpose.STEP_UP]


async def test_the_pin_again_is_of_the_same_card(desk: Desk) -> None:
    await desk.logon.log_on(READER, ToldPerson(PIN))
    desk.readers.add_card("other", operator_card())
    await desk.readers.insert(READER, "other")
    with pytest.raises((errors.CardChanged, errors.LogonNeeded)):
        await desk.logon.step_up(ToldPerson(PIN))
    assert len(desk.line.proofs) == 1
