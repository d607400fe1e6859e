"""Log-ons of holders: by the directory's password, by their own card and PIN, by a code that an operator made.

A holder is no operator. The session is of another kind, its token travels apart from an operator's, and it gives no
permission: what a holder may do to which credential is judged each time (`policy.authorise_holder`).

Nothing about a session is remembered between two calls; each is judged anew by the record. It is short, because whether the
directory still lets the person in is asked when it begins and not again.

A password is tried at the directory once for each log-on. Tries are counted before they are made, for each person wherever they
stand, so that the directory has no reason to lock the account; it is kept nowhere, and evidence has no name that was
typed, because people type passwords into the wrong line.

Source: card-rules sections 1 (the directory's password) and 7 (identities on the wire).
"""

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Final, NoReturn
from uuid import UUID, uuid4

from cryptography.exceptions import InvalidSignature

from server.authority.access import Caller
from server.authority.operator_keys import public_key_of, shows
from server.authority.policy import Holding
from server.authority.proofs import Proofs
from server.authority.throttle import Limit, Throttle
from server.ports.directory import CanAuthenticate, CanMatch, Directory
from server.ports.holders import HolderSessionRecord
from server.ports.store import AuditKind, AuditRecord, SessionEnd, SessionId, Store
from shared import errors
from shared.clock import Clock
from shared.credential.model import (
    CardRecord,
    CredentialId,
    CredentialRecord,
    HolderId,
    Person,
    RecordId,
    State,
)
from shared.credential.read_out import unblock_code_digest
from shared.credential.self_service import FOR_CODES, HolderProof
from shared.credential.template import Template
from shared.credential.template_reading import parse_template
from shared.errors import Fact
from shared.logon import LogonPurpose, verify_logon
from shared.piv.ids import PinPolicyId, Slot
from shared.secret import Secret
from shared.self_service import CardShown, CodeGiven, HolderGiven, PasswordGiven
from shared.sessions import TOKEN_LENGTH
from shared.station_profile import Face

