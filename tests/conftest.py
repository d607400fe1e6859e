"""What every test may use: a fixed clock, seeded randomness, and services that are started for real.

The PC/SC library reads the place of its service once in a process; it is set here, before any test, so that no
test ever talks to the readers of this machine.
"""

import os
import random
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.peers.pcscd import SOCKET_VARIABLE

pytest_plugins = ["tests.peers.fixtures"]

_pcsc_folder = tempfile.TemporaryDirectory(prefix="pcsc-")
os.environ[SOCKET_VARIABLE] = str(Path(_pcsc_folder.name) / "socket")


class FixedClock:
    """A clock that stands still until it is told to move."""

    def __init__(self) -> None:
        """Begin at noon of a working day."""
        self._now = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC)
        self._monotonic = 1000.0

    def now(self) -> datetime:
        """Return the moment it stands at."""
        return self._now

    def monotonic(self) -> float:
        """Return the same moment in seconds."""
        return self._monotonic

    def move(self, by: timedelta) -> None:
        """Go forward."""
        self._now += by
        self._monotonic += by.total_seconds()


@pytest.fixture
def clock() -> FixedClock:
    """Give a clock that stands still."""
    return FixedClock()


@pytest.fixture
def random_bytes() -> Callable[[int], bytes]:
    """Give a source of bytes that is the same in every run; never for keys."""
    return random.Random(20260302).randbytes  # reproducible on purpose


@pytest.fixture(scope="session", autouse=True)
def _pcsc_folder_ends() -> Iterator[None]:
    """Remove the folder of the PC/SC socket after the last test."""
    yield
    _pcsc_folder.cleanup()
