"""A server in this process, its store in memory: cut at every command and at every message."""

import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Self
from uuid import uuid4

from server.authority.access import Caller
from server.authority.policy import unrestricted
from server.connectors.ca.builtin import BuiltinAuthority
from server.connectors.keystore.memory import MemoryKeyStore
from server.operations.engine import OperationEngine
from server.operations.services import Services
from server.operations.succession import Succession
from server.operations.tasks import attempt
from server.store.memory_state import Draft
from shared.credential.approval import Way
from shared.credential.model import RecordId, StationId
from shared.piv.chuid import Chuid
from shared.piv.ids import ObjectId, ProfileName
from shared.relay import OperationKind, StationTurn
from shared.virtual.card import VirtualCard
from shared.virtual.memory import Memory
from tests.cuts.authority import Mood, MoodyAuthority
from tests.cuts.cut import FAULTS, MESSAGES, Counts, Cut, DyingWire
from tests.cuts.holder import Holder
from tests.cuts.world import DESKS, TEMPLATE, Books, Line, Place, World
from tests.scenario.approving import Second
from tests.scenario.lab import BOB, DirectBackend, Lab
from tests.scenario.templates import EMPLOYEE


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moment:
    """A moment to come back to."""

    state: Draft
    memory: Memory
    pins: tuple[str, ...]
    place: Place | None


class Inside(World):
    """Two stations without a wire between them and the operations."""

    kinds = (*FAULTS, *MESSAGES)
    subject = BOB.holder

    def __init__(self, lab: Lab, authority: MoodyAuthority) -> None:
        """Work with the server of `lab` and its certificate authority."""
        super().__init__()
        self._lab = lab
        self.authority = authority
        self._new = lab.store._book.state.copy()
        self._moments: dict[str, _Moment] = {}
        self._callers = [
            Caller(
                station_id=StationId(uuid4()),
                name=name,
                lab=True,
                fingerprint=b"\x00" * 32,
                principal=unrestricted("test"),
            )
            for name in DESKS
        ]

    @classmethod
    async def start(cls) -> Self:
        """Start a server."""
        moody: list[MoodyAuthority] = []

        def adapt(services: Services) -> Services:
            built_in = services.authorities["built-in"]
            assert isinstance(built_in, BuiltinAuthority)
            moody.append(MoodyAuthority(built_in))
            return replace(services, authorities={"built-in": moody[0]})

        lab = await Lab.start(adapt=adapt)
        return cls(lab, moody[0])

    async def new_card(self, profile: ProfileName, chance: random.Random) -> None:
        """Begin with a card from the factory, and a server that never saw one."""
        self._lab.store._book.state = self._new.copy()
        await super().new_card(profile, chance)

    def begin(self, mood: Mood) -> None:
        """Have the certificate authority be in a mood, and the server know no more than what it has stored."""
        self.authority.begin(mood)
        self._lab.engine = OperationEngine(self._lab.services)

    async def agree(self, kind: OperationKind) -> None:
        """Do it in the record: the template's next version asks, an operator with a card of their own approves."""
        latest = await self._lab.store.templates.latest(TEMPLATE)
        assert latest is not None
        if latest.ref.version == 1:
            rule = f'\n[[approval]]\noperations = ["{kind.value}"]\n'
            await self._lab.apply(EMPLOYEE + rule, version=2)
        second = await Second.hired(self._lab)
        guid = Chuid.from_bytes(self.card.memory.objects[ObjectId.CHUID]).guid
        await second.agree(Way(kind.value), card=str(guid))

    def sent_again(self) -> int:
        """Ask the certificate authority."""
        return self.authority.sent_again

    def remember(self, name: str) -> None:
        """Keep card, holder and store as they are."""
        self._moments[name] = _Moment(
            state=self._lab.store._book.state.copy(),
            memory=self.card.memory,
            pins=tuple(self.holder.maybe),
            place=self.place,
        )

    def recall(self, name: str, chance: random.Random) -> bool:
        """Make everything as it was; the holder knows the PINs of then and goes on with `chance`."""
        moment = self._moments.get(name)
        if moment is None:
            return False
        self._lab.store._book.state = moment.state.copy()
        holder = Holder(chance)
        holder.maybe = list(moment.pins)
        self.place = moment.place
        self.put_on_table(VirtualCard(moment.memory, random=os.urandom), holder)
        return True

    @asynccontextmanager
    async def line(self, desk: int, cut: Cut | None) -> AsyncIterator["_Line"]:
        """Open a line that dies at `cut`."""
        backend = DirectBackend(self._lab.engine, self._lab.backend._console, self._callers[desk])
        yield _Line(backend, cut, self._lab)

    async def work_queue(self) -> int:
        """Have the certificate authority do everything that waits for it; return how much is left."""
        return await attempt(self._lab.services, await self._lab.store.tasks.all())

    async def renew_master_key(self) -> None:
        """Make the next generation in the key store."""
        keys = self._lab.services.keystore
        assert isinstance(keys, MemoryKeyStore)
        await keys.add_generation()

    async def decide(self, record_id: RecordId, kind: OperationKind, reason: str) -> None:
        """Ask the console."""
        backend = DirectBackend(self._lab.engine, self._lab.backend._console, self._callers[1])
        await backend.decide(record_id, kind, reason)

    async def follow(self) -> None:
        """Do it here."""
        await Succession(self._lab.services).follow_all()

    async def books(self) -> Books:
        """Return what the store in memory holds."""
        state = self._lab.store._book.state
        records = [await self._lab.store.cards.card(record_id) for record_id in state.cards]
        return Books(
            records=[record for record in records if record is not None],
            ledger=list(state.ledger.values()),
            keystore=self._lab.services.keystore,
        )

    async def close(self) -> None:
        """End everything."""
        await super().close()
        await self._lab.close()


class _Line(Line):
    def __init__(self, backend: DirectBackend, cut: Cut | None, lab: Lab) -> None:
        self.backend = backend
        self._cut = cut
        self._lab = lab
        self._commits = lab.store.commits
        self._wire: DyingWire | None = None
        backend.wire = self._make

    def _make(self, turns: AsyncIterator[StationTurn]) -> DyingWire:
        self._wire = DyingWire(turns, self._cut)
        return self._wire

    @property
    def cut(self) -> bool:  # type: ignore[override]  # known only while it is used
        return self._wire is not None and self._wire.dead

    def counts(self, commands: int) -> Counts:
        assert self._wire is not None
        return Counts(
            commands=commands,
            to_server=self._wire.to_server,
            to_station=self._wire.sent,
            commits=self._lab.store.commits - self._commits,
        )