PER_STATION: Final = Limit(burst=10, seconds=6)
"""Log-ons of holders that one station tries, right or wrong."""
OVERALL: Final = Limit(burst=200, seconds=0.1)
NAMES: Final = ("user", "upn", "mail")
"""What somebody types to say who they are: one of these attributes, whole."""
SEARCH_LIMIT: Final = 200
TOUCH_EVERY: Final = timedelta(seconds=15)
BOUND: Final = LogonPurpose.SELF_SERVICE.value
"""What a challenge of a holder is for; none of an operator's is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderLimits:
    """How long a session lasts without a call, and at all; how often a password is tried within which time."""

    idle: timedelta = timedelta(minutes=3)
    absolute: timedelta = timedelta(minutes=15)
    tries: int = 3
    within: timedelta = timedelta(minutes=30)


DEFAULT_LIMITS: Final = HolderLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderOpened:
    """A session that was just begun, and its token."""

    token: Secret
    session: HolderSessionRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class _Who:
    """A person that a proof is good for."""

    directory: str
    person: Person
    credential_id: CredentialId | None = None


class HolderSessions:
    """Begin, judge and end sessions of holders."""

    def __init__(
        self,
        store: Store,
        directories: Mapping[str, Directory],
        clock: Clock,
        *,
        names: Collection[str],
        limits: HolderLimits = DEFAULT_LIMITS,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Know people from `directories`; `names` are those by which stations call this server, `random` draws secrets."""
        self._store = store
        self._directories = directories
        self._proofs = Proofs(store, clock, names=names, random=random)
        self._clock = clock
        self.limits: Final = limits
        self._random = random
        self._throttle = Throttle(per_peer=PER_STATION, overall=OVERALL, clock=clock)

    # --- logging on -------------------------------------------------------------------------------------

    async def challenge(self, caller: Caller, server: str) -> bytes:
        """Return a text for a holder's card to sign; `server` is the name under which the station calls.

        Raises:
            NotAllowed: this station is not for self-service.
            TooManyAttempts, Invalid: as `Proofs.challenge`.
        """
        _require_self_service(caller)
        return await self._proofs.challenge(caller, LogonPurpose.SELF_SERVICE, BOUND, server)

    async def log_on(self, caller: Caller, given: HolderGiven) -> HolderOpened:
        """Begin a session at the calling station; one that the caller has ends.

        Raises:
            NotAllowed: this station is not for self-service.
            TooManyAttempts: this station, or with this person's password, failed too often; nothing was judged.
            HolderLogonRefused: not the password, the card or the code of anybody who may have a credential now. Why is in the
                evidence alone.
            ConnectorUnreachable, ConnectorRefused: the directory does not say who it is.
        """
        _require_self_service(caller)
        self._throttle.attempt(str(caller.station_id))
        match given:
            case PasswordGiven():
                proof, who = HolderProof.PASSWORD, await self._by_password(caller, given)
            case CardShown():
                proof, who = HolderProof.CARD, await self._by_card(caller, given)
            case CodeGiven():
                proof, who = HolderProof.CODE, await self._by_code(caller, given)
        now = self._clock.now()
        token = Secret(self._random(TOKEN_LENGTH))
        session = HolderSessionRecord(
            session_id=SessionId(uuid4()),
            token_digest=_sha256(token.reveal()),
            directory=who.directory,
            holder=who.person.holder,
            name=who.person.name,
            proof=proof,
            credential_id=who.credential_id,
            station_id=caller.station_id,
            fingerprint=caller.fingerprint,
            began_at=now,
            last_seen_at=now,
            expires_at=now + self.limits.absolute,
        )
        await self._store.holders.open(session, _evidence("holder-logged-on", session))
        if caller.holder is not None:
            await self._end(caller.holder, SessionEnd.REPLACED)
        return HolderOpened(token=token, session=session)

    async def log_off(self, caller: Caller) -> None:
        """End the caller's session.

        Raises:
            LogonNeeded: no holder is logged on.
        """
        if caller.holder is None:
            raise errors.LogonNeeded
        await self._end(caller.holder, SessionEnd.LOGGED_OFF)

    # --- judging ----------------------------------------------------------------------------------------

    async def admit(self, token: bytes, caller: Caller) -> HolderSessionRecord:
        """Return the session with this token, and note that it was used.

        Raises:
            SessionEnded: there is none, it has ended, or it is another station's.
            NotAllowed: this station is not for self-service any more.
        """
        return await self._judge(_sha256(token), caller)

    async def recheck(self, session: HolderSessionRecord, caller: Caller) -> HolderSessionRecord:
        """Judge a session again, in the middle of something long; raises as `admit`."""
        return await self._judge(session.token_digest, caller)

    async def _judge(self, token_digest: bytes, caller: Caller) -> HolderSessionRecord:
        session = await self._store.holders.by_digest(token_digest)
        if session is None or session.ended_at is not None:
            raise errors.SessionEnded
        if (session.station_id, session.fingerprint) != (caller.station_id, caller.fingerprint):
            await self._proofs.note("token-elsewhere", caller, session=str(session.session_id))
            raise errors.SessionEnded
        _require_self_service(caller)
        now = self._clock.now()
        why = self._why_over(session, now) or await self._why_not(session)
        if why is not None:
            await self._end(session, why)
            raise errors.SessionEnded
        stale = now - session.last_seen_at >= min(TOUCH_EVERY, self.limits.idle / 4)
        if stale and not await self._store.holders.touch(session.session_id, now):
            raise errors.SessionEnded
        return session

    def _why_over(self, session: HolderSessionRecord, now: datetime) -> SessionEnd | None:
        if now >= session.expires_at:
            return SessionEnd.EXPIRED
        return SessionEnd.IDLE if now - session.last_seen_at >= self.limits.idle else None

    async def _why_not(self, session: HolderSessionRecord) -> SessionEnd | None:
        """Return that the credential that was the proof does not count any more."""
        if session.credential_id is None:
            return None
        record = await self._store.credentials.by_credential(session.credential_id)
        credential = record.credential if record is not None else None
        counts = {State.ACTIVE} if session.proof is HolderProof.CARD else FOR_CODES.keys()
        return None if credential is not None and credential.state in counts else SessionEnd.CREDENTIAL

    async def _end(self, session: HolderSessionRecord, why: SessionEnd) -> None:
        audit = _evidence("ended", session, why=why.value)
        await self._store.holders.end(session.session_id, why, self._clock.now(), audit)

    # --- proofs -----------------------------------------------------------------------------------------

    async def _by_password(self, caller: Caller, given: PasswordGiven) -> _Who:
        found = await self._named(given.name)
        if len(found) != 1 or given.password.wiped or not given.password.reveal():
            await self._failed(caller, HolderProof.PASSWORD, "name" if len(found) != 1 else "password")
        ((name, directory, person),) = found
        now = self._clock.now()
        until = await self._store.holders.try_once(
            name, person.holder, at=now, limit=self.limits.tries, within=self.limits.within
        )
        if until is not None:
            await self._proofs.note("holder-throttled", caller, holder=person.holder)
            raise errors.TooManyAttempts(seconds=ceil((until - now).total_seconds()))
        try:
            right = await directory.authenticate(person.holder, given.password)
        except errors.ConnectorRefused:
            await self._failed(caller, HolderProof.PASSWORD, "account", person.holder)
        if not right:
            await self._failed(caller, HolderProof.PASSWORD, "password", person.holder)
        await self._require_valid(caller, HolderProof.PASSWORD, person)
        await self._store.holders.forget_tries(name, person.holder)
        return _Who(directory=name, person=person)

    async def _named(self, text: str) -> list[tuple[str, CanAuthenticate, Person]]:
        """Return the people with this log-on name, in directories that know passwords; nobody for an empty one."""
        wanted = text.strip().casefold()
        if not wanted:
            return []
        asked = {
            name: directory
            for name, directory in self._directories.items()
            if isinstance(directory, CanAuthenticate)
        }
        answers = await asyncio.gather(*(_called(self._directories[name], wanted) for name in asked))
        return [
            (name, directory, person)
            for (name, directory), people in zip(asked.items(), answers, strict=True)
            for person in people
        ]

    async def _by_card(self, caller: Caller, given: CardShown) -> _Who:
        """Judge a card's signature; the challenge is spent, whatever comes of it."""
        proof, now = given.proof, self._clock.now()
        spent = await self._store.challenges.spend(_sha256(proof.text), now)
        if spent is None or (spent.station_id, spent.purpose) != (caller.station_id, BOUND):
            await self._failed(caller, HolderProof.CARD, "challenge")
        record, credential = await self._on_card(given.card)
        if record is None or credential is None or credential.state is not State.ACTIVE:
            return await self._failed(caller, HolderProof.CARD, "credential")
        if not shows(record, proof.certificate, Slot.AUTHENTICATION, now):
            await self._failed(caller, HolderProof.CARD, "certificate", credential.holder)
        try:
            verify_logon(public_key_of(proof.certificate), proof.text, proof.signature)
        except InvalidSignature:
            await self._failed(caller, HolderProof.CARD, "signature", credential.holder)
        return await self._owner(caller, HolderProof.CARD, credential)

    async def _by_code(self, caller: Caller, given: CodeGiven) -> _Who:
        """Spend a code; it stands for the credential that it was made for, and for no other of the same holder."""
        _, credential = await self._on_card(given.card)
        if credential is None or credential.state not in FOR_CODES or credential.roles:
            return await self._failed(caller, HolderProof.CODE, "credential")
        who = await self._owner(caller, HolderProof.CODE, credential)
        try:
            digest = unblock_code_digest(given.code, credential.credential_id)
        except errors.Invalid:
            await self._failed(caller, HolderProof.CODE, "form", credential.holder)
        if not await self._store.codes.redeem(credential.credential_id, digest, self._clock.now()):
            await self._failed(caller, HolderProof.CODE, "code", credential.holder)
        return who

    async def _on_card(self, card: UUID) -> tuple[CardRecord | None, CredentialRecord | None]:
        record = await self._store.cards.card(RecordId(card))
        return record, record.credential if record is not None else None

    async def _owner(self, caller: Caller, proof: HolderProof, credential: CredentialRecord) -> _Who:
        """Return the holder of a credential as the directory of its template knows them now."""
        stored = await self._store.templates.version(credential.template)
        template = parse_template(stored.text) if stored is not None else None
        if template is None or (proof is HolderProof.CARD and not _takes_pin(template)):
            return await self._failed(caller, proof, "template", credential.holder)
        name = template.directory
        directory = self._directories.get(name)
        person = await directory.get(credential.holder) if directory is not None else None
        if person is None:
            return await self._failed(caller, proof, "person", credential.holder)
        await self._require_valid(caller, proof, person)
        return _Who(directory=name, person=person, credential_id=credential.credential_id)

    async def _require_valid(self, caller: Caller, proof: HolderProof, person: Person) -> None:
        if not person.is_valid(self._clock.now()):
            await self._failed(caller, proof, "account", person.holder)

    async def _failed(
        self, caller: Caller, proof: HolderProof, why: str, holder: HolderId | None = None
    ) -> NoReturn:
        """Leave evidence of a failure, and refuse: the caller is not told why."""
        facts = {} if holder is None else {"holder": holder}
        await self._proofs.note("holder-log-on-failed", caller, proof=proof.value, why=why, **facts)
        raise errors.HolderLogonRefused


