"""A card and everything that it is managed with: a server process, a station at a real PC/SC reader, a holder.

The people are in a file. What the server's revocation list says is read from the server's own folder while it is
stopped: that it comes back, and the station with it, belongs to the life of a card, too.
"""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography import x509

from kiosk.backend.client import GrpcBackend
from kiosk.devices.pcsc import PcscReaders
from kiosk.station.core import StationCore
from kiosk.station.faces import Job, Outcome
from server.ports.ca import PublishesCrl
from server.settings import read_settings
from server.wiring import BUILT_IN, open_parts
from shared.clock import SystemClock
from shared.piv.ids import Slot
from shared.relay import OperationKind
from shared.secret import Secret
from shared.virtual.card import VirtualCard
from tests.peers.judges.openssl import is_revoked, judge_with_openssl
from tests.peers.judges.subject import Subject
from tests.peers.judges.yubico import read_certificate
from tests.peers.pcscd import PcscReader
from tests.peers.plugged import plugged
from tests.scenario.installation import HOLDER, Installation
from tests.scenario.lab import Holder, Notes
from tests.serving import PASSPHRASE

SLOTS: Final = (Slot.AUTHENTICATION, Slot.SIGNATURE, Slot.KEY_MANAGEMENT, Slot.CARD_AUTHENTICATION)
"""The slots of the template `employee`."""


@dataclass(slots=True, kw_only=True)
class Life:
    """One card through all that is done to it. `pin` is what its holder chose last, `certificates` what was seen last."""

    card: VirtualCard
    reader: str
    folder: Path
    installation: Installation
    station: StationCore
    pin: str = ""
    old_pin: str = ""
    certificates: dict[Slot, x509.Certificate] = field(default_factory=dict)
    old_management: tuple[bytes, str] | None = None
    old_certificates: dict[Slot, x509.Certificate] = field(default_factory=dict)

    @property
    def subject(self) -> Subject:
        """What a judge may know of the card."""
        return Subject(reader=self.reader, pin=self.pin, certificates=self.certificates, folder=self.folder)

    async def perform(self, operation: OperationKind, *, new_pin: str = "", reason: str = "") -> Outcome:
        """Do one operation; a holder who is asked for the present PIN knows it."""
        issue = operation is OperationKind.ISSUE
        job = Job(
            operation=operation,
            reader=self.reader,
            holder=HOLDER if issue else "",
            template="employee" if issue else "",
            reason=reason,
        )
        holder = Holder(new_pins=[new_pin] if new_pin else [], current_pins=[self.pin])
        outcome = await self.station.perform(job, holder, Notes())
        if new_pin:
            self.old_pin, self.pin = self.pin, new_pin
        return outcome

    def read_certificates(self) -> None:
        """Read every slot's certificate with a third party's tool, and have openssl verify its chain."""
        root, issuing = self.authority
        self.old_certificates = self.certificates
        self.certificates = {slot: read_certificate(self.reader, slot) for slot in SLOTS}
        for certificate in self.certificates.values():
            judge_with_openssl(certificate, root=root, between=[issuing], folder=self.folder)

    @property
    def authority(self) -> tuple[x509.Certificate, x509.Certificate]:
        """The root and the issuing certificate of the built-in certificate authority."""
        folder = self.installation.folder / "server" / "certificates"
        root, issuing = (
            x509.load_der_x509_certificate((folder / f"{name}.der").read_bytes())
            for name in ("root", "issuing")
        )
        return root, issuing

    @property
    def management(self) -> tuple[bytes, str]:
        """The management key that the card has now, and its algorithm: looked up in its memory."""
        key = self.card.memory.management
        return key.value.reveal(), key.algorithm.name

    async def revocations(self, certificates: Iterable[x509.Certificate]) -> list[str]:
        """Return why each certificate is revoked, as openssl reads the server's list; empty where it is not."""
        root, issuer = self.authority
        listed = await self._revocation_list()
        return [
            is_revoked(each, listed, root=root, issuer=issuer, folder=self.folder) for each in certificates
        ]

    async def ask_server(self, *words: str) -> dict[str, Any]:
        """Call `kiosk-server` beside the running one."""
        said: dict[str, Any] = json.loads(await self.installation.ask(*words))
        return said

    async def _revocation_list(self) -> bytes:
        self.installation.stop()
        try:
            settings = read_settings(self.installation.folder / "kiosk.toml")
            parts = await open_parts(settings.server, Secret.from_text(PASSPHRASE), SystemClock())
            try:
                authority = parts.services.authorities[BUILT_IN]
                assert isinstance(authority, PublishesCrl)
                return await authority.crl()
            finally:
                await parts.store.close()
        finally:
            await self.installation.restart()
            await self._online()

    async def _online(self) -> None:
        async for view in self.station.views():
            if view.connected:
                return


@asynccontextmanager
async def life(folder: Path, card: VirtualCard, reader: PcscReader) -> AsyncIterator[Life]:
    """Make a server in `folder`, join a station to it, put the card into the reader."""
    installation = Installation(folder)
    installation.make()
    installation.start()
    try:
        backend = GrpcBackend(await installation.joined("desk"), SystemClock())
        async with StationCore(PcscReaders(), backend) as station:
            with plugged(card, reader):
                yield Life(
                    card=card, reader=reader.name, folder=folder, installation=installation, station=station
                )
    finally:
        installation.stop()
