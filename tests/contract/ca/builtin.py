"""The built-in certificate authority, for the suite of those elsewhere: it is judged as they are."""

from pathlib import Path
from typing import Any

from cryptography import x509

from server.connectors.ca.bootstrap import Issuers, bootstrap
from server.connectors.ca.builtin import BuiltinAuthority
from server.connectors.ca.profiles import HOLDER_PROFILES
from server.connectors.keystore.memory import MemoryKeyStore
from server.connectors.kinds import AUTHORITY
from server.store.memory import MemoryStore
from shared.clock import SystemClock
from tests.contract.ca.bench import Bench
from tests.contract.ca.signer import Entry


class BuiltIn:
    """A key store and a record, from which a connection is made anew as after a restart."""

    KIND = AUTHORITY

    def __init__(self, _folder: Path) -> None:
        self.clock = SystemClock()
        self.keystore = MemoryKeyStore(self.clock)
        self.store = MemoryStore(self.clock)
        self.issuers = Issuers(root=b"", issuing=b"")

    async def start(self) -> None:
        self.issuers = await bootstrap(self.keystore, self.store.ledger, self.clock, "Example")

    async def stop(self) -> None:
        await self.store.close()

    @property
    def chain_der(self) -> tuple[bytes, bytes]:
        return self.issuers.issuing, self.issuers.root

    async def book(self) -> list[Entry]:
        return [
            Entry(
                x509.load_der_x509_certificate(entry.certificate),
                revoked=entry.revoked_at is not None,
                reason=entry.reason if entry.revoked_at is not None else "",
            )
            for entry in self.store._book.state.ledger.values()
            if entry.request_id is not None
        ]

    def asked(self) -> int:
        return self.store.commits

    def build(self) -> Any:
        return BuiltinAuthority(
            connection="built-in",
            keystore=self.keystore,
            ledger=self.store.ledger,
            audit=self.store.audit,
            clock=self.clock,
            issuers=self.issuers,
        )


def bench(here: BuiltIn) -> Bench:
    """Return what the suite needs of it; nobody is a stranger to it, and nothing is on the wire."""
    return Bench(
        kind=AUTHORITY,
        double=here,
        build=here.build,
        stranger=here.build,
        profile="smart-card-logon",
        unknown="missing",
        offered=tuple(sorted(HOLDER_PROFILES)),
        issuing="",
        words={"keyCompromise": "keyCompromise", "certificateHold": "certificateHold"},
    )