def holding_of(session: HolderSessionRecord) -> Holding:
    """Return as whom a session lets act."""
    return Holding(
        directory=session.directory,
        holder=session.holder,
        proof=session.proof,
        credential_id=session.credential_id,
    )


async def _called(directory: Directory, wanted: str) -> list[Person]:
    """Return the people of a directory whom exactly this name means."""
    if isinstance(directory, CanMatch):
        answers = []
        for attribute in NAMES:
            with suppress(errors.NotSupported):  # not every directory has all of them
                answers.append(await directory.match(attribute, wanted, 2))
    else:
        answers = [await directory.search(wanted, SEARCH_LIMIT)]
    found = {person.holder: person for people in answers for person in people}
    return [
        person
        for person in found.values()
        if wanted in {person.attributes.get(attribute, "").casefold() for attribute in NAMES}
    ]


def _takes_pin(template: Template) -> bool:
    """Whether the key with which a card proves whose it is takes the PIN."""
    specs = [each for each in template.certificates if each.slot is Slot.AUTHENTICATION]
    return bool(specs) and all(each.pin_policy is not PinPolicyId.NEVER for each in specs)


def _require_self_service(caller: Caller) -> None:
    """Refuse a station that is not for holders, and an application, which nobody stands in front of."""
    if caller.application or not caller.profile.allows_face(Face.SELF_SERVICE):
        raise errors.NotAllowed(what="self-service at this station")


def _evidence(event: str, session: HolderSessionRecord, **facts: Fact) -> AuditRecord:
    return AuditRecord(
        kind=AuditKind.SESSION,
        event=event,
        actor=f"holder {session.holder}",
        subject=str(session.session_id),
        facts={"station": str(session.station_id), "proof": session.proof.value, **facts},
    )


def _sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
