"""An installation in memory for one rehearsal: nothing of it is kept, and nothing in it is real but the people.

Its parts are made here from nothing. It is told what the real certificate authorities can do, not who they are; the
directories are the real ones, and can only be read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from server.connectors.ca.bootstrap import (
    CONTENT_SIGNING_KEY,
    ISSUING_KEY,
    ROOT_KEY,
    Issuers,
    bootstrap,
    certify_content_signer,
)
from server.connectors.ca.builtin import BuiltinAuthority
from server.connectors.ca.issuing import Publication
from server.connectors.ca.profiles import HOLDER_PROFILES
from server.connectors.keystore.scratch import LongestSignatures, ScratchKeyStore, Stream
from server.operations.identify import identify
from server.operations.rehearsal import Rehearsals, Sources
from server.operations.rehearsal_card import Scratch
from server.operations.services import ContentSigner, Services
from server.ports.ca import Abilities, Outcome, Reason, SignRequest
from server.ports.connection import Ability
from server.ports.directory import Directory, HasAbilities
from server.store.memory import MemoryStore
from shared import errors
from shared.clock import Clock
from shared.credential.model import HolderId, Person
from shared.piv.ids import Algorithm
from shared.virtual.keys import generate_key
from shared.virtual.lab import lab_root
from shared.virtual.memory import PrivateKey

SIGNING: Final = (ROOT_KEY, ISSUING_KEY, CONTENT_SIGNING_KEY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facade:
    """What a rehearsal sees of the real installation from outside: names and abilities, no part that does anything.

    `roots` and `lab_roots` are the names of the attestation roots that are in place.
    """

    organisation: str
    publication: Publication
    abilities: Mapping[str, Abilities]
    directories: Mapping[str, Directory]
    roots: frozenset[str]
    lab_roots: frozenset[str]
    allow_virtual: bool
    clock: Clock


class ScratchAuthority(BuiltinAuthority):
    """A certificate authority that stands in for one of the installation's. Nobody trusts what it signs."""

    def __init__(
        self,
        *,
        connection: str,
        abilities: Abilities,
        facade: Facade,
        keystore: ScratchKeyStore,
        store: MemoryStore,
        issuers: Issuers,
    ) -> None:
        """Claim `abilities`, and sign with throw-away keys."""
        super().__init__(
            connection=connection,
            keystore=keystore,
            ledger=store.ledger,
            audit=store.audit,
            clock=facade.clock,
            issuers=issuers,
            publication=facade.publication,
        )
        self._name = connection
        self._claimed = abilities

    @property
    def abilities(self) -> Abilities:
        """What the real one can do."""
        return self._claimed

    async def issue(self, requests: Sequence[SignRequest]) -> Sequence[Outcome]:
        """Sign.

        Raises:
            CannotRehearse: a profile that only the real one knows.
        """
        unknown = [request.profile for request in requests if request.profile not in HOLDER_PROFILES]
        if unknown:
            raise errors.CannotRehearse(why=f"only {self._name} knows its profile {unknown[0]}")
        return await super().issue(requests)

    async def revoke(self, certificate: bytes, reason: Reason) -> None:
        """Do nothing: what a record names was signed by the real one, and stays as it is."""


class ReadDirectory:
    """A directory of the installation, of which people are read. It is told nothing: it only claims to listen."""

    def __init__(self, real: Directory) -> None:
        """Read `real`."""
        self._real = real

    @property
    def abilities(self) -> frozenset[Ability]:
        """What the real one can do."""
        return self._real.abilities if isinstance(self._real, HasAbilities) else frozenset()

    async def search(self, text: str, limit: int) -> Sequence[Person]:
        """Search the real one; raises as it does."""
        return await self._real.search(text, limit)

    async def get(self, holder: HolderId) -> Person | None:
        """Ask the real one; raises as it does."""
        return await self._real.get(holder)

    async def publish(self, holder: HolderId, certificate: bytes) -> None:
        """Do nothing: nobody's card has this certificate."""

    async def withdraw(self, holder: HolderId, certificate: bytes) -> None:
        """Do nothing, either."""


def rehearsals(services: Services, *, organisation: str, publication: Publication) -> Rehearsals:
    """Return dry runs of what `services` would do.

    Three questions and a description of the real installation is all that is handed on: neither its store nor its key
    store nor any of its certificate authorities.
    """
    store, keystore = services.store, services.keystore
    facade = Facade(
        organisation=organisation,
        publication=publication,
        abilities={name: authority.abilities for name, authority in services.authorities.items()},
        directories=services.directories,
        roots=frozenset(services.attestation_roots),
        lab_roots=frozenset(services.lab_roots),
        allow_virtual=services.allow_virtual,
        clock=services.clock,
    )
    sources = Sources(
        template=store.templates.latest,
        identify=partial(identify, store.cards),
        generation=lambda: keystore.generation,
    )
    return Rehearsals(sources, partial(build_scratch, facade))


async def build_scratch(facade: Facade, generations: int) -> Scratch:
    """Make an installation with this many generations of the master key."""
    random = Stream()
    keystore = ScratchKeyStore(generations, SIGNING, random, facade.clock)
    store = MemoryStore(facade.clock)
    issuers = await bootstrap(keystore, store.ledger, facade.clock, facade.organisation)
    authorities = {
        name: ScratchAuthority(
            connection=name,
            abilities=abilities,
            facade=facade,
            keystore=keystore,
            store=store,
            issuers=issuers,
        )
        for name, abilities in facade.abilities.items()
    }
    first = next(iter(authorities.values()))
    root = lab_root().public_bytes(Encoding.DER)
    services = Services(
        store=store,
        keystore=keystore,
        authorities=authorities,
        directories={name: ReadDirectory(real) for name, real in facade.directories.items()},
        signer=ContentSigner(
            key=CONTENT_SIGNING_KEY,
            certificate=await certify_content_signer(first.issuer, keystore, store.ledger),
        ),
        clock=facade.clock,
        allow_virtual=facade.allow_virtual,
        # the card of a rehearsal is vouched for by the lab's root, whatever root vouches for real ones
        attestation_roots=dict.fromkeys(facade.roots, root),
        lab_roots=dict.fromkeys(facade.lab_roots, root),
        approvals=None,  # there is nobody to ask, and no card that could become usable
    )
    return Scratch(services=services, random=random, keys=spare_key)


@cache
def spare_key(algorithm: Algorithm) -> PrivateKey:
    """Return a key for a slot of a card in memory: one of a kind serves every rehearsal of this process."""
    key = generate_key(algorithm)
    return LongestSignatures(key) if isinstance(key, ec.EllipticCurvePrivateKey) else key
