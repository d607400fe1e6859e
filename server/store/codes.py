"""One-time unblock codes."""

from datetime import datetime
from hmac import compare_digest
from typing import Final

from sqlalchemy import delete, select, update

from server.ports.store import AuditRecord, UnblockCode
from server.store import evidence
from server.store.rules import check_code
from server.store.schema import unblock_code
from server.store.statements import Cursor, Prepared, given, put
from server.store.writer import Writer
from shared.clock import Clock
from shared.credential.model import CredentialId

_OF_THIS: Final = unblock_code.c.credential_id == given(unblock_code.c.credential_id)
_PUT: Final = put(unblock_code, (unblock_code.c.credential_id,))
_CODE: Final = Prepared(
    select(unblock_code.c.digest, unblock_code.c.expires_at, unblock_code.c.attempts_left).where(_OF_THIS)
)
_COUNT: Final = Prepared(
    update(unblock_code).where(_OF_THIS).values(attempts_left=unblock_code.c.attempts_left - 1)
)
_END: Final = Prepared(delete(unblock_code).where(_OF_THIS))


def end_code(cursor: Cursor, credential_id: CredentialId) -> None:
    """Let the credential's code, if there is one, count no more."""
    _END.run(cursor, {"credential_id": credential_id})


class CodeTable:
    """The port `CodeStore`."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        """Work through `writer`."""
        self._writer = writer
        self._clock = clock

    async def add(self, code: UnblockCode, audit: AuditRecord) -> None:
        """Store a code in place of the credential's earlier one."""
        check_code(code)

        def work(cursor: Cursor) -> None:
            _PUT.run(
                cursor,
                {
                    "credential_id": code.credential_id,
                    "digest": code.digest,
                    "expires_at": code.expires_at,
                    "attempts_left": code.attempts_left,
                },
            )
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)

    async def check(self, credential_id: CredentialId, digest: bytes, now: datetime) -> bool:
        """Judge a code and leave it where it fits; a wrong one costs an attempt."""
        return await self._writer.write(lambda cursor: _fits(cursor, credential_id, digest, now))

    async def redeem(self, credential_id: CredentialId, digest: bytes, now: datetime) -> bool:
        """Spend the code where it fits; a wrong one costs an attempt."""

        def work(cursor: Cursor) -> bool:
            fits = _fits(cursor, credential_id, digest, now)
            if fits:
                end_code(cursor, credential_id)
            return fits

        return await self._writer.write(work)


def _fits(cursor: Cursor, credential_id: CredentialId, digest: bytes, now: datetime) -> bool:
    """Return whether the code is this one and alive; count a wrong one, and drop one that is over."""
    row = _CODE.row(cursor, credential_id=credential_id)
    if row is None:
        return False
    kept, expires_at, attempts_left = row
    alive = expires_at > now
    if alive and compare_digest(kept, digest):
        return True
    (_COUNT if alive and attempts_left > 1 else _END).run(cursor, {"credential_id": credential_id})
    return False
