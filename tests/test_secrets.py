"""No secret comes out: unique ones go in everywhere, at the loudest level, and then everything that came out is read.

What is read: log records of the station, logs and complaints of the server, every file of both (also the database,
decrypted row by row), and every turn between them in its text form. On the wire itself a PIN never appears; a
PUK and a management key do, because a card takes them in clear (`docs/explanation/security.md`).
"""

import base64
import logging
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from kiosk.backend.client import GrpcBackend
from kiosk.backend.joining import join
from kiosk.devices.tracing import TracedReaders
from kiosk.devices.virtual.reader import VirtualReaders
from kiosk.station.core import StationCore
from kiosk.station.faces import Job
from server.connectors.keystore.software import SoftwareKeyStore
from server.store.database import connect
from server.wiring import DATABASE_KEY
from shared.clock import SystemClock
from shared.credential.pins import pad
from shared.piv.ids import ProfileName
from shared.proto.convert_turns import encode_server_turn, encode_station_turn
from shared.relay import OperationKind, ServerTurn, StationTurn
from shared.secret import Secret
from shared.virtual.card import VirtualCard
from tests.peers.ports import free_ports
from tests.scenario.lab import Holder, Notes
from tests.scenario.templates import EMPLOYEE
from tests.serving import PASSPHRASE, STATION, prepare, serving

FIRST_PIN: Final = "73915486"
NEXT_PIN: Final = "48261593"
WRONG_PIN: Final = "60418275"
READER: Final = "Virtual 1"
HOLDER: Final = "1001"
DIRECTORY: Final = '[server.directory.people]\nkind = "file"\npath = "people.csv"\n'
PEOPLE: Final = (
    "id,name,user,upn,mail,department,sid\n"
    "1001,Anna Berg,aberg,aberg@lab.test,aberg@lab.test,R&D,S-1-5-21-1-2-3-1001\n"
)


@dataclass
class Overheard:
    """Everything that two processes said to each other, as text and as bytes."""

    text: list[str] = field(default_factory=list)
    wire: list[bytes] = field(default_factory=list)


class Listening(GrpcBackend):
    """The line to the server, overheard."""

    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        self.heard = Overheard()

    async def operation(self, turns: AsyncIterator[StationTurn]) -> Any:
        async def speaking() -> AsyncIterator[StationTurn]:
            async for turn in turns:
                self.heard.text.append(repr(turn))
                self.heard.wire.append(encode_station_turn(turn).SerializeToString())
                yield turn

        async for turn in super().operation(speaking()):
            self.hear(turn)
            yield turn

    def hear(self, turn: ServerTurn) -> None:
        self.heard.text.append(repr(turn))
        self.heard.wire.append(encode_server_turn(turn).SerializeToString())


def _forms(secret: bytes) -> set[bytes]:
    """Return what a secret looks like in logs, dumps and messages."""
    spellings = {secret}
    if len(secret) <= 8:
        spellings.add(pad(secret))
    forms = set(spellings)
    for each in spellings:
        pairs = [f"{byte:02x}" for byte in each]
        forms |= {text.encode() for text in ("".join(pairs), " ".join(pairs), ":".join(pairs))}
        forms |= {form.upper() for form in tuple(forms) if form.isascii()}
        forms |= {", ".join(map(str, each)).encode(), repr(each)[2:-1].encode()}
        forms.add(base64.b64encode(each).rstrip(b"="))
    return forms


def _secrets_of(card: VirtualCard) -> dict[str, bytes]:
    """Return what the card holds and nobody may learn."""
    memory = card.memory
    found = {"PUK": memory.puk.value.reveal(), "management key": memory.management.value.reveal()}
    for slot, key in memory.keys.items():
        if isinstance(key.private, ec.EllipticCurvePrivateKey):
            found[f"key {slot.text}"] = key.private.private_numbers().private_value.to_bytes(32, "big")
    return found


