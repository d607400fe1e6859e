"""What a judge may know of the card before it."""

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from shared.piv.ids import Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A card in a reader of the PC/SC service.

    `certificates` are those that should be on it; `folder` is scratch space of the judge.
    """

    reader: str
    pin: str
    certificates: dict[Slot, x509.Certificate]
    folder: Path
