"""A holder logs on with the password of a real directory: one bind as that person, and never one too many."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.authority.access import Caller
from server.authority.holders import HolderLimits, HolderSessions
from server.connectors.directory.ldap import LdapDirectory
from server.ports.store import Store
from server.store.memory import MemoryStore
from shared import errors
from shared.secret import Secret
from shared.self_service import PasswordGiven
from tests.peers.slapd import LdapPerson, people, slapd
from tests.scenario.holders import a_caller
from tests.server.rpc.world import MovableClock
from tests.server.store.examples import EVIDENCE, a_station

pytestmark = pytest.mark.needs_slapd

BOB, LOCKED = people(1)[0], LdapPerson(user="locked", given_name="Lo", surname="Cked", number=77, locked=True)
"""One has the password `password of bob`; the other was locked by an administrator."""


class Desk:
    """A server that knows people from the directory, and a station."""

    def __init__(self, store: Store, sessions: HolderSessions, caller: Caller, clock: MovableClock) -> None:
        self.store, self.sessions, self.caller, self.clock = store, sessions, caller, clock

    async def log_on(self, name: str, password: str) -> str:
        given = PasswordGiven(name=name, password=Secret.from_text(password))
        return (await self.sessions.log_on(self.caller, given)).session.name


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    clock = MovableClock()
    store = MemoryStore(clock)
    station = a_station("kiosk")
    await store.stations.add_station(station, EVIDENCE)
    with slapd(tmp_path, [BOB, LOCKED]) as server:
        directory = LdapDirectory(server.settings(), server.password)
        sessions = HolderSessions(
            store, {"people": directory}, clock, names=["lab"], limits=HolderLimits(tries=3)
        )
        yield Desk(store, sessions, a_caller(station), clock)
        await directory.close()


async def test_a_person_logs_on_by_any_of_their_names(desk: Desk) -> None:
    for name in (BOB.user, BOB.user.upper(), BOB.mail):
        assert await desk.log_on(name, f"password of {BOB.user}") == BOB.full_name


@pytest.mark.parametrize("name", ["*", "bo", "bob)(uid=*", "", "cn=reader"])
async def test_a_pattern_is_nobodys_name(desk: Desk, name: str) -> None:
    with pytest.raises(errors.HolderLogonRefused):
        await desk.log_on(name, f"password of {BOB.user}")


async def test_wrong_passwords_end_before_the_directory_would_lock(desk: Desk) -> None:
    for _ in range(3):
        with pytest.raises(errors.HolderLogonRefused):
            await desk.log_on(BOB.user, "wrong")
    with pytest.raises(errors.TooManyAttempts):
        await desk.log_on(BOB.user, f"password of {BOB.user}")
    desk.clock.later += desk.sessions.limits.within
    assert await desk.log_on(BOB.user, f"password of {BOB.user}") == BOB.full_name


async def test_who_is_locked_there_is_not_let_in(desk: Desk) -> None:
    with pytest.raises(errors.HolderLogonRefused):
        await desk.log_on(LOCKED.user, f"password of {LOCKED.user}")
