"""The job `credentials`: thresholds, once each, and connectors that say nothing."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from server.jobs.credentials import credentials
from server.operations.services import Services
from server.store.memory import MemoryStore
from shared import errors
from tests.server.store.examples import NOON, FixedClock


class Registration:
    """A connector that is known by a certificate."""

    def __init__(self, until: datetime | None, *, silent: bool = False) -> None:
        self.until = until
        self.silent = silent

    async def credential_ends(self) -> datetime | None:
        if self.silent:
            raise errors.ConnectorUnreachable(connection="x", reason="silence")
        return self.until


class Place:
    def __init__(self, **connectors: Any) -> None:
        self.store = MemoryStore(FixedClock())
        self.job = credentials(self.store)
        found = SimpleNamespace(authorities=connectors, directories={"people": object()})
        self.services = cast("Services", found)

    async def pass_by(self, days: float) -> str:
        return await self.job.run(self.services, NOON + timedelta(days=days))

    async def evidence(self) -> Sequence[tuple[str, str, Any]]:
        entries = await self.store.audit.page(0, 100)
        return [(each.record.event, each.record.subject, each.record.facts["days"]) for each in entries]


async def test_each_threshold_is_noticed_once() -> None:
    place = Place(ejbca=Registration(NOON + timedelta(days=90)))
    for day in (0, 29.9, 30, 31, 40, 60, 83, 84, 89, 90, 91):
        await place.pass_by(day)
    assert await place.evidence() == [
        ("credential-ends", "ejbca", 60),
        ("credential-ends", "ejbca", 30),
        ("credential-ends", "ejbca", 7),
        ("credential-ended", "ejbca", 0),
    ]


async def test_after_a_restart_nothing_is_said_again_and_a_new_end_is() -> None:
    registration = Registration(NOON + timedelta(days=20))
    place = Place(ejbca=registration)
    assert await place.pass_by(0) == "1 end soon"
    place.job = credentials(place.store)
    await place.pass_by(1)
    assert len(await place.evidence()) == 1
    registration.until = NOON + timedelta(days=25)
    await place.pass_by(1)
    assert len(await place.evidence()) == 2


@pytest.mark.parametrize(
    ("registration", "note"),
    [
        (Registration(None), "0 end soon"),
        (Registration(NOON + timedelta(days=61)), "0 end soon"),
        (Registration(NOON, silent=True), "0 end soon, nothing known of 1"),
    ],
)
async def test_nothing_is_said_where_there_is_nothing_to_say(registration: Registration, note: str) -> None:
    place = Place(ca=registration)
    assert await place.pass_by(0) == note
    assert await place.evidence() == []
