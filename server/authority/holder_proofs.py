"""How holders prove who they are: the directory's password, or its log-on elsewhere; their own card and PIN; an operator's code.

A password is tried at the directory once for each log-on. Tries are counted before they are made, for each person wherever they
stand, so that the directory has no reason to lock the account; it is kept nowhere, and evidence has no name that was
typed, because people type passwords into the wrong line.

A card signs a text of ours with a purpose of its own (`shared.logon`), by the key in 9A, which takes the PIN.

Source: card-rules sections 1 (the directory's password) and 7 (identities on the wire).
"""

import asyncio
import hashlib
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Final, NoReturn
from uuid import UUID

from cryptography.exceptions import InvalidSignature

from server.authority.access import Caller
from server.authority.device_logons import DeviceLogons, Finished
from server.authority.operator_keys import public_key_of, shows, takes_pin
from server.authority.proofs import Proofs
from server.ports.connection import Ability
from server.ports.directory import CanAuthenticate, CanAuthenticateByCode, CanMatch, Directory, HasAbilities
from server.ports.store import Store
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
from shared.credential.template_reading import parse_template
from shared.errors import Fact
from shared.logon import LogonPurpose, verify_logon
from shared.piv.ids import Slot
from shared.self_service import CardShown, CodeGiven, DeviceCode, DeviceWaits, HolderGiven, PasswordGiven

