"""The server's and the person's side for tests of the station: scripts that say what they are told to say."""

import os
from collections.abc import AsyncIterator, Callable, Sequence
from uuid import UUID

from kiosk.devices.virtual.reader import VirtualReaders
from kiosk.ports import LinkState
from kiosk.station.latest import Latest
from shared import errors
from shared.console import CardHints, CardView, Comparison, Found, ServerView, TemplateView
from shared.credential.lifecycle import OperationKind
from shared.credential.model import State
from shared.credential.pins import PinPolicy
from shared.credentials import CodeView, DecisionView, FoundCredentials
from shared.errors import KioskError
from shared.piv.ids import ProfileName
from shared.relay import Begin, ServerTurn, StationTurn, StepLine
from shared.secret import Secret
from shared.virtual.card import VirtualCard
from shared.virtual.factory import manufacture
from shared.virtual.profiles import PROFILES

READER = "Virtual 1"

Script = Callable[[AsyncIterator[StationTurn]], AsyncIterator[ServerTurn]]


class ScriptedBackend:
    """A server whose operation is a script, and whose record is one view."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script
        self.began: list[Begin] = []
        self.heard: list[StationTurn] = []
        self.line = Latest(LinkState.CONNECTED)
        self.hints: list[CardHints] = []
        self.failure: KioskError | None = None
        self.closed = False

    async def operation(self, turns: AsyncIterator[StationTurn]) -> AsyncIterator[ServerTurn]:
        assert self.script is not None

        async def noted() -> AsyncIterator[StationTurn]:
            async for turn in turns:
                self.heard.append(turn)
                yield turn

        heard = noted()
        begin = await anext(heard)
        assert isinstance(begin, Begin)
        self.began.append(begin)
        async for turn in self.script(heard):
            yield turn

    async def who_am_i(self) -> ServerView:
        self._fail()
        return ServerView(server="test", version="1", station="Desk 1", lab=True)

    async def look_up(self, hints: CardHints) -> CardView:
        self._fail()
        self.hints.append(hints)
        return CardView(state=State.UNREGISTERED)

    async def compare(self, hints: CardHints, template: str) -> Comparison:
        self._fail()
        self.hints.append(hints)
        return Comparison(template=template, version=1)

    async def find_people(self, text: str, limit: int, directory: str = "") -> Found:
        self._fail()
        return Found(more=limit < len(text))

    async def templates(self) -> Sequence[TemplateView]:
        self._fail()
        return (TemplateView(name="employee", title="Employee badge", version=1),)

    async def find_credentials(self, text: str, limit: int) -> FoundCredentials:
        self._fail()
        return FoundCredentials()

    async def decide(self, record_id: UUID, operation: OperationKind, reason: str) -> DecisionView:
        self._fail()
        return DecisionView(state=State.SUSPENDED)

    async def read_out(self, record_id: UUID) -> CodeView:
        self._fail()
        return CodeView(code=Secret.from_text("1234 5678 9012"))

    async def make_unblock_code(self, record_id: UUID) -> CodeView:
        self._fail()
        return CodeView(code=Secret.from_text("ABCD EFGH 2345"), expires_at="2026-11-21T10:00:00+00:00")

    def link(self) -> AsyncIterator[LinkState]:
        return self.line.watch()

    async def close(self) -> None:
        self.closed = True
        self.line.close()

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


class ToldPerson:
    """Answers with the PINs it was given, in their order, and notes what it was asked."""

    def __init__(self, *pins: str, agrees: bool = True) -> None:
        self.secrets = [Secret.from_text(pin) for pin in pins]
        self._left = list(self.secrets)
        self._agrees = agrees
        self.asked: list[tuple[str, int | None, str]] = []
        self.codes: list[str] = []

    async def new_pin(self, policy: PinPolicy, problem: KioskError | None) -> Secret | None:
        self.asked.append(("new", policy.min_length, problem.code if problem else ""))
        return self._next()

    async def current_pin(self, tries_left: int | None, problem: KioskError | None) -> Secret | None:
        self.asked.append(("current", tries_left, problem.code if problem else ""))
        return self._next()

    async def confirm_few_tries(self, tries_left: int) -> bool:
        self.asked.append(("few", tries_left, ""))
        return self._agrees

    async def keep_code(self, code: Secret) -> bool:
        self.asked.append(("keep", None, ""))
        self.codes.append(code.reveal().decode())
        return self._agrees

    async def present_code(self) -> Secret | None:
        self.asked.append(("code", None, ""))
        return self._next()

    def _next(self) -> Secret | None:
        return self._left.pop(0) if self._left else None


class NotingWatcher:
    """Notes the progress."""

    def __init__(self) -> None:
        self.lists: list[Sequence[StepLine]] = []
        self.seen: list[tuple[int, bool]] = []

    def steps(self, steps: Sequence[StepLine]) -> None:
        self.lists.append(steps)

    def step(self, index: int, *, done: bool, expected_ms: int) -> None:
        assert expected_ms >= 0
        self.seen.append((index, done))


async def readers_with_card(
    profile: ProfileName = ProfileName.YUBIKEY_5_4,
) -> tuple[VirtualReaders, VirtualCard]:
    """One virtual reader with a new card in it."""
    readers = VirtualReaders([READER])
    card = VirtualCard(manufacture(PROFILES[profile], serial=20114, random=os.urandom), random=os.urandom)
    readers.add_card("card", card)
    await readers.insert(READER, "card")
    return readers, card


def lost() -> errors.ConnectionLost:
    return errors.ConnectionLost()
