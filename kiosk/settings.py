"""What a station needs to start: the table `[station]` of `kiosk.toml`."""

from dataclasses import dataclass, field
from enum import StrEnum, unique
from pathlib import Path
from typing import Final

from shared.config import Address, Document, find_file
from shared.logs import LogSettings


@unique
class ReaderKind(StrEnum):
    """Which readers the station uses."""

    PCSC = "pcsc"
    VIRTUAL = "virtual"
    """Cards in memory, for lab stations only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """`[station.server]`. Without an address it is the server that the station joined."""

    address: Address | None = None
    call_timeout_s: float = 10.0

    def __post_init__(self) -> None:
        """Refuse a time that cannot be waited for."""
        if self.call_timeout_s <= 0:
            message = "call-timeout-s must be more than 0"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderSettings:
    """`[station.readers]`. `virtual_count` readers appear where the kind is virtual."""

    kind: ReaderKind = ReaderKind.PCSC
    virtual_count: int = 1

    def __post_init__(self) -> None:
        """Refuse a number of readers that makes no sense."""
        if not 1 <= self.virtual_count <= MAX_VIRTUAL_READERS:
            message = f"virtual-count must be 1 to {MAX_VIRTUAL_READERS}"
            raise ValueError(message)


MAX_VIRTUAL_READERS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class StationSettings:
    """`[station]`. `state_folder` holds the station's key and certificate.

    `name` is shown to people; without one it is the name under which the station joined.
    """

    state_folder: Path
    name: str = ""
    server: ServerSettings = field(default_factory=ServerSettings)
    readers: ReaderSettings = field(default_factory=ReaderSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that a station reads, and the file that it came from."""

    file: Path
    station: StationSettings
    log: LogSettings


def read_settings(option: Path | None = None) -> Settings:
    """Read the station's part of the file that `--config` names, or of the one found.

    Raises:
        ConfigMissing: no file, no table `[station]`, or a key without a default is missing.
        ConfigInvalid: something in it is wrong.
    """
    document = Document(find_file(option))
    return Settings(
        file=document.path,
        station=document.read("station", StationSettings),
        log=document.read("log", LogSettings),
    )
