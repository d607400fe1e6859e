"""When each station was last heard of, and what it says of itself; kept in memory, so that no call costs a commit."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from shared.clock import Clock
from shared.credential.model import StationId
from shared.station_profile import Face


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """One station since the server was started. `version` is empty where it has not said what it runs."""

    last_seen_at: datetime | None = None
    version: str = ""
    readers: int = 0
    faces: frozenset[Face] = field(default_factory=frozenset)


class Attendance:
    """All of them."""

    def __init__(self, clock: Clock) -> None:
        """Start with nobody."""
        self._clock = clock
        self._known: Final[dict[StationId, Presence]] = {}

    def note(self, station: StationId) -> None:
        """Note that a station called."""
        self._known[station] = replace(self.of(station), last_seen_at=self._clock.now())

    def told(self, station: StationId, *, version: str, readers: int, face: Face | None) -> None:
        """Note what a station says of itself."""
        known = self.of(station)
        faces = known.faces if face is None else known.faces | {face}
        self._known[station] = replace(known, version=version, readers=readers, faces=faces)

    def of(self, station: StationId) -> Presence:
        """Return what is known of a station."""
        return self._known.get(station, Presence())
