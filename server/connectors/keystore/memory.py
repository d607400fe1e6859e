"""A key store that forgets: the reference implementation."""

from server.connectors.keystore.ring import KeyRing, fresh_content
from shared.clock import Clock, SystemClock


class MemoryKeyStore(KeyRing):
    """Hold issuer keys in memory only."""

    def __init__(self, clock: Clock | None = None) -> None:
        """Start with a random master key of generation 1."""
        clock = clock or SystemClock()
        super().__init__(fresh_content(clock), clock)
