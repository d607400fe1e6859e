"""Proofs of an operator's key: texts to sign that are good once, and whose signature came back.

What is signed is a text of ours (`shared.logon`) that names this server, the station by its TLS certificate, and the
purpose. A card in a reader signs it as it is; an ssh-agent signs it wrapped up (`shared.ssh.sshsig`). Neither form passes for the
other: they are judged by different code, over different bytes, with different digests.

An agent proves that somebody has the key, and nothing about a PIN or a person. What certificate the key has is looked up in the
record, because the proof shows none.

The PIN stays with the card. A wrong one is counted there, and nowhere else; what is counted here are signatures.

Source: card-rules section 7 (identities on the wire).
"""

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Final, NoReturn

from cryptography.exceptions import InvalidSignature

from server.authority.access import Caller
from server.authority.operator_keys import public_key_of, why_not
from server.authority.throttle import Limit, Throttle
from server.ports.audit import AuditKind, AuditRecord
from server.ports.operators import ChallengeRecord, LogonMethod, OperatorId, OperatorRecord
from server.ports.store import Store
from shared import errors
from shared.clock import Clock
from shared.credential.model import StationId
from shared.errors import Fact
from shared.logon import LIFETIME, NONCE_LENGTH, LogonPurpose, LogonText, verify_logon
from shared.sessions import AgentProof, Proof
from shared.ssh.sshsig import read_signature, verify

PER_STATION: Final = Limit(burst=30, seconds=1)
"""Challenges and proofs of one station."""
OVERALL: Final = Limit(burst=300, seconds=0.1)
UNKNOWN: Final = Limit(burst=10, seconds=60)
"""Failures that become evidence although nobody's count holds them; the others are counted with their operator."""

