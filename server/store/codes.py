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
_FORGET: Final = Prepared(delete(unblock_code).where(_OF_THIS))


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

    async def redeem(self, credential_id: CredentialId, digest: bytes, now: datetime) -> bool:
        """Spend the code where it fits; a wrong one costs an attempt."""

        def work(cursor: Cursor) -> bool:
            row = _CODE.row(cursor, credential_id=credential_id)
            if row is None:
                return False
            kept, expires_at, attempts_left = row
            alive = expires_at > now
            fits = alive and compare_digest(kept, digest)
            spend = _COUNT if alive and not fits and attempts_left > 1 else _FORGET
            spend.run(cursor, {"credential_id": credential_id})
            return fits

        return await self._writer.write(work)

    async def forget(self, credential_id: CredentialId) -> None:
        """Take the credential's code back, if there is one."""
        await self._writer.write(lambda cursor: _FORGET.run(cursor, {"credential_id": credential_id}))
