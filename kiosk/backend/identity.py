"""The station's identity on disk: key, certificate, and the server that it belongs to.

One file, so that replacing it is atomic: PEM blocks (private key, the station's certificate, the root of the
server's) under explanatory lines that name station and server. Mode 0600.

Source: [RFC 7468] 2 (text before a block is explanatory), 5.2.
"""

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from shared import errors
from shared.clock import Clock
from shared.credential.model import StationId
from shared.secret import Secret

FILE: Final = "identity.pem"

_STATION: Final = "Station: "
_STATION_ID: Final = "Station-Id: "
_SERVER: Final = "Server: "
_BEGIN: Final = "-----BEGIN "
_END: Final = "-----END "


@dataclass(frozen=True, slots=True, kw_only=True)
class StationIdentity:
    """Who this station is. `server` is host:port; `key`, `certificate` and `server_root` are PEM."""

    station_id: StationId
    name: str
    server: str
    key: Secret
    certificate: bytes
    server_root: bytes
    not_after: datetime


def load_identity(folder: Path, clock: Clock) -> StationIdentity:
    """Read the identity that `kiosk join` stored in `folder`.

    Raises:
        ConfigMissing: this machine never joined; `file` says where the identity would be.
        ConfigInvalid: the file is damaged, does not fit together, or others may read it.
        StationExpired: the certificate has expired; join again.
    """
    path = folder / FILE
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise errors.ConfigInvalid(file=str(path), why="others may read it (it needs mode 0600)")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise errors.ConfigMissing(
            file=str(path), what="this machine has not joined a server yet; run “kiosk join TOKEN”"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise errors.ConfigInvalid(file=str(path), why="cannot be read") from error
    try:
        identity = _parse(text)
    except (ValueError, IndexError) as error:
        raise errors.ConfigInvalid(file=str(path), why="not a station's identity, or damaged") from error
    if identity.not_after <= clock.now():
        raise errors.StationExpired(expired=identity.not_after.date().isoformat())
    return identity


def store_identity(folder: Path, identity: StationIdentity) -> Path:
    """Write the identity into `folder`, all of it or nothing; an older one is replaced.

    Raises:
        ConfigInvalid: the folder cannot be written.
    """
    prepare_folder(folder)
    path = folder / FILE
    fresh = folder / f".{FILE}.{os.getpid()}"
    try:
        fresh.unlink(missing_ok=True)
        with open(fresh, "xb", opener=_private) as file:
            file.write(_format(identity))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        _sync(folder)
    except OSError as error:
        raise errors.ConfigInvalid(file=str(path), why=error.strerror or "cannot be written") from error
    finally:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
    return path


def prepare_folder(folder: Path) -> None:
    """Make `folder` where it is not there, and see that an identity can be written into it.

    Raises:
        ConfigInvalid: it cannot.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise errors.ConfigInvalid(file=str(folder), why=error.strerror or "cannot be made") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise errors.ConfigInvalid(file=str(folder), why="cannot be written")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync(folder: Path) -> None:
    """Make a rename in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _format(identity: StationIdentity) -> bytes:
    head = (
        f"{_STATION}{identity.name}\n{_STATION_ID}{identity.station_id}\n{_SERVER}{identity.server}\n"
    ).encode()
    return head + identity.key.reveal() + identity.certificate + identity.server_root


def _parse(text: str) -> StationIdentity:
    """Take the file apart; `ValueError` where something is missing or does not fit together."""
    head, _, blocks = text.partition(_BEGIN)
    values = dict(line.split(": ", 1) for line in head.splitlines() if line)
    key_pem, certificate_pem, root_pem = _blocks(_BEGIN + blocks)
    key = serialization.load_pem_private_key(key_pem, None)
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    x509.load_pem_x509_certificate(root_pem)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        message = "the key is not the certificate's"
        raise ValueError(message)
    return StationIdentity(
        station_id=StationId(UUID(_value(values, _STATION_ID))),
        name=_value(values, _STATION),
        server=_value(values, _SERVER),
        key=Secret(key_pem),
        certificate=certificate_pem,
        server_root=root_pem,
        not_after=certificate.not_valid_after_utc,
    )


def _value(values: dict[str, str], name: str) -> str:
    value = values.get(name.removesuffix(": "), "")
    if not value:
        message = f"no {name}"
        raise ValueError(message)
    return value


def _blocks(text: str) -> list[bytes]:
    """Split PEM blocks."""
    blocks: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith(_BEGIN):
            blocks.append([])
        blocks[-1].append(line)
        if line.startswith(_END):
            blocks[-1].append("")
    return ["\n".join(block).encode() for block in blocks]
