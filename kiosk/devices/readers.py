"""Several kinds of readers as one: PC/SC and virtual ones beside each other."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from kiosk.ports import CardSession, ReaderEvent, ReaderInfo, Readers, ReadersFailed
from shared import errors


class CombinedReaders:
    """A `Readers` port over others. Names must differ between them; the first source that has one wins."""

    def __init__(self, sources: Sequence[Readers]) -> None:
        """Combine `sources`, asked in this order."""
        self._sources = tuple(sources)

    async def all(self) -> Sequence[ReaderInfo]:
        """Return the readers of all sources.

        Raises:
            PcscUnavailable: no source works; one that works hides that another does not.
        """
        found: list[ReaderInfo] = []
        failures: list[errors.KioskError] = []
        for source in self._sources:
            try:
                found += await source.all()
            except errors.PcscUnavailable as failure:
                failures.append(failure)
        if failures and len(failures) == len(self._sources):
            raise failures[0]
        return tuple(found)

    async def watch(self) -> AsyncIterator[ReaderEvent]:
        """Report what all sources report; one that cannot be watched is reported as failed."""
        news: asyncio.Queue[ReaderEvent] = asyncio.Queue()

        async def follow(source: Readers) -> None:
            try:
                async for event in source.watch():
                    news.put_nowait(event)
            except errors.PcscUnavailable as failure:
                news.put_nowait(ReadersFailed(reason=str(failure.facts.get("reason", failure.code))))

        tasks = [asyncio.create_task(follow(source)) for source in self._sources]
        try:
            while True:
                yield await news.get()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @asynccontextmanager
    async def session(self, reader: str) -> AsyncIterator[CardSession]:
        """Open the card in `reader`, wherever it is.

        Raises:
            NoReader: no source has a reader of this name.
            CardMissing, ReaderBusy, ReaderFailed: what the source says.
        """
        async with (await self._source_of(reader)).session(reader) as session:
            yield session

    async def _source_of(self, reader: str) -> Readers:
        for source in self._sources:
            try:
                known = await source.all()
            except errors.PcscUnavailable:
                continue
            if any(info.name == reader for info in known):
                return source
        raise errors.NoReader(reader=reader)

    async def close(self) -> None:
        """Close all sources."""
        for source in self._sources:
            await source.close()
