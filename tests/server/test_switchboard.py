"""The live connections: exchanged while others use them, never half there."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from server.ports.connection import Ability, Configured, Field, FieldKind, Kind, Port, Surroundings
from server.switchboard import Switchboard
from shared import errors
from shared.clock import SystemClock


class Built:
    """A connector that knows what it was built from, and whether it was closed."""

    def __init__(self, configured: Configured, around: Surroundings) -> None:
        if configured.flag("broken"):
            raise errors.Invalid(field="broken", why="it is")
        self.configured = configured
        self.around = around
        self.gone = asyncio.Event()
        self.other = around.others(configured.text("other")) if configured.text("other") else None

    async def close(self) -> None:
        self.gone.set()

    @property
    def closed(self) -> bool:
        return self.gone.is_set()


def a_kind(port: Port = Port.DIRECTORY, **changed: Any) -> Kind:
    fields = (
        Field(name="other", kind=FieldKind.TEXT, title="Other"),
        Field(name="broken", kind=FieldKind.FLAG, title="Broken"),
    )
    plain: dict[str, Any] = {
        "name": "test",
        "port": port,
        "title": "Test",
        "fields": fields,
        "abilities": frozenset({Ability.SEARCH}),
        "build": Built,
        "page": "",
        "refers": ("other",),
    }
    return Kind(**{**plain, **changed})


KIND = a_kind()


def wanted(name: str, **values: Any) -> Configured:
    return Configured(name=name, kind="test", values=values)


@pytest.fixture
async def board() -> AsyncIterator[Switchboard]:
    board = Switchboard(SystemClock())
    yield board
    await board.close()


async def test_lookups_show_what_is_live(board: Switchboard) -> None:
    directories, authorities = board.directories, board.authorities
    assert (list(directories), len(directories), directories.get("a")) == ([], 0, None)
    board.connect(KIND, wanted("a"))
    board.connect(a_kind(Port.CA), wanted("b"))
    assert (list(directories), list(authorities)) == (["a"], ["b"])
    board.drop("a")
    assert "a" not in directories


async def test_one_name_may_stand_for_a_directory_and_an_authority(board: Switchboard) -> None:
    board.fix("built-in", a_kind(Port.CA), "authority")
    board.fix("built-in", KIND, "directory")
    found: list[Any] = [board.authorities["built-in"], board.directories["built-in"]]
    assert found == ["authority", "directory"]


async def test_the_old_one_is_closed_once_its_calls_have_ended(board: Switchboard) -> None:
    board.connect(KIND, wanted("a"))
    old: Any = board.directories["a"]
    going_on = asyncio.Event()
    call = asyncio.create_task(old.around.line.call("search", going_on.wait))
    await asyncio.sleep(0.01)
    board.connect(KIND, wanted("a"))
    new: Any = board.directories["a"]
    assert new is not old
    await asyncio.sleep(0.01)
    assert not old.closed
    going_on.set()
    await call
    async with asyncio.timeout(5):
        await old.gone.wait()
    assert not new.closed


async def test_what_cannot_be_built_takes_nothing_away(board: Switchboard) -> None:
    board.connect(KIND, wanted("a"))
    present = board.directories["a"]
    with pytest.raises(errors.Invalid):
        board.connect(KIND, wanted("a", broken=True))
    assert board.directories["a"] is present


async def test_at_the_start_one_that_cannot_be_built_is_kept_with_what_is_wrong(board: Switchboard) -> None:
    board.restore(KIND, wanted("a", broken=True))
    board.restore(KIND, wanted("b"))
    assert list(board.directories) == ["b"]
    linked = board.named("a")
    assert linked is not None
    assert isinstance(linked.problem, errors.Invalid)
    board.connect(KIND, wanted("a"))
    assert list(board.directories) == ["a", "b"]


async def test_who_refers_to_another_gets_the_new_one(board: Switchboard) -> None:
    board.connect(KIND, wanted("first"))
    board.connect(KIND, wanted("chain", other="first"))
    board.connect(KIND, wanted("outer", other="chain"))
    board.connect(KIND, wanted("first"))
    first, chain, outer = (board.directories[each] for each in ("first", "chain", "outer"))
    assert chain.other is first  # type: ignore[attr-defined]  # ours
    assert outer.other is chain  # type: ignore[attr-defined]  # ours


async def test_rings_strangers_and_other_ports_are_refused(board: Switchboard) -> None:
    board.connect(KIND, wanted("a"))
    board.connect(KIND, wanted("b", other="a"))
    board.connect(KIND, wanted("c", other="b"))
    board.connect(a_kind(Port.CA), wanted("authority"))
    for name, other in (("a", "c"), ("a", "a"), ("d", "nobody"), ("d", "authority"), ("e", "e")):
        with pytest.raises(errors.Invalid):
            board.connect(KIND, wanted(name, other=other))
    assert sorted(board.directories) == ["a", "b", "c"]


async def test_a_kind_without_its_extra_is_refused(
    board: Switchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.switchboard.missing", lambda kind: ("some-library",) if kind.extra else ())
    with pytest.raises(errors.NotSupported) as refused:
        board.connect(a_kind(extra="directory-extra"), wanted("a"))
    assert "directory-extra (some-library)" in str(refused.value.facts["what"])


async def test_all_are_closed_in_the_end() -> None:
    board = Switchboard(SystemClock())
    board.connect(KIND, wanted("a"))
    first: Any = board.directories["a"]
    board.connect(KIND, wanted("a"))
    second: Any = board.directories["a"]
    await board.close()
    assert (first.closed, second.closed) == (True, True)
