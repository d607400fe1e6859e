"""Credentials whose cards are not here: found, decided about, and help for a holder who is far away."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from textual.app import App

from kiosk.station import wording
from kiosk.station.faces import Job, Station
from kiosk.tui.approvals import Approvals
from kiosk.tui.before import Before
from kiosk.tui.confirm import Confirm
from kiosk.tui.failure import Failure
from kiosk.tui.find_credential import FindCredential, about_lines, card_of, holder_of
from kiosk.tui.labels import (
    ENDINGS,
    OPERATION_KEYS,
    OPERATION_WORDS_AWAY,
    PIN_TAKEN_LATER,
    READ_OUT_FIRST,
    READ_OUT_KEY,
    RESUMED,
    STATE_NAMES,
    UNBLOCK_CODE_FIRST,
    UNBLOCK_CODE_KEY,
)
from kiosk.tui.menu import Entry, Menu
from kiosk.tui.operators import Operators
from kiosk.tui.show_code import ShowCode
from kiosk.tui.told import Told
from shared import roles
from shared.credential.lifecycle import OperationKind, reachable
from shared.credentials import CredentialView
from shared.errors import ApprovalNeeded, Cancelled, KioskError

READ_OUT: Final = "read out"
UNBLOCK_CODE: Final = "unblock code"

T = TypeVar("T")

Act = OperationKind | str
"""What may be done without the card: a decision, or help by telephone."""


class Away:
    """Asks which credential and what is to be done, until the operator goes back to the desk."""

    def __init__(
        self,
        app: App[None],
        station: Station,
        before: Before,
        operators: Operators | None = None,
        approvals: Approvals | None = None,
    ) -> None:
        """Ask on `app`, and let `station` do it; `operators` knows who is logged on, `approvals` asks a second person."""
        self._app, self._station, self._before, self._operators = app, station, before, operators
        self._approvals = approvals

    async def look_after(self) -> None:
        """Find, choose, do, and find again: somebody who lost a badge may have two."""
        text = ""
        while True:
            search = FindCredential(self._station.find_credentials, text)
            view = await self._app.push_screen_wait(search)
            if view is None:
                return
            text = search.text
            act = await self._app.push_screen_wait(_choices(view, self._help(view)))
            if act is None:
                continue
            try:
                await self._do_or_ask(view, act)
            except Cancelled:
                continue
            except KioskError as error:
                await self._app.push_screen_wait(Failure(error))

    async def _do_or_ask(self, view: CredentialView, act: Act) -> None:
        """Do it; where a second person has to approve it first, offer to ask for that.

        Raises:
            KioskError: it was neither done nor asked for.
        """
        try:
            await self._do(view, act)
        except ApprovalNeeded as needed:
            if self._approvals is None:
                raise
            operation = act if isinstance(act, OperationKind) else OperationKind.UNBLOCK
            await self._approvals.ask(Job(operation=operation, reader=""), needed, _subject(view))

    async def _do(self, view: CredentialView, act: Act) -> None:
        """Do it, after whatever has to be asked before.

        Raises:
            KioskError: it was not done, or nobody knows.
        """
        match act:
            case OperationKind():
                await self._decide(view, act)
            case _ if act == READ_OUT:
                if await self._sure("Read out the code?", READ_OUT_FIRST, "Show the code", view):
                    shown = await self._proven(lambda: self._station.read_out(view.record_id))
                    await self._app.push_screen_wait(
                        ShowCode("Code to read out", _subject(view), shown.code, wording.READ_OUT)
                    )
            case _:
                if await self._sure("Make an unblock code?", UNBLOCK_CODE_FIRST, "Make the code", view):
                    shown = await self._proven(lambda: self._station.make_unblock_code(view.record_id))
                    words = wording.unblock_code(shown.expires_at)
                    await self._app.push_screen_wait(
                        ShowCode("Unblock code", _subject(view), shown.code, words)
                    )

    async def _decide(self, view: CredentialView, operation: OperationKind) -> None:
        reason = ""
        if operation is OperationKind.RESUME:
            if not await self._sure(f"Resume?  {holder_of(view)}", RESUMED, "Resume", view):
                return
        else:
            meaning = f"{ENDINGS[operation]} {PIN_TAKEN_LATER}"
            cause = await self._before.why(operation, holder_of(view), meaning, _facts(view))
            if cause is None:
                return
            reason = cause.value
        decided = await self._proven(lambda: self._station.decide(view.record_id, operation, reason))
        await self._app.push_screen_wait(Told(operation, _subject(view), decided))

    async def _proven(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do it; the operator's PIN is asked for where it is needed again."""
        return await (work() if self._operators is None else self._operators.proven(work))

    def _help(self, view: CredentialView) -> Sequence[Entry[Act]]:
        """Return how a holder who is far away can be helped, as far as who is logged on may."""
        if view.interrupted is not None or OperationKind.UNBLOCK not in reachable(view.state):
            return ()
        subjects = {READ_OUT: roles.Act.READ_OUT, UNBLOCK_CODE: roles.Act.UNBLOCK_CODE}
        return [
            entry
            for entry in _HELP
            if self._operators is None
            or self._operators.may(subjects[str(entry.choice)], view.template or None)
        ]

    async def _sure(self, heading: str, words: str, yes: str, view: CredentialView) -> bool:
        question = Confirm(heading, words, yes=yes, facts=_facts(view), risky=True)
        return await self._app.push_screen_wait(question) or False


_TELEPHONE: Final = "The holder is on the telephone"

_HELP: Final[tuple[Entry[Act], ...]] = (
    Entry(
        choice=READ_OUT,
        key=READ_OUT_KEY,
        name="Read out a code",
        words="it unblocks the card where it is",
        group=_TELEPHONE,
    ),
    Entry(
        choice=UNBLOCK_CODE,
        key=UNBLOCK_CODE_KEY,
        name="Make an unblock code",
        words="to set a PIN at a station, once",
        group=_TELEPHONE,
    ),
)


def _choices(view: CredentialView, help_: Sequence[Entry[Act]]) -> Menu[Act]:
    """Return the menu of what may be done without the card."""
    entries = [*help_]
    entries += [
        Entry(
            choice=operation,
            key=OPERATION_KEYS[operation],
            name=wording.operation(operation),
            words=OPERATION_WORDS_AWAY[operation],
            group="Without the card",
        )
        for operation in view.reachable
    ]
    text = "\n".join(line.plain for line in about_lines(view)[1:])
    if not entries:
        text = f"{text}\n{wording.next_action('none')}".strip()
    return Menu(holder_of(view), entries, facts=_facts(view), text=text)


def _facts(view: CredentialView) -> list[tuple[str, str]]:
    """Return whom and what it is about, for a question."""
    title = f"{view.template_title}  v{view.template_version}" if view.template_title else ""
    return [
        ("Person", holder_of(view)),
        *([("Template", title)] if title else []),
        ("Card", f"{card_of(view)} · {STATE_NAMES[view.state].lower()}"),
    ]


def _subject(view: CredentialView) -> str:
    parts: Sequence[str] = (holder_of(view), view.template_title, card_of(view))
    return " · ".join(filter(None, parts))
