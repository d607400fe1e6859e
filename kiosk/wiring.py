"""Choose the station's parts by its settings. The one place that knows all of them."""

import os
import secrets
from dataclasses import dataclass
from typing import Final

from kiosk.backend.approvals import GrpcApprovals
from kiosk.backend.client import GrpcBackend
from kiosk.backend.identity import StationIdentity, load_identity
from kiosk.backend.renewal import Renewal
from kiosk.devices.pcsc import PcscReaders
from kiosk.devices.readers import CombinedReaders
from kiosk.devices.ssh_agent import SshAgent
from kiosk.devices.tracing import TracedReaders
from kiosk.devices.virtual.image import ImageFile
from kiosk.devices.virtual.reader import VirtualReaders
from kiosk.ports import Readers
from kiosk.session_file import Bound
from kiosk.settings import ReaderKind, Settings
from kiosk.station.approving import ApprovalLine
from kiosk.station.core import StationCore
from kiosk.station.logon import Logon
from shared.clock import Clock
from shared.piv.ids import ProfileName
from shared.station_profile import Face
from shared.virtual.card import VirtualCard

VIRTUAL_CARDS: Final = "virtual-cards"
"""The folder, below the state folder, with the images of a lab station's cards."""

_SERIALS: Final = 20_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A station that is not started yet, and the parts that faces and `doctor` look at."""

    identity: StationIdentity
    readers: Readers
    backend: GrpcBackend
    core: StationCore
    logon: Logon
    approvals: ApprovalLine
    virtual: VirtualReaders | None
    name: str
    bound: Bound | None = None
    """The agent that the session of a command hangs on."""


async def open_readers(settings: Settings) -> tuple[Readers, VirtualReaders | None]:
    """Return the readers that the settings ask for, and the virtual ones among them.

    A lab station's cards are kept in image files, so that a card that one command issued is there for the next.

    Raises:
        CardMalformed, ReaderFailed: an image of a virtual card cannot be read or written.
    """
    if settings.station.readers.kind is ReaderKind.PCSC:
        return TracedReaders(CombinedReaders([PcscReaders()])), None
    virtual = VirtualReaders()
    folder = settings.station.state_folder / VIRTUAL_CARDS
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in range(1, settings.station.readers.virtual_count + 1):
        reader, card = f"Virtual reader {number}", f"Virtual card {number}"
        virtual.attach(reader)
        image = ImageFile(folder / f"{number}.json")
        virtual.add_card(card, _card(image, number), save=image.save)
        await virtual.insert(reader, card)
    return TracedReaders(virtual), virtual


def _card(image: ImageFile, number: int) -> VirtualCard:
    memory = image.load()
    if memory is not None:
        return VirtualCard(memory, random=os.urandom)
    card = VirtualCard.new(ProfileName.YUBIKEY_5_7, serial=_SERIALS + number, random=os.urandom)
    image.save(card.memory)
    return card


def open_line(settings: Settings, clock: Clock) -> GrpcBackend:
    """Return the line to the server alone, for what needs no reader; inside a running event loop. Close it.

    Raises:
        ConfigMissing: this machine never joined.
        ConfigInvalid, StationExpired: what it joined with is damaged or too old.
    """
    return _line(settings, load_identity(settings.station.state_folder, clock), clock)


def _line(settings: Settings, identity: StationIdentity, clock: Clock, face: Face = Face.CLI) -> GrpcBackend:
    address = settings.station.server.address
    return GrpcBackend(
        identity,
        clock,
        server="" if address is None else str(address),
        face=face,
        call_timeout_s=settings.station.server.call_timeout_s,
    )


async def open_station(settings: Settings, clock: Clock, face: Face = Face.CLI) -> Parts:
    """Put a station together for one face; nothing is watched before `core.start`. Close `core`, which closes the rest.

    Raises:
        ConfigMissing: this machine never joined.
        ConfigInvalid, StationExpired: what it joined with is damaged or too old.
        CardMalformed, ReaderFailed: a lab station's virtual cards.
    """
    identity = load_identity(settings.station.state_folder, clock)
    readers, virtual = await open_readers(settings)
    backend = _line(settings, identity, clock, face)
    random = secrets.SystemRandom().random
    renewal = Renewal(settings.station.state_folder, identity, backend, clock, random)
    core = StationCore(readers, backend, clock, chores=(renewal.run,))
    backend.readers = core.count_readers
    return Parts(
        identity=identity,
        readers=readers,
        backend=backend,
        core=core,
        logon=Logon(readers, backend, clock, SshAgent.forwarded(os.environ)),
        approvals=GrpcApprovals(backend),
        virtual=virtual,
        name=settings.station.name or identity.name,
    )
