"""A station that plays a script: the port is the seam, so screens are tested against this.

It keeps what it was asked in `asked`, and plays cards through a small life of their own.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from uuid import UUID

from kiosk.station.faces import CardSeen, Job, Outcome, Person, ReaderView, StationView, Watcher
from shared import errors
from shared.console import CardView, Comparison, Found, ServerView, TemplateView
from shared.credential.lifecycle import ASKING_PIN, WITHOUT_CARD, OperationKind, reachable, target
from shared.credential.model import HolderId, State
from shared.credential.model import Person as Holder
from shared.credential.pins import PinPolicy
from shared.credentials import CodeView, CredentialView, DecisionView, FoundCredentials
from shared.relay import StepLine
from shared.secret import Secret

SERVER = ServerView(server="kiosk-server", version="0.1.0", station="Desk 3", lab=True)

PEOPLE = tuple(
    Holder(
        holder=HolderId(f"p{index}"),
        name=name,
        attributes={"department": department, "mail": f"{name.lower().replace(' ', '.')}@example.org"},
    )
    for index, (name, department) in enumerate(
        [
            ("Anna Berg", "Security"),
            ("Bob Smith", "Research & Development"),
            ("Chidi Okafor", "Finance"),
            ("Dana Fischer", "Research & Development"),
            ("Eleni Papadopoulou-Konstantinidou", "International Relations and Protocol"),
            ("Farid Haddad", "Facilities"),
        ]
    )
)

TEMPLATES = (
    TemplateView(
        name="employee",
        title="Employee badge",
        version=7,
        slots=(
            "9A P-256 smart-card-logon",
            "9C P-256 signature",
            "9D RSA-2048 key-management",
            "9E P-256 card-authentication",
        ),
    ),
    TemplateView(name="guest", title="Guest card", version=2, slots=("9A P-256 smart-card-logon",)),
)

ISSUE_STEPS = (
    StepLine(key="own", facts={"generation": 1}),
    StepLine(key="chuid"),
    StepLine(key="ccc"),
    *(StepLine(key="key", facts={"slot": slot, "algorithm": "P-256"}) for slot in ("9A", "9C", "9D", "9E")),
    *(StepLine(key="certificate", facts={"slot": slot}) for slot in ("9A", "9C", "9D", "9E")),
    StepLine(key="security-object"),
    StepLine(key="read-back"),
)


def seen(serial: int, **fields: object) -> CardSeen:
    card = CardSeen(
        product="YubiKey 5.7", profile="yubikey-5.7", serial=serial, pin_tries_left=3, puk_tries_left=3
    )
    return replace(card, **fields)  # type: ignore[arg-type]  # the caller's fields


def record(state: State, holder: Holder | None = None, **fields: object) -> CardView:
    view = CardView(state=state, reachable=reachable(state), holder=holder)
    if holder is not None:
        view = replace(
            view,
            template="employee",
            template_title="Employee badge",
            template_version=7,
            issued_at="2026-11-20T13:02:00Z",
            key_generation=1,
        )
    return replace(view, **fields)  # type: ignore[arg-type]  # the caller's fields


CERTIFICATES = tuple(f"{slot} CN=Bob Smith until 2028-11-20" for slot in ("9A", "9C", "9D", "9E"))


def reader(
    number: int, state: State | None = None, holder: Holder | None = None, **fields: object
) -> ReaderView:
    view = ReaderView(name=f"Virtual reader {number}", virtual=True)
    if state is not None:
        card = seen(20114000 + number, certificates=CERTIFICATES if holder else ())
        view = replace(view, present=True, card=card, record=record(state, holder))
    return replace(view, **fields)  # type: ignore[arg-type]  # the caller's fields


SETTING_PIN = {
    OperationKind.ACTIVATE,
    OperationKind.CHANGE_PIN,
    OperationKind.UNBLOCK,
    OperationKind.RESUME,
}
"""Operations whose person chooses a PIN."""


class ScriptedStation:
    """Plays readers; `perform` goes through steps, asks what the operation asks, and moves the card's state."""

    def __init__(self, *readers: ReaderView, connected: bool = True, pace_s: float = 0.0) -> None:
        self.view = StationView(server=SERVER, connected=connected, readers=readers)
        self.asked: list[object] = []
        self.pace_s = pace_s
        self.gate: asyncio.Event | None = None
        """Where set, an operation waits for it after its second step."""
        self.ends: Callable[[Job], errors.KioskError | None] = lambda _job: None
        self.explodes: Exception | None = None
        self.search_error: errors.KioskError | None = None
        self.directories: tuple[str, ...] = ()
        self.problem: errors.KioskError | None = None
        self.tries_left: int | None = 3
        self.policy = PinPolicy()
        self.few_tries: int | None = None
        self.pins: list[bytes] = []
        self.template_list: Sequence[TemplateView] = TEMPLATES
        self.tasks: list[str] = []
        self.credentials: Sequence[CredentialView] = ()
        self.decision_error: errors.KioskError | None = None
        self.waiting = 0
        """What certificate authorities have yet to do after a decision."""
        self._changed = asyncio.Condition()

    async def show(self, view: StationView) -> None:
        async with self._changed:
            self.view = view
            self._changed.notify_all()

    async def put(self, reader: ReaderView) -> None:
        readers = tuple(reader if old.name == reader.name else old for old in self.view.readers)
        await self.show(replace(self.view, readers=readers))

    def reader(self, name: str) -> ReaderView:
        return next(reader for reader in self.view.readers if reader.name == name)

    async def views(self) -> AsyncIterator[StationView]:
        last = None
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda last=last: self.view is not last)  # type: ignore[misc]  # a default
                last = self.view
            yield last

    async def find_people(self, text: str, limit: int = 50, directory: str = "") -> Found:
        self.asked.append(("find", f"{text} in {directory}" if directory else text))
        if self.search_error is not None:
            raise self.search_error
        found = [
            person
            for person in PEOPLE
            if text.lower() in person.name.lower() and directory in {"", person.directory}
        ]
        return Found(people=tuple(found[:limit]), more=len(found) > limit, directories=self.directories)

    async def templates(self) -> Sequence[TemplateView]:
        self.asked.append("templates")
        return self.template_list

    async def perform(self, job: Job, person: Person, watcher: Watcher) -> Outcome:
        self.asked.append(job)
        before = self.reader(job.reader)
        assert before.record is not None
        if self.explodes is not None:
            raise self.explodes
        await self.put(replace(before, busy=True))
        try:
            error = await self._play(job, person, watcher)
        except asyncio.CancelledError:
            await self.put(replace(self.reader(job.reader), busy=False))
            self.tasks.append("cancelled")
            return Outcome(
                operation=job.operation,
                state="",
                error=errors.Cancelled(question="stop"),
                next_action="insert-again",
            )
        after = replace(self.reader(job.reader), busy=False)
        if error is not None:
            await self.put(after)
            action = "insert-again" if error.outcome_unknown else "try-again"
            return Outcome(
                operation=job.operation, state=before.record.state, error=error, next_action=action
            )
        goal = target(job.operation, before.record.state)
        holder = next((one for one in PEOPLE if one.holder == job.holder), before.record.holder)
        card = replace(after.card, certificates=CERTIFICATES) if after.card else None
        await self.put(replace(after, card=card, record=record(goal, holder)))
        following = reachable(goal)
        action = "activate" if OperationKind.ACTIVATE in following else "none"
        return Outcome(
            operation=job.operation, state=goal, next_action=action, round_trips=7, commands=61, seconds=4.2
        )

    async def _play(self, job: Job, person: Person, watcher: Watcher) -> errors.KioskError | None:
        if job.operation is OperationKind.ISSUE:
            watcher.steps(ISSUE_STEPS)
            count = len(ISSUE_STEPS)
        else:
            refused = await self._pins(job, person)
            if refused is not None:
                return refused
            watcher.steps(
                (StepLine(key="pin"), StepLine(key="puk"), StepLine(key="verify", facts={"slot": "9A"}))
            )
            count = 3
        for index in range(count):
            watcher.step(index, done=False, expected_ms=2000)
            await asyncio.sleep(self.pace_s)
            if index == 2 and self.gate is not None:
                await self.gate.wait()
            if index == 2 and (error := self.ends(job)) is not None:
                return error
            watcher.step(index, done=True, expected_ms=0)
        return None

    async def _pins(self, job: Job, person: Person) -> errors.KioskError | None:
        if job.operation not in ASKING_PIN | SETTING_PIN:
            return None
        if self.few_tries is not None and not await person.confirm_few_tries(self.few_tries):
            return errors.Cancelled(question="confirm")
        if job.operation in ASKING_PIN:
            present = await person.current_pin(self.tries_left, self.problem)
            if present is None:
                return errors.Cancelled(question="current-pin")
            self.pins.append(present.reveal())
            present.wipe()
        if job.operation not in SETTING_PIN:
            return None
        new = await person.new_pin(self.policy, self.problem)
        if new is None:
            return errors.Cancelled(question="new-pin")
        self.pins.append(new.reveal())
        new.wipe()
        return None

    async def refresh(self, reader: str) -> ReaderView:
        self.asked.append(("refresh", reader))
        return self.reader(reader)

    async def find_credentials(self, text: str, limit: int = 50) -> FoundCredentials:
        self.asked.append(("find credentials", text))
        wanted = text.casefold()
        if self.search_error is not None:
            raise self.search_error
        found = tuple(
            each for each in self.credentials if wanted in each.holder_name.casefold() or text == each.holder
        )
        return FoundCredentials(credentials=found[:limit], more=len(found) > limit)

    async def decide(self, record_id: UUID, operation: OperationKind, reason: str) -> DecisionView:
        self.asked.append(("decide", record_id, operation, reason))
        if self.decision_error is not None:
            raise self.decision_error
        view = next(each for each in self.credentials if each.record_id == record_id)
        after = target(operation, view.state)
        ways = tuple(way for way in reachable(after) if way in WITHOUT_CARD)
        decided = replace(view, state=after, reason=reason, reachable=ways, waiting=self.waiting)
        self.credentials = [decided if each is view else each for each in self.credentials]
        return DecisionView(state=after, facts={"holder": view.holder_name, "waiting": self.waiting})

    async def read_out(self, record_id: UUID) -> CodeView:
        self.asked.append(("read out", record_id))
        return CodeView(code=Secret.from_text("1234 5678 9012"))

    async def make_unblock_code(self, record_id: UUID) -> CodeView:
        self.asked.append(("unblock code", record_id))
        return CodeView(code=Secret.from_text("ABCD EFGH 2345"), expires_at="2026-11-21T10:00:00+00:00")

    async def compare(self, reader: str, template: str) -> Comparison:
        self.asked.append(("compare", reader, template))
        return Comparison()

    async def close(self) -> None:
        self.asked.append("close")


