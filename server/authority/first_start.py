"""The first start: who knows the passcode makes the System Owner's card and the first operator's, at one station.

The passcode is given to `kiosk-server init`, and kept as a slow hash. The right one opens one session at a time, bound to a
station and its TLS identity, which may make those two cards and do nothing else. With the first operator's card that becomes
active the passcode is gone for good, and the session with it, in the same commit.

It is cut and gone on with like everything else: what was done is in the record, and the passcode opens another session.
When every card that could manage operators is lost, whoever has the key store's passphrase opens a first start anew, for an
hour, on the server's own machine.

Source: [RFC 7914] (scrypt).
"""

import asyncio
import hashlib
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from hmac import compare_digest
from math import ceil
from typing import Final, NoReturn

from server.authority.access import Caller
from server.authority.policy import FIRST_START, Principal, first_start
from server.authority.proofs import wait_after
from server.authority.throttle import Limit, Throttle
from server.ports.audit import AuditKind, AuditRecord
from server.ports.operators import OperatorKind
from server.ports.passcode import FirstStartRecord, PasscodeRecord
from server.ports.store import Store
from shared import errors
from shared.clock import Clock
from shared.credential.model import State
from shared.credential.template_reading import parse_template
from shared.errors import Fact
from shared.first_start import FirstStartBegun, FirstStartView, OperatorTemplate
from shared.secret import Secret
from shared.sessions import TOKEN_LENGTH

COST: Final = 2**15
BLOCK_SIZE: Final = 8
PARALLELISM: Final = 1
MEMORY: Final = 64 * 1024 * 1024
"""Bytes that scrypt may take: twice what it needs with these costs."""
SALT_LENGTH: Final = 16
DIGEST_LENGTH: Final = 32

PASSCODE_MIN: Final = 8
PASSCODE_MAX: Final = 128
LASTS: Final = timedelta(minutes=30)
"""How long a session of the first start is good for; both cards are made in a few minutes."""
OPEN_AGAIN: Final = timedelta(hours=1)
"""How long a first start that was opened anew waits for its passcode."""

PER_STATION: Final = Limit(burst=5, seconds=5)
OVERALL: Final = Limit(burst=10, seconds=1)
BUILT_IN: Final = "built-in"
"""The directory of whoever is in no other one (`server.connectors.directory.builtin`)."""