NAMES: Final = ("user", "upn", "mail")
"""What somebody types to say who they are: one of these attributes, whole."""
SEARCH_LIMIT: Final = 200
BOUND: Final = LogonPurpose.SELF_SERVICE.value
"""What a challenge of a holder is for; none of an operator's is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenHolder:
    """Whom a proof is good for. `credential_id` is the credential whose card, or whose code, it was."""

    proof: HolderProof
    directory: str
    person: Person
    credential_id: CredentialId | None = None


class HolderProofs:
    """Give out challenges, and judge what holders give."""

    def __init__(
        self,
        store: Store,
        directories: Mapping[str, Directory],
        clock: Clock,
        *,
        names: Collection[str],
        random: Callable[[int], bytes],
        tries: int,
        within: timedelta,
    ) -> None:
        """Know people from `directories`, and try a password `tries` times `within` a time.

        `names` are those by which stations call this server; `random` draws nonces.
        """
        self._store = store
        self._directories = directories
        self._clock = clock
        self._tries = tries
        self._within = within
        self._proofs = Proofs(store, clock, names=names, random=random)
        self._devices = DeviceLogons(clock)

    async def challenge(self, caller: Caller, server: str) -> bytes:
        """Return a text for a holder's card to sign; raises as `Proofs.challenge`."""
        return await self._proofs.challenge(caller, LogonPurpose.SELF_SERVICE, BOUND, server)

    async def judge(self, caller: Caller, given: HolderGiven) -> ProvenHolder:
        """Return who it is.

        Raises:
            TooManyAttempts: this person's password failed too often; it was not tried.
            HolderLogonRefused: it proves nobody who may have a credential now. Why is in the evidence alone.
            ConnectorUnreachable, ConnectorRefused: the directory does not say who it is.
        """
        match given:
            case PasswordGiven():
                return await self._by_password(caller, given)
            case CardShown():
                return await self._by_card(caller, given)
            case CodeGiven():
                return await self._by_code(caller, given)

    async def begin_device(self, caller: Caller, name: str) -> DeviceCode:
        """Begin a log-on on another device for whom this name means.

        Raises:
            HolderLogonRefused: it means nobody, or several.
            TooManyAttempts: enough such log-ons wait at this station.
            ConnectorUnreachable, ConnectorRefused: the directory gives no code.
        """
        found = await self._named(name, takes_devices)
        if len(found) != 1:
            await self._failed(caller, HolderProof.DEVICE, "name")
        ((connection, directory, person),) = found
        assert isinstance(directory, CanAuthenticateByCode)  # `takes_devices` looked
        begun = await self._devices.begin(caller, connection, directory, person.holder)
        await self._proofs.note("holder-device-begun", caller, holder=person.holder)
        return begun

    async def ask_device(self, caller: Caller, logon_id: UUID) -> ProvenHolder | DeviceWaits:
        """Return who finished a log-on on another device, once, or that nobody has yet.

        Raises:
            HolderLogonRefused: there is none, it is over, or it was not this person.
            ConnectorUnreachable, ConnectorRefused: the directory does not say; it still waits.
        """
        outcome = await self._devices.ask(caller, logon_id)
        if isinstance(outcome, DeviceWaits):
            return outcome
        if outcome is None:
            return await self._failed(caller, HolderProof.DEVICE, "none")
        if outcome.why:
            await self._failed(caller, HolderProof.DEVICE, outcome.why, outcome.holder)
        return await self._of_device(caller, outcome)

    def cancel_device(self, caller: Caller, logon_id: UUID) -> None:
        """Take back a log-on on another device that this station began."""
        self._devices.cancel(caller, logon_id)

    async def _of_device(self, caller: Caller, finished: Finished) -> ProvenHolder:
        """Return the holder as the directory knows them now."""
        directory = self._directories.get(finished.directory)
        person = await directory.get(finished.holder) if directory is not None else None
        if person is None:
            return await self._failed(caller, HolderProof.DEVICE, "person", finished.holder)
        await self._require_valid(caller, HolderProof.DEVICE, person)
        return ProvenHolder(proof=HolderProof.DEVICE, directory=finished.directory, person=person)

    async def note(self, event: str, caller: Caller, **facts: Fact) -> None:
        """Leave evidence of what nobody's count holds."""
        await self._proofs.note(event, caller, **facts)

    async def _by_password(self, caller: Caller, given: PasswordGiven) -> ProvenHolder:
        found = await self._named(given.name, knows_passwords)
        if len(found) != 1 or given.password.wiped or not given.password.reveal():
            await self._failed(caller, HolderProof.PASSWORD, "name" if len(found) != 1 else "password")
        ((name, directory, person),) = found
        assert isinstance(directory, CanAuthenticate)  # `knows_passwords` looked
        now = self._clock.now()
        until = await self._store.holders.try_once(
            name, person.holder, at=now, limit=self._tries, within=self._within
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
        return ProvenHolder(proof=HolderProof.PASSWORD, directory=name, person=person)

    async def _named(
        self, text: str, able: Callable[[Directory], bool]
    ) -> list[tuple[str, Directory, Person]]:
        """Return the people with this log-on name, in directories that are `able`; nobody for an empty one."""
        wanted = text.strip().casefold()
        if not wanted:
            return []
        asked = {name: directory for name, directory in self._directories.items() if able(directory)}
        answers = await asyncio.gather(*(_called(directory, wanted) for directory in asked.values()))
        return [
            (name, directory, person)
            for (name, directory), people in zip(asked.items(), answers, strict=True)
            for person in people
        ]

    async def _by_card(self, caller: Caller, given: CardShown) -> ProvenHolder:
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

    async def _by_code(self, caller: Caller, given: CodeGiven) -> ProvenHolder:
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

    async def _owner(self, caller: Caller, proof: HolderProof, credential: CredentialRecord) -> ProvenHolder:
        """Return the holder of a credential as the directory of its template knows them now."""
        stored = await self._store.templates.version(credential.template)
        template = parse_template(stored.text) if stored is not None else None
        if template is None or (proof is HolderProof.CARD and not takes_pin(template)):
            return await self._failed(caller, proof, "template", credential.holder)
        name = template.directory
        directory = self._directories.get(name)
        person = await directory.get(credential.holder) if directory is not None else None
        if person is None:
            return await self._failed(caller, proof, "person", credential.holder)
        await self._require_valid(caller, proof, person)
        return ProvenHolder(
            proof=proof, directory=name, person=person, credential_id=credential.credential_id
        )

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


def knows_passwords(directory: Directory) -> bool:
    """Whether a directory can check passwords, as it is configured where it says what it can."""
    if not isinstance(directory, CanAuthenticate):
        return False
    return not isinstance(directory, HasAbilities) or Ability.AUTHENTICATE in directory.abilities


def takes_devices(directory: Directory) -> bool:
    """Whether a directory lets people log on on another device, as it is configured where it says what it can."""
    if not isinstance(directory, CanAuthenticateByCode):
        return False
    return not isinstance(directory, HasAbilities) or Ability.AUTHENTICATE in directory.abilities


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


def _sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
