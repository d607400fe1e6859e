"""An operator with a card, two stations, and the sessions of a server: what tests of log-ons begin with."""

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA3_256, SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from server.authority.access import Caller
from server.authority.sessions import DEFAULT_LIMITS, Opened, SessionLimits, Sessions
from server.ports.store import (
    AuditEntry,
    CertificateChanged,
    CredentialChanged,
    Lease,
    OperatorRecord,
    Store,
)
from server.store.memory import MemoryStore
from shared.credential.model import CertificateState, CredentialRecord, State
from shared.logon import LogonPurpose
from shared.piv.publickey import subject_public_key_info
from shared.sessions import LogonProof
from tests.server.store.examples import (
    EVIDENCE,
    NOON,
    FixedClock,
    a_card,
    a_certificate,
    a_credential,
    a_key,
    a_station,
    an_opening,
    an_operator,
    with_template,
)

SERVER: Final = "cards.example.org"


@dataclass
class Person:
    """Somebody with a key and a certificate, as a card has them; the key signs whatever it is given."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    until: datetime = NOON + timedelta(days=365)

    def __post_init__(self) -> None:
        name = x509.Name.from_rfc4514_string("CN=Anna Berg")
        builder = x509.CertificateBuilder(name, name, self.key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(NOON - timedelta(days=1)).not_valid_after(self.until)
        self.certificate = builder.sign(self.key, SHA256()).public_bytes(Encoding.DER)

    @property
    def public_key(self) -> bytes:
        return subject_public_key_info(self.key.public_key())

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.public_key).digest()

    def prove(self, text: bytes) -> LogonProof:
        signature = self.key.sign(text, ec.ECDSA(SHA3_256()))
        return LogonProof(text=text, certificate=self.certificate, signature=signature)


async def store_card(store: Store, person: Person, credential: CredentialRecord) -> Lease:
    """Store a card with a credential and the certificate in 9A."""
    certificate = a_certificate(
        public_key=person.public_key, certificate=person.certificate, state=CertificateState.CONFIRMED
    )
    return await store.cards.open(
        an_opening(
            a_card(),
            a_station().station_id,
            CredentialChanged(credential=credential),
            CertificateChanged(certificate=certificate),
        )
    )


@dataclass
class Clerk:
    """An operator in a record, with the card that logs it on."""

    store: Store
    person: Person
    operator: OperatorRecord
    credential: CredentialRecord
    lease: Lease

    @classmethod
    async def hired(cls, store: Store, person: Person, *roles: str, name: str = "Anna Berg") -> "Clerk":
        """Put an operator with these roles into a record that has the template of the examples."""
        credential = a_credential(state=State.ACTIVE)
        lease = await store_card(store, person, credential)
        key = a_key(digest=person.digest, credential_id=credential.credential_id)
        operator = an_operator(key, name=name, roles=frozenset(roles))
        await store.operators.add(operator, EVIDENCE)
        return cls(store, person, operator, credential, lease)

    async def set_credential(self, state: State) -> None:
        """Let the operator's credential have another state, as a decision does."""
        changed = CredentialChanged(credential=replace(self.credential, state=state))
        await self.store.cards.apply(self.lease, [changed])


class Office:
    """A server with one operator, who may log on at two desks."""

    def __init__(self, store: Store, clock: FixedClock, limits: SessionLimits = DEFAULT_LIMITS) -> None:
        self.store = store
        self.clock = clock
        self.sessions = Sessions(store, clock, names=[SERVER], limits=limits)
        self.anna = Person()
        self.desk = self.caller("Desk 1")
        self.other_desk = self.caller("Desk 2")

    @classmethod
    async def open(cls, limits: SessionLimits = DEFAULT_LIMITS) -> "Office":
        clock = FixedClock()
        made = cls(MemoryStore(clock), clock, limits)
        await made._furnish()
        return made

    @staticmethod
    def caller(name: str) -> Caller:
        station = a_station(name)
        return Caller(station_id=station.station_id, name=name, lab=False, fingerprint=station.fingerprint)

    async def _furnish(self) -> None:
        await with_template(self.store)
        for caller in (self.desk, self.other_desk):
            station = replace(
                a_station(caller.name), station_id=caller.station_id, fingerprint=caller.fingerprint
            )
            await self.store.stations.add_station(station, EVIDENCE)
        self.clerk = await Clerk.hired(self.store, self.anna, "normal")
        self.operator = self.clerk.operator

    async def challenge(self, caller: Caller, purpose: LogonPurpose = LogonPurpose.LOG_ON) -> bytes:
        return await self.sessions.challenge(caller, purpose, SERVER)

    async def log_on(self, caller: Caller | None = None, person: Person | None = None) -> Opened:
        caller = caller or self.desk
        text = await self.challenge(caller)
        return await self.sessions.log_on(caller, (person or self.anna).prove(text))

    async def admitted(self, opened: Opened, caller: Caller | None = None) -> Caller:
        """Return the caller with its session, as every call does."""
        caller = caller or self.desk
        present = await self.sessions.admit(opened.token.reveal(), caller)
        return replace(caller, session=present)

    async def record(self) -> OperatorRecord:
        found = await self.store.operators.by_id(self.operator.operator_id)
        assert found is not None
        return found

    async def evidence(self) -> list[AuditEntry]:
        return list(await self.store.audit.page(0, 1000))

    def later(self, **times: float) -> None:
        self.clock.time += timedelta(**times)