class FirstStart:
    """Judge the passcode, and the session that it opens."""

    def __init__(
        self, store: Store, clock: Clock, *, random: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        """Keep everything in `store`; `random` draws tokens."""
        self._store = store
        self._clock = clock
        self._random = random
        self._throttle = Throttle(per_peer=PER_STATION, overall=OVERALL, clock=clock)
        self._one = asyncio.Lock()
        """One passcode is judged at a time: each takes a processor and 32 MiB."""

    async def waits(self) -> bool:
        """Whether there is a passcode that counts."""
        return await self._kept() is not None

    async def begin(self, caller: Caller, passcode: Secret) -> FirstStartBegun:
        """Open a session at the calling station; one that there was, here or elsewhere, ends.

        Raises:
            TooManyAttempts: wrong ones came before; nothing was judged.
            PasscodeRejected: it is wrong, or there is none (any more).
        """
        self._throttle.attempt(str(caller.station_id))
        async with self._one:
            kept, now = await self._kept(), self._clock.now()
            if kept is None:
                await self._refuse(caller, "none")
            if kept.locked_until is not None and kept.locked_until > now:
                raise errors.TooManyAttempts(seconds=ceil((kept.locked_until - now).total_seconds()))
            if not await asyncio.to_thread(_fits, passcode, kept):
                wait = wait_after(kept.failures + 1)
                audit = _evidence("passcode-rejected", caller)
                await self._store.passcode.note_failure(now + wait if wait else None, audit)
                raise errors.PasscodeRejected
            token = Secret(self._random(TOKEN_LENGTH))
            session = FirstStartRecord(
                token_digest=_sha256(token.reveal()),
                station_id=caller.station_id,
                fingerprint=caller.fingerprint,
                expires_at=min(now + LASTS, kept.expires_at or now + LASTS),
            )
            try:
                await self._store.passcode.begin(session, kept, _evidence("first-start-began", caller))
            except errors.StoreConflict as cause:  # an operator's card became active meanwhile
                raise errors.PasscodeRejected from cause
        return FirstStartBegun(token=token, view=await self._view(kept, session.expires_at))

    async def admit(self, token: bytes, caller: Caller) -> Principal:
        """Return as whom the holder of this token acts.

        Raises:
            SessionEnded: there is no such session (any more), or it is another station's.
        """
        return await self._judge(_sha256(token), caller)

    async def recheck(self, caller: Caller) -> Principal:
        """Judge the caller's session again, in the middle of something long; raises as `admit`."""
        kept = await self._kept()
        if kept is None or kept.session is None:
            raise errors.SessionEnded
        return await self._judge(kept.session.token_digest, caller)

    async def view(self, caller: Caller) -> FirstStartView:
        """Return how far the first start is.

        Raises:
            LogonNeeded: the caller has no session of it.
        """
        kept = await self._kept()
        if caller.principal is None or not caller.principal.first_start or kept is None or not kept.session:
            raise errors.LogonNeeded
        return await self._view(kept, kept.session.expires_at)

    async def end(self, caller: Caller) -> None:
        """End the caller's session; raises as `view`."""
        kept = await self._kept()
        if caller.principal is None or not caller.principal.first_start or kept is None or not kept.session:
            raise errors.LogonNeeded
        await self._store.passcode.end(kept.session.token_digest, _evidence("first-start-left", caller))

    # --- judging ----------------------------------------------------------------------------------------

    async def _judge(self, token_digest: bytes, caller: Caller) -> Principal:
        kept = await self._kept()
        session = kept.session if kept is not None else None
        if session is None or not compare_digest(session.token_digest, token_digest):
            raise errors.SessionEnded
        if session.expires_at <= self._clock.now():
            raise errors.SessionEnded
        if (session.station_id, session.fingerprint) != (caller.station_id, caller.fingerprint):
            await self._note("first-start-elsewhere", caller)
            raise errors.SessionEnded
        return first_start(each.name for each in await self._templates())

    async def _kept(self) -> PasscodeRecord | None:
        """Return the passcode that counts now."""
        kept = await self._store.passcode.get()
        if kept is None or (kept.expires_at is not None and kept.expires_at <= self._clock.now()):
            return None
        return kept

    async def _refuse(self, caller: Caller, why: str) -> NoReturn:
        await self._note("passcode-rejected", caller, why=why)
        raise errors.PasscodeRejected

    async def _note(self, event: str, caller: Caller, **facts: Fact) -> None:
        await self._store.audit.append([_evidence(event, caller, **facts)])

    # --- how far it is ----------------------------------------------------------------------------------

    async def _view(self, kept: PasscodeRecord, ends_at: datetime) -> FirstStartView:
        return FirstStartView(
            ends_at=ends_at,
            owner_made=await owner_made(self._store, since=kept.made_at),
            again=kept.expires_at is not None,
            templates=await self._templates(),
        )

    async def _templates(self) -> tuple[OperatorTemplate, ...]:
        stored = (parse_template(each.text) for each in await self._store.templates.all_latest())
        return tuple(
            OperatorTemplate(
                name=each.name,
                title=each.title,
                system_owner=each.system_owner,
                by_name=each.directory == BUILT_IN,
            )
            for each in stored
            if each.operator
        )


async def owner_made(store: Store, *, since: datetime) -> bool:
    """Whether a System Owner logs on with a card that became active after `since`."""
    for operator in await store.operators.all():
        if operator.kind is not OperatorKind.SYSTEM_OWNER:
            continue
        for key in operator.keys:
            if not operator.may_use(key.digest) or key.credential_id is None:
                continue
            card = await store.credentials.by_credential(key.credential_id)
            made = card.credential if card is not None else None
            if made is not None and made.activated_at is not None and made.activated_at >= since:
                return made.state is State.ACTIVE
    return False


# --- the passcode -----------------------------------------------------------------------------------------


async def keep_passcode(store: Store, clock: Clock, passcode: Secret, *, again: bool = False) -> None:
    """Keep a passcode for the first start; with `again` for one that is opened anew, for a while.

    Raises:
        Invalid: it is too short to be kept from guessing, or too long.
        StoreConflict: there are operators already, and it is not `again`.
    """
    length = len(passcode.reveal())
    if not PASSCODE_MIN <= length <= PASSCODE_MAX:
        raise errors.Invalid(field="passcode", why=f"{PASSCODE_MIN} to {PASSCODE_MAX} bytes")
    salt, now = secrets.token_bytes(SALT_LENGTH), clock.now()
    record = PasscodeRecord(
        salt=salt,
        digest=await asyncio.to_thread(_digest, passcode, salt, COST, BLOCK_SIZE, PARALLELISM),
        cost=COST,
        block_size=BLOCK_SIZE,
        parallelism=PARALLELISM,
        made_at=now,
        expires_at=now + OPEN_AGAIN if again else None,
    )
    event = "first-start-opened-again" if again else "passcode-set"
    audit = AuditRecord(kind=AuditKind.OPERATOR, event=event, actor=FIRST_START)
    await store.passcode.set(record, audit)


def _fits(passcode: Secret, kept: PasscodeRecord) -> bool:
    """Whether this is the passcode; takes a tenth of a second, and as long for one that cannot be."""
    if len(passcode.reveal()) > PASSCODE_MAX:
        return False
    digest = _digest(passcode, kept.salt, kept.cost, kept.block_size, kept.parallelism)
    return compare_digest(digest, kept.digest)


def _digest(passcode: Secret, salt: bytes, cost: int, block_size: int, parallelism: int) -> bytes:
    return hashlib.scrypt(
        passcode.reveal(), salt=salt, n=cost, r=block_size, p=parallelism, maxmem=MEMORY, dklen=DIGEST_LENGTH
    )


def _evidence(event: str, caller: Caller, **facts: Fact) -> AuditRecord:
    return AuditRecord(kind=AuditKind.SESSION, event=event, actor=str(caller.station_id), facts=facts)


def _sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
