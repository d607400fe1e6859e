"""A value that must not be shown.

Wiping is best effort: Python may have copied the bytes on their way here. Processes that hold secrets switch
off core dumps and tracing as well (`shared.process`).
"""

import hmac
from typing import NoReturn, Self


class Secret:
    """Bytes that mask themselves in every text form and can be wiped.

    Equality is constant-time. A secret has no hash, cannot be pickled and has no length that shows, so that
    it does not slip into a log, a cache key or another process.
    """

    __slots__ = ("_value",)

    def __init__(self, value: bytes | bytearray) -> None:
        """Copy `value` into memory of our own."""
        self._value = bytearray(value)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Take the UTF-8 bytes of `text`."""
        return cls(text.encode())

    def reveal(self) -> bytes:
        """Return the bytes, for the one call that needs them.

        Raises:
            ValueError: it was wiped.
        """
        if not self._value:
            message = "the secret was wiped"
            raise ValueError(message)
        return bytes(self._value)

    def wipe(self) -> None:
        """Overwrite the bytes and forget them."""
        self._value[:] = bytes(len(self._value))
        self._value.clear()

    @property
    def wiped(self) -> bool:
        """Whether the bytes are gone."""
        return not self._value

    def __eq__(self, other: object) -> bool:
        """Compare in constant time."""
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]  # a secret is never a key of a dict

    def __repr__(self) -> str:
        """Show that there is a secret, nothing of it."""
        return "Secret(•••)"

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        """Mask, whatever the format."""
        return repr(self)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled."""
        message = "a secret is not pickled"
        raise TypeError(message)
