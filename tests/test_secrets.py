"""No secret comes out: unique ones go in through every face, at the loudest level, and everything that came out is read.

Also where things go wrong: PINs that are wrong, weak or blocked, cards that are pulled while a secret is on its way, a
server that is killed, steps that fail in a way that nobody foresaw. What is read: logs, standard output and error,
audit and every other row of the decrypted database, every turn between station and server, pictures of screens,
command lines and environments, files left behind.

On the wire a PIN never appears. A PUK and a management key do, because a card takes them in clear, in three commands
and nowhere else (`docs/security.md`).
"""

import io
import logging
import os
import secrets as randomness
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pytest

from kiosk.backend.client import GrpcBackend
from kiosk.backend.first_start import GrpcFirstStart
from kiosk.backend.joining import join
from kiosk.backend.self_service import GrpcSelfService
from kiosk.devices.tracing import TracedReaders
from kiosk.devices.virtual.reader import VirtualReaders
from kiosk.station import core
from kiosk.station.core import StationCore
from kiosk.station.faces import Job, Outcome
from server.operations.secrets import CardSecrets
from shared import errors, logs
from shared.clock import SystemClock
from shared.credential.pins import pad
from shared.iso7816.apdu import Command, Item
from shared.joining import read_token
from shared.logs import TRAFFIC, Level, LogSettings
from shared.piv.ids import Ins, KeyRef
from shared.proto.convert_turns import encode_server_turn, encode_station_turn
from shared.relay import Exchange, OperationKind, ServerTurn, StationTurn
from shared.secret import Secret
from shared.self_service import PasswordGiven
from shared.virtual.faults import Fault, FaultKind
from tests import canaries
from tests.canaries import PINS, Vault, leaks, secrets_of_card
from tests.scenario.installation import HOLDER, READER, Installation
from tests.scenario.judging import WatchedCard
from tests.scenario.lab import BOB, Holder, Lab, Notes
from tests.scenario.templates import EMPLOYEE
from tests.serving import PASSPHRASE, STATION, write_secret

FIRST: Final = PINS["first PIN"].decode()
NEXT: Final = PINS["next PIN"].decode()
WRONG: Final = PINS["wrong PIN"].decode()
WEAK: Final = PINS["weak PIN"].decode()
LDAP_PASSWORD: Final = "tr0ub4dor-canary-3"
HOLDERS_PASSWORD: Final = "holders-canary-tr0ub4dor-4"
PASSCODE: Final = "passcode-canary-tr0ub4dor-5"

LDAP: Final = """
[server.directory.corporate]
kind = "ldap"
host = "127.0.0.1"
port = 9
base = "dc=lab,dc=test"
bind-dn = "cn=cards,dc=lab,dc=test"
password = "file:ldap-password"
timeout-s = 1
"""
"""A directory that is down, so that its password has a reason to be complained about."""

KEPT_IN: Final = ("passphrase", "passcode", "ldap-password", "identity.pem", "people.csv")
"""Files that are there to hold a secret."""

PERSONAL: Final = {
    "birth date": b"1961-08-29",
    "birth date in a row": b"19610829",
    "birth date as people write it": b"29081961",
    "birth date as others write it": b"08291961",
    "number": b"70395182",
}
"""What the holder's PIN must not be taken from: it goes to the station for that, and nowhere else."""

PEOPLE: Final = (
    "id,name,user,upn,mail,department,sid,birth-date,employee-id\n"
    "1001,Anna Berg,aberg,aberg@lab.test,aberg@lab.test,R&D,S-1-5-21-1-2-3-1001,1961-08-29,70395182\n"
)
NOT_FROM: Final = f'{EMPLOYEE}\n[pin]\nnot-from = ["user.birth-date", "user.employee-id"]\n'


@pytest.fixture
def loud(tmp_path: Path) -> Iterator[io.StringIO]:
    """Log as loudly as a station can, into `station.log` and into what is returned."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    levels = {name: logging.getLogger(name).level for name in logs._LOUD_LIBRARIES}
    root.handlers = []
    heard = io.StringIO()
    logs.set_up(LogSettings(level=Level.TRAFFIC, file=tmp_path / "station.log"), stream=heard)
    assert root.level == TRAFFIC
    yield heard
    for handler in root.handlers:
        handler.close()
    root.handlers, root.level = before
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.fixture(autouse=True)
def known_transport_pin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have stations of this process draw the transport PIN that is looked for."""
    digits = [digit - ord("0") for digit in PINS["transport PIN"]]
    drawn: list[int] = []

    def below(_limit: int) -> int:
        drawn.append(digits[len(drawn) % len(digits)])
        return drawn[-1]

    class Randomness:
        randbelow = staticmethod(below)
        token_hex = staticmethod(randomness.token_hex)

    monkeypatch.setattr(core, "secrets", Randomness)