async def _rows(folder: Path) -> str:
    """Return the whole database, decrypted, as text."""
    path = folder / "server" / "keys"
    keys = SoftwareKeyStore.open(path, Secret.from_text(PASSPHRASE), clock=SystemClock())
    connection = connect(folder / "server" / "store.db", await keys.derive(DATABASE_KEY))
    try:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        rows = [row for (name,) in tables for row in connection.execute(f'SELECT * FROM "{name}"')]
    finally:
        connection.close()
    assert any("Anna Berg" in str(row) for row in rows)
    return "\n".join(value.hex() if isinstance(value, bytes) else str(value) for row in rows for value in row)


async def _work(station: StationCore) -> None:
    """Issue, activate and change the PIN, with mistakes."""
    job = Job(operation=OperationKind.ISSUE, reader=READER, holder=HOLDER, template="employee")
    outcome = await station.perform(job, Holder(), Notes())
    assert (outcome.error, outcome.state) == (None, "issued")
    job = Job(operation=OperationKind.ACTIVATE, reader=READER)
    outcome = await station.perform(job, Holder(new_pins=[FIRST_PIN]), Notes())
    assert (outcome.error, outcome.state) == (None, "active")
    job = Job(operation=OperationKind.CHANGE_PIN, reader=READER)
    holder = Holder(current_pins=[WRONG_PIN, FIRST_PIN], new_pins=["123456", NEXT_PIN])
    outcome = await station.perform(job, holder, Notes())
    assert (outcome.error, outcome.state) == (None, "active")


async def test_no_secret_comes_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(1)
    (tmp_path / "people.csv").write_text(PEOPLE)
    ports = (free_ports(), free_ports())
    token = prepare(tmp_path, ports=ports, directory=DIRECTORY, templates=[EMPLOYEE])
    card = VirtualCard.new(ProfileName.YUBIKEY_5_7, serial=20114321, random=os.urandom)
    factory = _secrets_of(card)
    readers = VirtualReaders([READER])
    with serving(tmp_path):
        backend = Listening(await join(token, tmp_path / "station", STATION), SystemClock())
        readers.add_card("card", card)
        await readers.insert(READER, "card")
        try:
            async with StationCore(TracedReaders(readers), backend, SystemClock()) as station:
                await _work(station)
        finally:
            await readers.close()
            await backend.close()

    assert card.memory.pin.value == Secret(pad(NEXT_PIN.encode())), "the PIN that we look for was really used"
    pins = {"PIN": NEXT_PIN.encode(), "old PIN": FIRST_PIN.encode(), "wrong PIN": WRONG_PIN.encode()}
    keys = {name: value for name, value in _secrets_of(card).items() if value != factory.get(name)}
    assert {"PUK", "management key", "key 9A", "key 9C"} <= keys.keys()
    passphrase = {"passphrase": PASSPHRASE.encode()}

    files = {str(path.relative_to(tmp_path)): path.read_bytes() for path in _files(tmp_path)}
    logs = "\n".join(
        logging.Formatter("%(name)s %(message)s %(args)s").format(each) for each in caplog.records
    )
    printed = capfd.readouterr()
    said = {
        "log of the station": logs.encode(),
        "printed": (printed.out + printed.err).encode(),
        "database": (await _rows(tmp_path)).encode(),
        **{f"file {name}": content for name, content in files.items() if name != "passphrase"},
    }
    assert "server.log" in files
    assert "bytes masked]" in logs, "the card's traffic was logged"
    leaks = [
        f"{name} in {place}"
        for name, secret in (pins | keys | passphrase).items()
        for place, content in said.items()
        if any(form in content for form in _forms(secret))
    ]
    crossed = b"\n".join([*backend.heard.wire, *(text.encode() for text in backend.heard.text)])
    leaks += [
        f"{name} on the wire" for name, pin in pins.items() if any(form in crossed for form in _forms(pin))
    ]
    assert leaks == []
    assert any(keys["PUK"].rstrip(b"\xff") in each for each in backend.heard.wire), "the wire was overheard"


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


@pytest.mark.parametrize("secret", [b"73915486", bytes(range(24))])
def test_the_search_finds_what_it_should(secret: bytes) -> None:
    for text in (
        secret.hex(),
        secret.hex(" ").upper(),
        repr(secret),
        str(list(secret)),
        str(bytearray(secret)),
    ):
        assert any(form in text.encode() for form in _forms(secret)), text
