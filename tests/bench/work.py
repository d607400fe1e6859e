"""The work of one card that a floor is made of, and the fixed one that the floor of `issue` is made of.

`ISSUE`: seven round trips; fourteen signatures and eight verifications with P-256; four key generations; seven durable
commits. It says who does what, and nothing in it grows when the product does more than it must:

* the card makes four keys, signs four certificate requests and, at read-back, four challenges;
* the server verifies those eight signatures, and signs four certificates, the CHUID and the Security Object.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round trip: bytes of what the server says and of the station's answer, and the work before each.

    `messages` is how many messages the server's bytes are cut into, `commits` how many durable commits come before.
    """

    name: str
    down: int
    up: int
    server_verifies: int = 0
    server_signs: int = 0
    card_generates: int = 0
    card_signs: int = 0
    messages: int = 1
    commits: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The rounds of one card; `last_verifications` are the server's, of the last answer, before it says done."""

    rounds: tuple[Round, ...]
    last_verifications: int = 0


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

ISSUE: Final = Work(rounds=ROUNDS, last_verifications=4)
"""The agreed work of one issue."""

RECORD_BYTES: Final = 600
"""What one commit writes."""


def check(work: Work) -> None:
    """Make sure that the work is the agreed one: a floor that shifts is none."""
    rounds = work.rounds
    assert len(rounds) == sum(each.messages for each in rounds) == sum(each.commits for each in rounds) == 7
    assert sum(each.server_signs + each.card_signs for each in rounds) == 14
    assert sum(each.server_verifies for each in rounds) + work.last_verifications == 8
    assert sum(each.card_generates for each in rounds) == 4
