"""Limits on how often something may be tried."""

from collections import OrderedDict
from dataclasses import dataclass
from math import ceil
from typing import Final

from shared import errors
from shared.clock import Clock

MAX_PEERS: Final = 4096
"""Peers remembered; the one that was quiet longest is forgotten first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most `burst` attempts at once, and one more every `seconds`."""

    burst: int
    seconds: float


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Throttle:
    """Count attempts per peer and of all peers together.

    It lives in the process: a restart forgets, which costs an attacker nothing that a limit of this size
    protects (the secrets behind it have 256 bits; this keeps the processor and the log free).
    """

    def __init__(self, *, per_peer: Limit, overall: Limit, clock: Clock) -> None:
        """Begin with full allowances."""
        self._per_peer = per_peer
        self._overall = overall
        self._clock = clock
        self._everybody = _Bucket(overall.burst, clock.monotonic())
        self._peers: OrderedDict[str, _Bucket] = OrderedDict()

    def attempt(self, peer: str) -> None:
        """Count one attempt of `peer`.

        Raises:
            TooManyAttempts: a limit is reached; `seconds` says when the next attempt is judged.
        """
        now = self._clock.monotonic()
        bucket = self._peers.pop(peer, None) or _Bucket(self._per_peer.burst, now)
        self._peers[peer] = bucket
        while len(self._peers) > MAX_PEERS:
            self._peers.popitem(last=False)
        wait = max(_wait(bucket, self._per_peer, now), _wait(self._everybody, self._overall, now))
        if wait > 0:
            raise errors.TooManyAttempts(seconds=ceil(wait))
        bucket.tokens -= 1
        self._everybody.tokens -= 1


def _wait(bucket: _Bucket, limit: Limit, now: float) -> float:
    """Refill a bucket and return the seconds until it holds a whole token."""
    bucket.tokens = min(limit.burst, bucket.tokens + (now - bucket.at) / limit.seconds)
    bucket.at = now
    return max(0.0, (1 - bucket.tokens) * limit.seconds)