def credential(number: int, state: State, **fields: object) -> CredentialView:
    """Return the credential of one of `PEOPLE`, whose card is not here."""
    holder = PEOPLE[number]
    view = CredentialView(
        record_id=UUID(int=number + 1),
        credential_id=UUID(int=number + 101),
        state=state,
        holder=holder.holder,
        holder_name=holder.name,
        template="employee",
        template_title="Employee badge",
        template_version=7,
        profile="yubikey-5.7",
        serial=20114000 + number,
        issued_at="2026-11-01T08:00:00+00:00",
        since="2026-11-20T13:02:00+00:00",
        reachable=tuple(way for way in reachable(state) if way in WITHOUT_CARD),
    )
    return replace(view, **fields)  # type: ignore[arg-type]  # the caller's fields


class ScriptedVirtualDesk:
    """Three cards for the scripted station's readers."""

    def __init__(self, station: ScriptedStation) -> None:
        self._station = station

    def cards(self) -> Sequence[str]:
        return ("YubiKey 5.7 · 20114001", "YubiKey 5.4 · 20114002", "Plain PIV card")

    async def insert(self, reader: str, card: str) -> None:
        self._station.asked.append(("insert", reader, card))
        number = int(reader.rsplit(" ", 1)[1])
        view = ReaderView(name=reader, virtual=True, present=True)
        await self._station.put(replace(view, reading=True))
        await asyncio.sleep(self._station.pace_s)
        await self._station.put(
            replace(view, card=seen(20114000 + number), record=record(State.UNREGISTERED))
        )

    async def pull(self, reader: str) -> None:
        self._station.asked.append(("pull", reader))
        await self._station.put(ReaderView(name=reader, virtual=True))
