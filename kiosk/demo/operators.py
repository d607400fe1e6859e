"""Who logs on in the demo: a System Owner and an operator, made by an ordinary first start with the passcode.

The cards are virtual and the person who answers is this program; nothing else differs from a first start at a desk. There is
one PIN for both, drawn anew each time, which is meant to be shown.
"""

import os
import secrets
from dataclasses import dataclass
from typing import Final

from kiosk.backend.client import GrpcBackend
from kiosk.backend.first_start import GrpcFirstStart
from kiosk.backend.identity import StationIdentity
from kiosk.demo.cards import OPERATORS_READER
from kiosk.demo.nobody import Nobody
from kiosk.devices.virtual.reader import VirtualReaders
from kiosk.station.core import StationCore
from kiosk.station.faces import Outcome
from kiosk.station.first_start import FirstStart
from shared import errors
from shared.clock import Clock
from shared.credential.model import HolderId
from shared.credential.pins import PinPolicy, check_pin
from shared.errors import KioskError
from shared.piv.ids import ProfileName
from shared.secret import Secret
from shared.station_profile import Face
from shared.virtual.card import VirtualCard

PIN_DIGITS: Final = 6
OWNERS_SERIAL: Final = 10_000_001
OPERATORS_SERIAL: Final = 10_000_002
_READER: Final = "First start"
_OWNER: Final = "owner"
_OPERATOR: Final = "operator"


def draw_pin() -> str:
    """Return a PIN that every template of the demo takes."""
    while True:
        pin = "".join(str(secrets.randbelow(10)) for _ in range(PIN_DIGITS))
        try:
            check_pin(pin.encode(), PinPolicy())
        except errors.PinPolicyViolated:
            continue
        return pin


def draw_passcode() -> Secret:
    """Return a passcode that nobody will ever have to type."""
    return Secret.from_text(secrets.token_urlsafe(24))


class PinHolder(Nobody):
    """Has one PIN, and remembers the unblock code that the station showed."""

    def __init__(self, pin: str) -> None:
        """Answer with `pin`."""
        self._pin = pin
        self.code = ""

    async def new_pin(self, policy: PinPolicy, problem: KioskError | None) -> Secret | None:  # noqa: ARG002  # it fits
        """Give the PIN; one that is refused stops the operation."""
        return Secret.from_text(self._pin) if problem is None else None

    async def current_pin(self, tries_left: int | None, problem: KioskError | None) -> Secret | None:  # noqa: ARG002  # it is right
        """Give the PIN, once."""
        return Secret.from_text(self._pin) if problem is None else None

    async def keep_code(self, code: Secret) -> bool:
        """Keep it as it was shown."""
        self.code = code.reveal().decode()
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """The two cards that log on, and the System Owner's unblock code. Nothing of it outlives the demo."""

    owner: VirtualCard
    operator: VirtualCard
    owners_code: str


async def first_start(
    identity: StationIdentity, clock: Clock, *, passcode: Secret, pin: str, holder: str
) -> Crew:
    """Make the System Owner's card and that of the operator `holder`, over a line of its own; `passcode` is wiped.

    Raises:
        KioskError: the server would not have it.
    """
    readers = VirtualReaders([_READER])
    cards = {
        name: VirtualCard.new(ProfileName.YUBIKEY_5_7, serial=serial, random=os.urandom)
        for name, serial in ((_OWNER, OWNERS_SERIAL), (_OPERATOR, OPERATORS_SERIAL))
    }
    for name, card in cards.items():
        readers.add_card(name, card)
    line = GrpcBackend(identity, clock, face=Face.DESK)
    person = PinHolder(pin)
    async with StationCore(readers, line, clock) as core:
        work = FirstStart(core, GrpcFirstStart(line))
        view = await work.begin(passcode)
        await readers.insert(_READER, _OWNER)
        _check(await work.make_owner(_READER, person, person))
        await readers.pull(_READER)
        await readers.insert(_READER, _OPERATOR)
        template = view.operator_templates[0]
        _check(await work.make_operator(_READER, HolderId(holder), template, person, person))
        await readers.pull(_READER)
    return Crew(owner=cards[_OWNER], operator=cards[_OPERATOR], owners_code=person.code)


async def hand_out(readers: VirtualReaders, crew: Crew, name: str) -> None:
    """Put the operator's card into the operator's reader, and the System Owner's where virtual cards are chosen."""
    operator = f"Operator's card · {name}"
    readers.add_card(operator, crew.operator)
    readers.add_card(f"System Owner's card · unblock code {crew.owners_code}", crew.owner)
    await readers.insert(OPERATORS_READER, operator)


def _check(outcome: Outcome) -> None:
    if outcome.error is not None:
        raise outcome.error