# --- what crosses ---------------------------------------------------------------------------------------


def _without_documented(item: Item) -> Item:
    """Empty a command that carries a secret of the issuer in clear because the card takes it in no other way."""
    if isinstance(item, Command) and (
        item.ins in {Ins.SET_MANAGEMENT_KEY, Ins.RESET_RETRY_COUNTER}
        or (item.ins == Ins.CHANGE_REFERENCE_DATA and item.p2 == KeyRef.PUK)
    ):
        return replace(item, parts=())
    return item


@dataclass
class Overheard:
    """Every message as it was on the wire, and its text form, as a log might have it."""

    wire: list[bytes] = field(default_factory=list)
    undocumented: list[bytes] = field(default_factory=list)
    """The same without the three commands that may carry a secret."""
    text: list[str] = field(default_factory=list)

    def hear(self, turn: ServerTurn | StationTurn) -> None:
        self.text.append(repr(turn))
        if not isinstance(turn, Exchange):
            encode = encode_server_turn if isinstance(turn, ServerTurn) else encode_station_turn
            self.wire.append(encode(turn).SerializeToString())  # type: ignore[arg-type]  # one of the two
            self.undocumented.append(self.wire[-1])
            return
        self.wire.append(encode_server_turn(turn).SerializeToString())
        rest = tuple(_without_documented(item) for item in turn.items)
        self.undocumented.append(encode_server_turn(replace(turn, items=rest)).SerializeToString())


class Listening(GrpcBackend):
    """The line to the server, overheard."""

    heard: Overheard

    async def operation(self, turns: AsyncIterator[StationTurn]) -> AsyncGenerator[ServerTurn, None]:
        async def speaking() -> AsyncIterator[StationTurn]:
            async for turn in turns:
                self.heard.hear(turn)
                yield turn

        async for turn in super().operation(speaking()):
            self.heard.hear(turn)
            yield turn


# --- a station and a server -----------------------------------------------------------------------------


class Work:
    """Everything that can be done to a card, with everything that can go wrong."""

    def __init__(self, station: StationCore, readers: VirtualReaders, card: WatchedCard) -> None:
        self._station, self._readers, self._card = station, readers, card

    async def do(self, operation: OperationKind, holder: Holder | None = None) -> Outcome:
        issuing = operation is OperationKind.ISSUE
        job = Job(
            operation=operation,
            reader=READER,
            holder=HOLDER if issuing else "",
            template="employee" if issuing else "",
        )
        await self._readers.insert(READER, "card")
        return await self._station.perform(job, holder or Holder(), Notes())

    async def cut(self, ins: Ins, operation: OperationKind, holder: Holder | None = None) -> None:
        """Pull the card with a secret on its way, once before the card takes it and once after."""
        for kind in (FaultKind.COMMAND_LOST, FaultKind.RESPONSE_LOST):
            await self._readers.insert(READER, "card")
            self._card.faults.arm(Fault(kind=kind, ins=ins))
            outcome = await self.do(operation, replace(holder) if holder else None)
            assert outcome.error is not None, ins
            self._card.faults.disarm()

    async def everything(self) -> None:
        self._card.faults.arm(Fault(kind=FaultKind.STATUS, ins=Ins.SET_MANAGEMENT_KEY, sw=0x6F00))
        assert (await self.do(OperationKind.ISSUE)).error is not None
        for ins in (Ins.SET_MANAGEMENT_KEY, Ins.RESET_RETRY_COUNTER, Ins.CHANGE_REFERENCE_DATA):
            await self.cut(ins, OperationKind.ISSUE)
        assert (await self.do(OperationKind.ISSUE)).state == "issued"
        await self.cut(Ins.RESET_RETRY_COUNTER, OperationKind.ACTIVATE, Holder(new_pins=[FIRST] * 3))
        outcome = await self.do(OperationKind.ACTIVATE, Holder(new_pins=[WEAK, FIRST]))
        assert (outcome.error, outcome.state) == (None, "active")
        holder = Holder(current_pins=[WRONG, FIRST], new_pins=[WEAK, NEXT])
        assert (await self.do(OperationKind.CHANGE_PIN, holder)).error is None
        own = [PERSONAL["birth date as people write it"], PERSONAL["number"]]
        holder = Holder(current_pins=[NEXT], new_pins=[*map(bytes.decode, own), NEXT])
        outcome = await self.do(OperationKind.CHANGE_PIN, holder)
        assert outcome.error is not None
        rules = [str(problem.facts["rule"]) for problem in holder.problems if problem]
        assert rules == ["personal", "personal", "same"]
        outcome = await self.do(OperationKind.CHANGE_PIN, Holder(current_pins=[WRONG] * 3))
        assert outcome.error is not None
        assert outcome.error.code == "pin-blocked"
        outcome = await self.do(OperationKind.UNBLOCK, Holder(new_pins=[NEXT]))
        assert (outcome.error, outcome.state) == (None, "active")
        await self.cut(Ins.GENERATE_ASYMMETRIC, OperationKind.REISSUE, Holder(current_pins=[NEXT] * 2))
        outcome = await self.do(OperationKind.REISSUE, Holder(current_pins=[WRONG, NEXT]))
        assert (outcome.error, outcome.state) == (None, "active")
        outcome = await self.do(OperationKind.RENEW, Holder(current_pins=[NEXT]))
        assert (outcome.error, outcome.state) == (None, "active")


