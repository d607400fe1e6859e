"""A value that changes, for any number of readers who only care for the newest.

A slow reader misses what came in between and never holds anybody up: there is no queue.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """The newest value, and the wish to be told of the next one."""

    def __init__(self, value: T) -> None:
        """Begin with a value."""
        self._value = value
        self._changed = asyncio.Event()
        self._closed = False

    @property
    def value(self) -> T:
        """The newest value."""
        return self._value

    def put(self, value: T) -> None:
        """Replace the value; equal ones wake nobody."""
        if value != self._value:
            self._value = value
            self._wake()

    def close(self) -> None:
        """End every watch."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def watch(self) -> AsyncIterator[T]:
        """Yield the value at once, then the newest after every change, until closed."""
        while not self._closed:
            changed = self._changed
            yield self._value
            await changed.wait()
