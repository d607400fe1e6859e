"""Which server process does a job."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects.sqlite import insert

from server.ports.store import JobRecord
from server.store.columns import Instant
from server.store.schema import job
from server.store.statements import Prepared, given
from server.store.writer import Writer

_adding = insert(job).values(
    name=given(job.c.name), holder=given(job.c.holder), expires_at=given(job.c.expires_at), note=""
)
_BEGIN: Final = Prepared(
    _adding.on_conflict_do_update(
        index_elements=["name"],
        set_={"holder": _adding.excluded.holder, "expires_at": _adding.excluded.expires_at},
        where=job.c.expires_at <= bindparam("now", type_=Instant(), required=True),
    )
)
_END: Final = Prepared(
    update(job)
    .where(job.c.name == given(job.c.name), job.c.holder == given(job.c.holder))
    .values(expires_at=given(job.c.expires_at), last_run_at=given(job.c.expires_at), note=given(job.c.note))
)
_ALL: Final = Prepared(
    select(job.c.name, job.c.holder, job.c.expires_at, job.c.last_run_at, job.c.note).order_by(job.c.name)
)
_RELEASE_ALL: Final = Prepared(
    update(job).where(job.c.expires_at > given(job.c.expires_at)).values(expires_at=given(job.c.expires_at))
)


class JobTable:
    """The port `JobStore`."""

    def __init__(self, writer: Writer) -> None:
        """Work through `writer`."""
        self._writer = writer

    async def begin(self, name: str, holder: str, now: datetime, for_s: float) -> bool:
        """Take a job for so long; False while a run of it is under way anywhere."""
        values = {"name": name, "holder": holder, "now": now, "expires_at": now + timedelta(seconds=for_s)}
        return await self._writer.write(lambda cursor: _BEGIN.run(cursor, values) == 1)

    async def end(self, name: str, holder: str, now: datetime, note: str) -> bool:
        """Give a job back; returns whether it was still this process's."""
        values = {"name": name, "holder": holder, "expires_at": now, "note": note}
        return await self._writer.write(lambda cursor: _END.run(cursor, values) == 1)

    async def all(self) -> Sequence[JobRecord]:
        """Return every job that ever began, by name."""
        rows = await self._writer.read(_ALL.rows)
        return tuple(
            JobRecord(name=name, holder=holder, expires_at=expires_at, last_run_at=last_run_at, note=note)
            for name, holder, expires_at, last_run_at, note in rows
        )

    async def release_all(self, now: datetime) -> None:
        """Take every job from whoever had it."""
        await self._writer.write(lambda cursor: _RELEASE_ALL.run(cursor, {"expires_at": now}))
