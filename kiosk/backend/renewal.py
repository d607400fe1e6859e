"""The station's certificate is renewed before it expires, by the station, without anybody's doing.

At two thirds of its life (a little later at some stations than at others, so that not all come at once) the station makes a
new key, has the server certify it, and replaces the identity file as a whole. The old identity goes on working until the
server sees the new one: a cut anywhere costs nothing but another try. Processes of one station take turns (a lock beside the
file), and whoever finds a newer identity there takes that.
"""

import asyncio
import fcntl
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kiosk.backend.identity import StationIdentity, load_identity, store_identity
from shared import errors
from shared.clock import Clock
from shared.secret import Secret

log: Final = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 300.0
"""How often a process looks whether it is time, or whether another one has renewed; the server lets the old identity in for
twice as long after that."""
JITTER: Final = 0.05
"""Of a certificate's life: how much later than at two thirds of it a station may renew."""
RETRY_AFTER: Final = timedelta(hours=1)
LOCK: Final = ".renewing"


class Line(Protocol):
    """What renewal needs of the line to the server."""

    @property
    def logged_on(self) -> bool:
        """Whether an operator is; a session is bound to the certificate with which it began."""
        ...

    async def renew(self, request: bytes) -> bytes:
        """Have a request (PKCS#10, DER) certified; return the certificate, DER."""
        ...

    async def adopt(self, identity: StationIdentity) -> None:
        """Speak as this identity from now on."""
        ...


class Renewal:
    """Keep one station's identity fresh."""

    def __init__(
        self, folder: Path, identity: StationIdentity, line: Line, clock: Clock, random: Callable[[], float]
    ) -> None:
        """`identity` is what `line` speaks as now, from the file in `folder`; `random` draws from 0 to 1."""
        self._folder = folder
        self._identity = identity
        self._line = line
        self._clock = clock
        self._late = random() * JITTER
        self._not_before: datetime | None = None

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Take a newer identity that another process stored, or renew if it is time; failures are tried again later."""
        now = self._clock.now()
        if self._not_before is not None and now < self._not_before:
            return
        try:
            async with _turn(self._folder) as ours:
                if ours:
                    await self._look(now)
        except errors.KioskError as error:
            self._not_before = now + RETRY_AFTER
            log.warning("this station's certificate was not renewed (%s); it is tried again", error.code)

    async def _look(self, now: datetime) -> None:
        stored = await asyncio.to_thread(load_identity, self._folder, self._clock)
        if stored.certificate != self._identity.certificate:
            await self._take(stored)
        if now < due_at(self._identity, late=self._late) or self._line.logged_on:
            return
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = await self._line.renew(make_request(key, self._identity.name))
        fresh = _renewed(self._identity, key, certificate, now)
        await asyncio.to_thread(store_identity, self._folder, fresh)
        await self._take(fresh)
        log.info("this station's certificate was renewed; it is good until %s", fresh.not_after.date())

    async def _take(self, identity: StationIdentity) -> None:
        self._identity = identity
        await self._line.adopt(identity)


def due_at(identity: StationIdentity, *, late: float = 0.0) -> datetime:
    """Return when an identity is to be renewed: at two thirds of its life, and `late` of its life after that."""
    begins = x509.load_pem_x509_certificate(identity.certificate).not_valid_before_utc
    return begins + (identity.not_after - begins) * (2 / 3 + late)


def make_request(key: ec.EllipticCurvePrivateKey, name: str) -> bytes:
    """Return a request (PKCS#10, DER) for a key; the name in it counts for nothing."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64] or "station")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def _renewed(
    identity: StationIdentity, key: ec.EllipticCurvePrivateKey, certificate: bytes, now: datetime
) -> StationIdentity:
    """Check what the server returned; `Garbled` where it is not for this key, or is over already."""
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        fits = parsed.public_key() == key.public_key()
    except ValueError as error:
        raise errors.Garbled(why="the renewed certificate cannot be read") from error
    if not fits or parsed.not_valid_after_utc <= now:
        raise errors.Garbled(why="the renewed certificate is not for this station")
    pem = serialization.Encoding.PEM
    return replace(
        identity,
        key=Secret(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())),
        certificate=parsed.public_bytes(pem),
        not_after=parsed.not_valid_after_utc,
    )


@asynccontextmanager
async def _turn(folder: Path) -> AsyncIterator[bool]:
    """Say whether it is this process's turn to look after the identity, and keep the others out meanwhile.

    Raises:
        ConfigInvalid: the folder cannot be written.
    """
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise errors.ConfigInvalid(file=str(folder), why=error.strerror or "cannot be written") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
    finally:
        os.close(lock)