async def log_on(line: Listening) -> None:
    """Have a holder's password typed, for a directory that is down, and the passcode of the first start, which is begun."""
    password = PasswordGiven(name="aberg", password=Secret.from_text(HOLDERS_PASSWORD))
    with pytest.raises(errors.ConnectorUnreachable):
        await GrpcSelfService(line).log_on(password)
    start = GrpcFirstStart(line)
    await start.begin_first_start(Secret.from_text(PASSCODE))
    await start.end_first_start()


async def test_a_station_and_a_server(
    tmp_path: Path, loud: io.StringIO, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / "tmp"
    left.mkdir()
    monkeypatch.setenv("TMPDIR", str(left))
    installation = Installation(tmp_path / "installation")
    installation.folder.mkdir()
    write_secret(installation.folder / "ldap-password", LDAP_PASSWORD)
    installation.make(more=LDAP, people=PEOPLE, template=NOT_FROM, passcode=PASSCODE)
    card = WatchedCard.fresh(serial=20114321)
    factory = secrets_of_card(card.memory)
    readers = VirtualReaders([READER])
    readers.add_card("card", card)
    heard = Overheard()
    installation.start()
    try:
        seen = canaries.of_process(installation.pid)
        identity = await join(installation.token, installation.folder / "station", STATION)
        line = Listening(identity, SystemClock())
        line.heard = heard
        async with StationCore(TracedReaders(readers), line, SystemClock()) as station:
            with pytest.raises(Exception, match="connector-unreachable"):
                await station.find_people("anna")
            await log_on(line)
            work = Work(station, readers, card)
            await work.everything()
            installation.kill()
            assert (await work.do(OperationKind.CHANGE_PIN, Holder([NEXT], [FIRST]))).error is not None
            await installation.restart()
            doctor = await installation.ask("doctor")
    finally:
        installation.stop()

    assert card.memory.pin.value == Secret(pad(NEXT.encode())), "the PIN that we look for was really used"
    printed = capfd.readouterr()
    vault = Vault(installation.folder / "server", PASSPHRASE)
    said = {
        **seen,
        **canaries.files(tmp_path, without=KEPT_IN),
        "log of the station": loud.getvalue().encode(),
        "printed": (printed.out + printed.err).encode(),
        "doctor": doctor,
        "database": await vault.rows(),
        "turns as text": "\n".join(heard.text).encode(),
    }
    of_card = secrets_of_card(card.memory)
    of_card = {name: value for name, value in of_card.items() if value != factory.get(name)}
    of_server = await vault.secrets()
    others = {
        "passphrase": PASSPHRASE.encode(),
        "LDAP password": LDAP_PASSWORD.encode(),
        "holder's password": HOLDERS_PASSWORD.encode(),
        "passcode": PASSCODE.encode(),
        "join secret": read_token(installation.token).secret.reveal(),
        "station's key": canaries.private_key_of(identity.key.reveal()),
    }
    assert leaks({**PINS, **PERSONAL, **of_card, **of_server, **others}, said) == []
    assert leaks({**PINS, **others}, {"wire": b"\n".join(heard.wire)}) == []
    assert leaks({**of_card, **of_server}, {"other commands": b"\n".join(heard.undocumented)}) == []
    assert list(left.iterdir()) == []
    check_that_all_was_seen(said, heard, of_card)


def check_that_all_was_seen(said: dict[str, bytes], heard: Overheard, of_card: dict[str, bytes]) -> None:
    """An empty net catches nothing: every place has in it what is harmless and must be there."""
    assert b"Anna Berg" in said["database"]
    assert b"masked]  VERIFY PIN" in said["file station.log"]
    assert b"masked]  SET MANAGEMENT KEY" in said["file station.log"]
    assert b"connector-unreachable" in said["file installation/server.log"]
    assert b"corporate" in said["doctor"]
    assert b"server.cli" in b"".join(said.values())
    assert leaks(PERSONAL, {"wire": b"\n".join(heard.wire)}) == [
        f"{name} in wire" for name in PERSONAL if name != "birth date"
    ]
    assert len(of_card) == 7, "with the key that was retired"
    assert leaks({"PUK": of_card["PUK of card"]}, {"wire": b"\n".join(heard.wire)}) == ["PUK in wire"]


async def test_a_step_that_fails_as_nobody_foresaw(
    tmp_path: Path, loud: io.StringIO, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine logs where it was; the variables there, and what the error was made of, are secrets."""
    derive = CardSecrets.puk
    seen: list[bytes] = []

    async def fails(self: CardSecrets, version: object) -> bytes:
        puk = await derive(self, version)  # type: ignore[arg-type]  # passed on
        seen.append(puk)
        held = Secret(puk)
        message = "a step fails"
        raise RuntimeError(message, held) from ValueError(held)

    lab = await Lab.start()
    try:
        await lab.insert(WatchedCard.fresh().memory.profile)
        assert (await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")).error is None
        monkeypatch.setattr(CardSecrets, "puk", fails)
        outcome = await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[FIRST]))
        assert outcome.error is not None
        assert outcome.error.code == "server-fault"
        monkeypatch.undo()
        assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[NEXT]))).error is None
    finally:
        await lab.close()
    printed = capfd.readouterr()
    said = {
        "log": loud.getvalue().encode(),
        "printed": (printed.out + printed.err).encode(),
        "outcome": repr(outcome).encode(),
        **canaries.files(tmp_path),
    }
    assert b"operation fault" in said["log"]
    assert b"RuntimeError" in said["log"]
    assert leaks({**PINS, "PUK": seen[0], **secrets_of_card(lab.readers.card("card").memory)}, said) == []


# --- the search itself ----------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [b"73915486", bytes(range(100, 124))], ids=["digits", "bytes"])
def test_the_search_finds_what_it_should(secret: bytes) -> None:
    import base64

    texts = [
        secret,
        secret.hex().encode(),
        secret.hex(" ").upper().encode(),
        secret.hex(":").encode(),
        repr(secret).encode(),
        str(list(secret)).encode(),
        repr(bytearray(secret)).encode(),
        secret[::-1].hex().encode(),
        *(base64.b64encode(bytes(before) + secret + b"behind") for before in range(7)),
        base64.urlsafe_b64encode(secret),
    ]
    if len(secret) == 8:
        texts += [base64.b64encode(pad(secret[:6])), pad(secret[:6]).hex().encode()]
    for text in texts:
        wanted = (
            secret[:6]
            if len(secret) == 8 and (b"ff" in text or text == base64.b64encode(pad(secret[:6])))
            else secret
        )
        assert leaks({"it": wanted}, {"there": b"before " + text + b" behind"}) == ["it in there"], text
    assert leaks({"it": secret}, {"there": os.urandom(1 << 16)}) == []


def test_a_leak_into_the_log_is_found(tmp_path: Path, loud: io.StringIO) -> None:
    """The net holds: one careless line is one fish."""
    logging.getLogger("kiosk.station.relay").log(TRAFFIC, "typed %r", FIRST.encode())
    assert leaks(PINS, canaries.files(tmp_path)) == ["first PIN in file station.log"]
    assert leaks(PINS, {"log": loud.getvalue().encode()}) == ["first PIN in log"]
