"""What goes wrong with a card on purpose: pulled, silenced, slowed, lied to.

A fault counts *physical* commands, chaining blocks and GET RESPONSE included, from the moment it is armed.
"""

import threading
from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class FaultKind(StrEnum):
    """What happens to a command."""

    COMMAND_LOST = "command-lost"
    """The card is pulled before it executes the command."""
    RESPONSE_LOST = "response-lost"
    """The card executes the command and is pulled before it answers."""
    STATUS = "status"
    """The card answers a status word of our choice and does nothing."""
    DELAY = "delay"
    """The card takes its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault: at the `at`-th physical command from now (1 is the next one), or at the next with this `ins`.

    With both, at the `at`-th command that has this `ins`. A fault happens once; with `every` at each such command
    from there on.
    `sw` belongs to STATUS, `seconds` to DELAY.
    """

    kind: FaultKind
    at: int = 1
    ins: int | None = None
    sw: int = 0x6F00
    seconds: float = 0.0
    every: bool = False


class FaultScript:
    """The faults that are armed on one card, and how far each has counted.

    May be armed from any thread while the card works in its own.
    """

    def __init__(self) -> None:
        """Arm nothing."""
        self._armed: list[tuple[Fault, int]] = []
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        """Whether anything is armed."""
        return bool(self._armed)

    def arm(self, *faults: Fault) -> None:
        """Add faults; each counts from here."""
        with self._lock:
            self._armed.extend((fault, 0) for fault in faults)

    def disarm(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._armed.clear()

    def due(self, command: bytes) -> list[Fault]:
        """Count one physical command and return the faults that hit it."""
        with self._lock:
            hit: list[Fault] = []
            armed: list[tuple[Fault, int]] = []
            for fault, seen in self._armed:
                if fault.ins is not None and (len(command) < 2 or command[1] != fault.ins):
                    armed.append((fault, seen))
                elif seen + 1 < fault.at:
                    armed.append((fault, seen + 1))
                else:
                    hit.append(fault)
                    if fault.every:
                        armed.append((fault, seen))
            self._armed = armed
            return hit
