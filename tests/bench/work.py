"""The fixed work of one card that the floor of `issue` is made of.

Seven round trips; fourteen signatures and eight verifications with P-256; four key generations; seven durable
commits. It says who does what, and nothing in it grows when the product does more than it must:

* the card makes four keys, signs four certificate requests and, at read-back, four challenges;
* the server verifies those eight signatures, and signs four certificates, the CHUID and the Security Object.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round trip: bytes of the server's message and of the station's, and the work before each."""

    name: str
    down: int
    up: int
    server_verifies: int = 0
    server_signs: int = 0
    card_generates: int = 0
    card_signs: int = 0


ROUNDS: Final = (
    Round(name="identify", down=220, up=420),
    Round(name="own: prove the factory's key", down=120, up=90),
    Round(name="own: record id and management key", down=260, up=70),
    Round(name="build: make the keys", down=180, up=420, card_generates=4),
    Round(name="secrets and requests", down=900, up=420, card_signs=4),
    Round(name="write", down=4200, up=160, server_verifies=4, server_signs=6),
    Round(name="read back", down=520, up=4400, card_signs=4),
)
"""The sizes are estimates of what the messages of an issue with four P-256 certificates carry; give `floor`
measured ones to compare with a measured run."""

LAST_VERIFICATIONS: Final = 4
"""The server verifies the answers of the last round before it says done."""

RECORD_BYTES: Final = 600
"""What one commit writes."""


def check(rounds: tuple[Round, ...]) -> None:
    """Make sure that the work is the agreed one: a floor that shifts is none."""
    assert len(rounds) == 7
    assert sum(each.server_signs + each.card_signs for each in rounds) == 14
    assert sum(each.server_verifies for each in rounds) + LAST_VERIFICATIONS == 8
    assert sum(each.card_generates for each in rounds) == 4
