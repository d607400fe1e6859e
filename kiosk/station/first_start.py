"""The first start at this station: the System Owner's card, then the first operator's, in steps that can be cut anywhere.

What was done is in the server's record, not here. So each step asks first how far it is, and what the card in the reader is:
one that was issued only needs its PIN, one that was cut is gone on with.
"""

from typing import Protocol

from kiosk.station.faces import Job, Outcome, Person, ReaderView, Watcher
from shared import errors
from shared.console import Found
from shared.credential.lifecycle import OperationKind
from shared.credential.model import HolderId, State
from shared.first_start import SYSTEM_OWNER, FirstStartView, OperatorTemplate
from shared.roles import SYSTEM_ADMINISTRATOR
from shared.secret import Secret


class FirstStartLine(Protocol):
    """The server, where the first start is made. The line keeps the session's token and sends it with every call."""

    async def begin_first_start(self, passcode: Secret) -> FirstStartView:
        """Give the passcode; from now on the session's token goes with every call."""
        ...

    async def view_first_start(self) -> FirstStartView:
        """Return how far it is."""
        ...

    async def end_first_start(self) -> None:
        """Forget the token, then tell the server."""
        ...


class Bench(Protocol):
    """What a first start needs of the station."""

    async def perform(self, job: Job, person: Person, watcher: Watcher) -> Outcome:
        """Do one operation."""
        ...

    async def refresh(self, reader: str) -> ReaderView:
        """Read the card in `reader` again and look it up."""
        ...

    async def find_people(self, text: str, limit: int = 50, directory: str = "") -> Found:
        """Search the directory."""
        ...


class FirstStart:
    """Leads through it. One at a time; `end` it where it is left in the middle."""

    def __init__(self, bench: Bench, line: FirstStartLine) -> None:
        """Work at `bench`; nothing is asked before `begin`."""
        self._bench, self._line = bench, line

    async def begin(self, passcode: Secret) -> FirstStartView:
        """Give the passcode, which is wiped, and return how far it is.

        Raises:
            PasscodeRejected: it is wrong, or the first start is over.
            TooManyAttempts: wrong ones came before.
        """
        try:
            return await self._line.begin_first_start(passcode)
        finally:
            passcode.wipe()

    async def view(self) -> FirstStartView:
        """Return how far it is; `SessionEnded` where it took too long, or is over."""
        return await self._line.view_first_start()

    async def end(self) -> None:
        """Leave it; what was done stays, and the passcode opens it again."""
        await self._line.end_first_start()

    async def find_people(self, text: str, limit: int = 50, directory: str = "") -> Found:
        """Search the directory for the first operator."""
        return await self._bench.find_people(text, limit, directory)

    async def make_owner(self, reader: str, person: Person, watcher: Watcher) -> Outcome:
        """Make the card in `reader` the System Owner's, or go on with it; the last operation's outcome."""
        template = (await self.view()).owner_template
        if template is None:
            raise errors.UnknownTemplate(template="system-owner")
        return await self._make(reader, SYSTEM_OWNER, template, (), person, watcher)

    async def make_operator(
        self, reader: str, holder: HolderId, template: OperatorTemplate, person: Person, watcher: Watcher
    ) -> Outcome:
        """Make the card in `reader` the first operator's, with all roles, or go on with it."""
        return await self._make(reader, holder, template, (SYSTEM_ADMINISTRATOR,), person, watcher)

    async def _make(
        self,
        reader: str,
        holder: HolderId,
        template: OperatorTemplate,
        roles: tuple[str, ...],
        person: Person,
        watcher: Watcher,
    ) -> Outcome:
        """Issue and activate.

        Raises:
            CardMissing: no card is there.
            TransitionForbidden: the card is somebody else's, or in use.
            KioskError: whatever the card or the server say when they are asked what it is.
        """
        seen = await self._bench.refresh(reader)
        if not seen.present:
            raise errors.CardMissing(reader=reader)
        if seen.error is not None:
            raise seen.error
        record = seen.record
        state = record.state if record is not None else State.UNREGISTERED
        mine = record is not None and record.holder is not None and record.holder.holder == holder
        if not (state is State.ISSUED and mine and record is not None and record.template == template.name):
            job = Job(
                operation=OperationKind.ISSUE,
                reader=reader,
                holder=holder,
                template=template.name,
                roles=roles,
            )
            issued = await self._bench.perform(job, person, watcher)
            if issued.error is not None:
                return issued
        return await self._bench.perform(
            Job(operation=OperationKind.ACTIVATE, reader=reader), person, watcher
        )
