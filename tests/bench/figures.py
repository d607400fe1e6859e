"""What a benchmark measures, in the same words everywhere."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One measured run.

    Milliseconds of wall clock in `p50_ms`, `p95_ms`, `p99_ms` (one card from begin to done) and `commit_ms`
    (median of one durable commit); of processor time in `*_cpu_ms_per_card`. `card_ms_per_card` is the
    processor time that stands for the card itself; it is also part of `station_cpu_ms_per_card`.
    """

    concurrency: int
    cards: int
    seconds: float
    cards_per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    round_trips_per_card: float
    commands_per_card: float
    commits_per_card: float
    commit_ms: float
    server_cpu_ms_per_card: float
    station_cpu_ms_per_card: float
    card_ms_per_card: float

    def as_json(self) -> dict[str, float]:
        """Return the figures rounded to what is worth reading."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that `percent` of all values do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = max(1, math.ceil(percent / 100 * len(ordered)))
    return ordered[rank - 1]