FREE_FAILURES: Final = 2
"""So many may follow each other before the next has to wait."""
FIRST_WAIT: Final = timedelta(seconds=5)
LONGEST_WAIT: Final = timedelta(seconds=60)
"""Longer ones would be a way to keep an operator out; nobody guesses a signature in a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """Whose key signed, and how. `digest` is the key's (SHA-256 of its DER SubjectPublicKeyInfo).

    `presence`: somebody was there, with a PIN at a card.
    """

    operator: OperatorRecord
    digest: bytes
    method: LogonMethod
    presence: bool


class Proofs:
    """Give out challenges, and judge what comes back."""

    def __init__(
        self, store: Store, clock: Clock, *, names: Collection[str], random: Callable[[int], bytes]
    ) -> None:
        """`names` are those by which stations call this server; `random` draws nonces."""
        self._store = store
        self._clock = clock
        self._names = frozenset(names)
        self._random = random
        self._throttle = Throttle(per_peer=PER_STATION, overall=OVERALL, clock=clock)
        self._noted = Throttle(per_peer=UNKNOWN, overall=UNKNOWN, clock=clock)
        self._waits: dict[tuple[OperatorId, StationId], datetime] = {}
        """Until when an operator waits at the station where proofs failed; at another one nobody is kept out by it."""

    async def challenge(
        self, caller: Caller, purpose: LogonPurpose, bound: str, server: str, *, intent: bytes = b""
    ) -> bytes:
        """Return a text to sign; `bound` is what it is for, `server` the name under which the station calls.

        `intent` is the digest of what is approved, where that is the purpose.

        Raises:
            TooManyAttempts: this station, or all together, asked too often.
            Invalid: no name of this server.
        """
        self._throttle.attempt(str(caller.station_id))
        if server not in self._names:
            raise errors.Invalid(field="server", why="not a name of this server")
        now = self._clock.now()
        expires_at = now.replace(microsecond=0) + LIFETIME
        text = bytes(
            LogonText(
                server=server,
                station=caller.fingerprint,
                nonce=self._random(NONCE_LENGTH),
                expires_at=expires_at,
                purpose=purpose,
                intent=intent,
            )
        )
        record = ChallengeRecord(
            digest=_sha256(text), station_id=caller.station_id, purpose=bound, expires_at=expires_at
        )
        await self._store.challenges.add(record, now)
        return text

    async def judge(self, caller: Caller, bound: str, proof: Proof) -> Proven:
        """Return whose key signed a challenge of ours for this caller, and for what it is bound to.

        The challenge is spent, whatever comes of it.

        Raises:
            TooManyAttempts: the station, or this operator at it, failed too often; nothing was judged.
            LogonRefused: not our challenge, no operator's key, one that does not count now, or not its signature.
        """
        self._throttle.attempt(str(caller.station_id))
        now = self._clock.now()
        spent = await self._store.challenges.spend(_sha256(proof.text), now)
        method = LogonMethod.AGENT if isinstance(proof, AgentProof) else LogonMethod.CARD
        public_key = _claimed(proof)
        digest = _sha256(public_key)
        operator = await self._store.operators.by_key(digest) if public_key else None
        if (
            operator is not None
            and (until := self._waits_until(caller, operator)) is not None
            and until > now
        ):
            raise errors.TooManyAttempts(seconds=ceil((until - now).total_seconds()))
        if spent is None or (spent.station_id, spent.purpose) != (caller.station_id, bound):
            await self.failed(caller, operator, "challenge", method)
        if operator is None:
            return await self.failed(caller, None, "key", method)
        try:
            _verify(proof, public_key)
        except InvalidSignature:
            await self.failed(caller, operator, "signature", method)
        certificate = None if isinstance(proof, AgentProof) else proof.certificate
        if why := await why_not(self._store.credentials, operator, digest, certificate, now):
            await self.failed(caller, operator, why, method)
        presence = method is LogonMethod.CARD
        return Proven(operator=operator, digest=digest, method=method, presence=presence)

    async def failed(
        self, caller: Caller, operator: OperatorRecord | None, why: str, method: LogonMethod
    ) -> NoReturn:
        """Record a failure, with its operator where it is one's, and refuse: the caller is not told why."""
        if operator is None:
            await self.note("log-on-failed", caller, why=why, method=method.value)
            raise errors.LogonRefused
        audit = AuditRecord(
            kind=AuditKind.SESSION,
            event="log-on-failed",
            actor=str(caller.station_id),
            subject=str(operator.operator_id),
            facts={"why": why, "method": method.value},
        )
        wait = wait_after(operator.failed_logons + 1)
        until = self._clock.now() + wait if wait else None
        if until is not None:
            self._waits[operator.operator_id, caller.station_id] = until
        await self._store.operators.note_failure(operator.operator_id, until, audit)
        raise errors.LogonRefused

    def _waits_until(self, caller: Caller, operator: OperatorRecord) -> datetime | None:
        """Return until when this operator has to wait here; a good log-on anywhere, and an activation, end all waiting."""
        here = self._waits.get((operator.operator_id, caller.station_id))
        if here is None or operator.locked_until is None:
            return None
        return min(here, operator.locked_until)

    async def note(self, event: str, caller: Caller, **facts: Fact) -> None:
        """Leave evidence of what nobody's count holds; whoever tries for ever must not fill the record."""
        try:
            self._noted.attempt(f"{event} {caller.station_id}")
        except errors.TooManyAttempts:
            return
        record = AuditRecord(
            kind=AuditKind.SESSION,
            event=event,
            actor=str(caller.station_id),
            facts=facts,
        )
        await self._store.audit.append([record])


def wait_after(failures: int) -> timedelta:
    """Return how long the next attempt has to wait after so many failures in a row: twice as long each time."""
    over = failures - FREE_FAILURES
    return min(FIRST_WAIT * 2 ** min(over - 1, 10), LONGEST_WAIT) if over > 0 else timedelta()


def _claimed(proof: Proof) -> bytes:
    """Return the key that a proof claims to be by (DER SubjectPublicKeyInfo); nothing where it cannot be read."""
    if not isinstance(proof, AgentProof):
        return public_key_of(proof.certificate)
    try:
        return read_signature(proof.signature).public_key
    except errors.Garbled:
        return b""


def _verify(proof: Proof, public_key: bytes) -> None:
    """Check the signature of a proof by the key that it claims; `InvalidSignature` where it is another one's."""
    if isinstance(proof, AgentProof):
        verify(read_signature(proof.signature), proof.text)
    else:
        verify_logon(public_key, proof.text, proof.signature)


def _sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
