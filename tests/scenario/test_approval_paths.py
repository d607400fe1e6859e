"""Every path to a usable card, each without an approval, with one, and cut in the middle: none gets round it.

The operations come from the lifecycle's own table: one that is new is on no path here until somebody decided about it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from server.connectors.directory.memory import MemoryDirectory
from server.connectors.keystore.memory import MemoryKeyStore
from server.ports.approvals import ApprovalRecord, ApprovalState
from shared import errors
from shared.credential.approval import ADMINISTRATIVE, WAY_OF, WITH_ROLES, Way
from shared.credential.lifecycle import LIFECYCLE, OperationKind
from shared.credential.model import CardRecord
from shared.errors import KioskError
from shared.piv.ids import Ins, ProfileName
from shared.secret import Secret
from shared.virtual.faults import Fault, FaultKind
from tests.scenario.approving import ADMINISTRATOR, Second
from tests.scenario.lab import ALICE, BOB, Holder, Lab
from tests.scenario.templates import EMPLOYEE

PIN, NEW = "824650", "913572"
CARD_WAYS = sorted(set(Way) - ADMINISTRATIVE)
RULE = f"\n[[approval]]\noperations = {[way.value for way in CARD_WAYS]}\n"
VISITOR = EMPLOYEE.replace('name = "employee"', 'name = "visitor"').replace(
    "[[certificate]]", "[temporary]\nhours = 12\n\n[[certificate]]", 1
)


@dataclass
class Bench:
    """A lab whose cards take a second person: by their template, or because they carry roles."""

    lab: Lab
    carol: Second
    roles: bool
    code: Secret | None = field(default=None, repr=False)

    def takes(self, way: Way) -> bool:
        return not self.roles or way in WITH_ROLES

    async def agree(self, way: Way, **wish: Any) -> None:
        if self.takes(way):
            if way is Way.ISSUE and self.roles:
                wish.setdefault("roles", (ADMINISTRATOR,))
            await self.carol.agree(way, **wish)

    async def perform(self, operation: OperationKind, *new_pins: str, **job: Any) -> KioskError | None:
        holder = Holder(new_pins=list(new_pins), current_pins=[PIN, PIN])
        return (await self.lab.perform(operation, holder, **job)).error

    async def issue(self, template: str = "employee", **job: Any) -> KioskError | None:
        job.setdefault("subject", "" if job.get("replaces") or job.get("primary") else BOB.holder)
        roles = [ADMINISTRATOR] if self.roles else []
        return await self.perform(OperationKind.ISSUE, template=template, roles=roles, **job)

    async def another_card(self) -> None:
        await self.lab.readers.pull("Reader 1")
        await self.lab.insert(ProfileName.YUBIKEY_5_7, serial=1002, name="second")

    async def record(self) -> CardRecord:
        return (await self.lab.store.credentials.of_holder(BOB.holder))[0]

    async def credential(self) -> str:
        credential = (await self.record()).credential
        assert credential is not None
        return str(credential.credential_id)

    def edit(self, approval: ApprovalRecord) -> None:
        """Do what somebody does who can write to the database."""
        self.lab.store._book.state.approvals[approval.request_id] = approval

    async def cards(self) -> dict[Any, CardRecord]:
        return dict(self.lab.store._book.state.cards)


# --- how far a card has to be ---------------------------------------------------------------------------


async def blank(bench: Bench) -> None:
    pass


async def issued(bench: Bench) -> None:
    await bench.agree(Way.ISSUE, holder=BOB.holder, template="employee")
    assert await bench.issue() is None


async def active(bench: Bench) -> None:
    await issued(bench)
    await bench.agree(Way.ACTIVATE, holder=BOB.holder)
    assert await bench.perform(OperationKind.ACTIVATE, PIN) is None


async def suspended(bench: Bench) -> None:
    await active(bench)
    assert await bench.perform(OperationKind.SUSPEND, reason="lost") is None


async def suspended_away(bench: Bench) -> None:
    await active(bench)
    await bench.lab.readers.pull("Reader 1")
    await bench.lab.backend.decide((await bench.record()).record_id, OperationKind.SUSPEND, "lost")


async def another(bench: Bench) -> None:
    await active(bench)
    await bench.another_card()


async def due(bench: Bench) -> None:
    await active(bench)
    keys = bench.lab.services.keystore
    assert isinstance(keys, MemoryKeyStore)
    await keys.add_generation()


async def with_code(bench: Bench) -> None:
    await active(bench)
    await bench.agree(Way.UNBLOCK_CODE, holder=BOB.holder)
    bench.code = (await bench.lab.backend.make_unblock_code((await bench.record()).record_id)).code


# --- what is done ---------------------------------------------------------------------------------------


async def refused(call: Awaitable[object]) -> KioskError | None:
    try:
        await call
    except KioskError as error:
        return error
    return None


async def replacement(bench: Bench) -> KioskError | None:
    return await bench.issue("", replaces=await bench.credential(), reason="damaged")


async def stand_in(bench: Bench) -> KioskError | None:
    return await bench.issue("visitor", primary=await bench.credential(), reason="forgotten")


async def resume_away(bench: Bench) -> KioskError | None:
    record_id = (await bench.record()).record_id
    return await refused(bench.lab.backend.decide(record_id, OperationKind.RESUME, ""))


async def read_out(bench: Bench) -> KioskError | None:
    return await refused(bench.lab.backend.read_out((await bench.record()).record_id))


async def make_code(bench: Bench) -> KioskError | None:
    return await refused(bench.lab.backend.make_unblock_code((await bench.record()).record_id))


def doing(operation: OperationKind, *pins: str) -> Callable[[Bench], Awaitable[KioskError | None]]:
    return lambda bench: bench.perform(operation, *pins)


async def of_holder(bench: Bench) -> dict[str, Any]:
    return {"card": str((await bench.record()).record_id)}


async def new_card(_bench: Bench) -> dict[str, Any]:
    return {"holder": BOB.holder, "template": "employee"}


async def in_place(bench: Bench) -> dict[str, Any]:
    return {"replaces": await bench.credential()}


async def for_a_time(bench: Bench) -> dict[str, Any]:
    return {"primary": await bench.credential(), "template": "visitor", "holder": BOB.holder}


@dataclass(frozen=True)
class Path:
    """One path: what has to be there before, what is done, what is asked for, and where it can be cut."""

    way: Way
    ready: Callable[[Bench], Awaitable[None]]
    do: Callable[[Bench], Awaitable[KioskError | None]]
    wish: Callable[[Bench], Awaitable[dict[str, Any]]] = of_holder
    cut: Ins | None = None
    operation: OperationKind | None = None
    """The operation of the lifecycle that it is."""


PATHS = {
    "issue": Path(Way.ISSUE, blank, Bench.issue, new_card, Ins.GENERATE_ASYMMETRIC, OperationKind.ISSUE),
    "replacement": Path(Way.ISSUE, another, replacement, in_place, Ins.GENERATE_ASYMMETRIC),
    "temporary": Path(Way.ISSUE, another, stand_in, for_a_time, Ins.GENERATE_ASYMMETRIC),
    "activate": Path(
        Way.ACTIVATE,
        issued,
        doing(OperationKind.ACTIVATE, PIN),
        cut=Ins.RESET_RETRY_COUNTER,
        operation=OperationKind.ACTIVATE,
    ),
    "unblock": Path(
        Way.UNBLOCK,
        active,
        doing(OperationKind.UNBLOCK, NEW),
        cut=Ins.RESET_RETRY_COUNTER,
        operation=OperationKind.UNBLOCK,
    ),
    "resume": Path(
        Way.RESUME,
        suspended,
        doing(OperationKind.RESUME, NEW),
        cut=Ins.RESET_RETRY_COUNTER,
        operation=OperationKind.RESUME,
    ),
    "resume without the card": Path(Way.RESUME, suspended_away, resume_away),
    "update": Path(
        Way.UPDATE,
        due,
        doing(OperationKind.UPDATE),
        cut=Ins.CHANGE_REFERENCE_DATA,
        operation=OperationKind.UPDATE,
    ),
    "renew": Path(
        Way.RENEW, active, doing(OperationKind.RENEW), cut=Ins.PUT_DATA, operation=OperationKind.RENEW
    ),
    "reissue": Path(
        Way.REISSUE,
        active,
        doing(OperationKind.REISSUE),
        cut=Ins.GENERATE_ASYMMETRIC,
        operation=OperationKind.REISSUE,
    ),
    "read-out": Path(Way.READ_OUT, active, read_out),
    "unblock code": Path(Way.UNBLOCK_CODE, active, make_code),
}


@asynccontextmanager
async def a_bench(*, roles: bool) -> AsyncIterator[Bench]:
    people = {"people": MemoryDirectory([BOB, ALICE])}
    extra = "" if roles else RULE
    first = "operator = true\n" if roles else ""
    lab = await Lab.start(
        template=first + EMPLOYEE + extra, adapt=lambda services: replace(services, directories=people)
    )
    try:
        await lab.apply(first + VISITOR + extra)
        await lab.insert(ProfileName.YUBIKEY_5_7)
        yield Bench(lab, await Second.hired(lab), roles)
    finally:
        await lab.close()


def test_every_operation_was_decided_about_and_is_on_a_path() -> None:
    assert set(WAY_OF) == set(OperationKind) == {way.operation for way in LIFECYCLE}
    walked = {path.operation: path.way for path in PATHS.values() if path.operation is not None}
    assert walked == {operation: way for operation, way in WAY_OF.items() if way is not None}
    assert {path.way for path in PATHS.values()} == set(Way) - ADMINISTRATIVE


@pytest.mark.parametrize("roles", [False, True], ids=["template", "roles"])
@pytest.mark.parametrize("name", PATHS)
async def test_no_path_skips_the_approval(name: str, *, roles: bool) -> None:
    path = PATHS[name]
    async with a_bench(roles=roles) as bench:
        await path.ready(bench)
        before = await bench.cards()
        came = await path.do(bench)
        if not bench.takes(path.way):
            assert came is None
            return
        assert isinstance(came, errors.ApprovalNeeded), came
        assert await bench.cards() == before, "nothing was written"
        await bench.agree(path.way, **await path.wish(bench))
        assert await path.do(bench) is None
        spent = await bench.lab.store.approvals.newest(1)
        assert spent[0].state is ApprovalState.SPENT


@pytest.mark.parametrize("roles", [False, True], ids=["template", "roles"])
@pytest.mark.parametrize("name", [name for name, path in PATHS.items() if path.cut is not None])
async def test_what_was_cut_goes_on_with_the_approval_that_it_spent_and_with_no_other(
    name: str, *, roles: bool
) -> None:
    path = PATHS[name]
    async with a_bench(roles=roles) as bench:
        if not bench.takes(path.way):
            return
        await path.ready(bench)
        await bench.agree(path.way, **await path.wish(bench))
        card = "second" if "second" in bench.lab.readers._cards else "card"
        bench.lab.readers.arm(card, Fault(kind=FaultKind.RESPONSE_LOST, ins=path.cut, at=1))
        assert isinstance(await path.do(bench), errors.CardLost)
        (kept, *_) = await bench.lab.store.approvals.newest(1)
        bench.edit(replace(kept, signatures=()))
        await bench.lab.readers.insert("Reader 1", card)
        refused_now = await path.do(bench)
        assert isinstance(refused_now, errors.ApprovalNeeded), "without what was signed"
        bench.edit(kept)
        assert await path.do(bench) is None


async def test_a_code_that_was_approved_unblocks_once_without_another_approval() -> None:
    async with a_bench(roles=False) as bench:
        await with_code(bench)
        assert await bench.perform(OperationKind.UNBLOCK, NEW, code=bench.code) is None
        assert isinstance(await bench.perform(OperationKind.UNBLOCK, PIN), errors.ApprovalNeeded)
