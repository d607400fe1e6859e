"""A second person at the desk: what waits for an approval is looked at, approved with a card, declined, withdrawn, asked for."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from textual.app import App

from kiosk.station.approving import wish_for
from kiosk.station.faces import Inbox, Job, ReaderView
from kiosk.tui.desk import Desk
from kiosk.tui.failure import Failure
from kiosk.tui.inbox import Answer, InboxList, Request, approved, to_approve, whom
from kiosk.tui.labels import (
    APPROVALS_KEY,
    ASK_WORDS,
    ASKED_THEN,
    NO_CARD_TO_APPROVE,
    NOTE_LABEL,
    WHOSE_CARD,
)
from kiosk.tui.menu import Entry, Menu
from kiosk.tui.notice import Notice
from kiosk.tui.questions import Questions
from kiosk.tui.say import Say
from kiosk.tui.widgets.readers import card_name, holder_name
from shared import approval_words
from shared.approvals import MAX_NOTE, ApprovalView
from shared.credential.approval import Approvers, Way
from shared.errors import ApprovalNeeded, Cancelled, KioskError, PresenceNeeded

APPROVE: Final = "Approve"


class Approvals:
    """Asks on the desk, and lets the inbox do it."""

    def __init__(self, app: App[None], inbox: Inbox, desk: Desk, own_reader: Callable[[], str]) -> None:
        """Ask on `app`; `own_reader` tells in which reader the operator's card is."""
        self._app, self._inbox, self._desk, self._own_reader = app, inbox, desk, own_reader
        self._turn = asyncio.Lock()
        """Of its own: whoever looks at a request has the desk's."""
        self._views: Sequence[ApprovalView] = ()

    async def follow(self, tell: Callable[[str], None]) -> None:
        """Keep open screens up to date, and `tell` in few words what waits."""
        async for views in self._inbox.views():
            self._views = views
            tell(_waits(views))
            for screen in self._app.screen_stack:
                if isinstance(screen, InboxList | Request):
                    screen.see(views)

    async def look_after(self) -> None:
        """Show what waits, one request after the other, until the operator goes back to the desk."""
        while True:
            view = await self._app.push_screen_wait(InboxList(self._latest))
            if view is None:
                return
            try:
                await self._one(view)
            except Cancelled:
                continue
            except KioskError as error:
                await self._app.push_screen_wait(Failure(error))

    async def ask(self, job: Job, error: ApprovalNeeded, subject: str) -> None:
        """Offer to ask for what an operation was refused for want of, and say what happens next.

        Raises:
            KioskError: it was not asked for.
        """
        if "request" in error.facts:  # who tries has asked
            await self._app.push_screen_wait(Notice("It takes a second person", ASKED_THEN))
            return
        way = Way(str(error.facts["operation"]))
        by = Approvers(str(error.facts.get("by", Approvers.OPERATORS)))
        facts = [
            ("What", approval_words.way(way)),
            ("For", subject),
            ("Takes", approval_words.takes(int(error.facts.get("count", 1)), by)),
            ("Because", str(error.facts.get("why", ""))),
        ]
        question = Say(
            "A second person has to approve this",
            NOTE_LABEL,
            yes="Ask for it",
            longest=MAX_NOTE,
            facts=[fact for fact in facts if fact[1]],
            text=ASK_WORDS,
            needed=False,
        )
        note = await self._app.push_screen_wait(question)
        if note is None:
            return
        asked = await self._inbox.ask(wish_for(error, job, note))
        until = f"It waits until {asked.intent.expires_at:%Y-%m-%d %H:%M} UTC."
        await self._app.push_screen_wait(Notice("Asked for", (until, *ASKED_THEN)))

    def _latest(self) -> Sequence[ApprovalView]:
        return self._views

    async def _one(self, view: ApprovalView) -> None:
        screen = Request(view, self._latest)
        answer = await self._app.push_screen_wait(screen)
        match answer:
            case Answer.APPROVE:
                await self._approve(screen.view)
            case Answer.DECLINE:
                question = Say(
                    f"Decline?  {whom(view)}",
                    "Why, for whoever asked",
                    yes="Decline for good",
                    longest=MAX_NOTE,
                    facts=[("What", approval_words.title(view.intent)), ("Asked by", _who(view))],
                )
                why = await self._app.push_screen_wait(question)
                if why:
                    await self._inbox.decline(view.request_id, why)
            case Answer.WITHDRAW:
                await self._inbox.withdraw(view.request_id)
            case Answer.GONE:
                now = await self._inbox.show(view.request_id)
                words = (
                    f"{approval_words.title(view.intent)}, for {whom(view)}: it {approval_words.state(now)}."
                )
                await self._app.push_screen_wait(Notice("It does not wait any more", (words,)))
            case None:
                return

    async def _approve(self, view: ApprovalView) -> None:
        """Have a card approve what was shown; its PIN is the consent.

        Raises:
            PresenceNeeded: who is logged on came through an ssh-agent.
            Cancelled, KioskError: as `Inbox.approve`.
        """
        operator = self._desk.view.operator if self._desk.view else None
        if operator is not None and operator.possession_only:
            raise PresenceNeeded(what="approve")
        reader = await self._whose(view)
        if reader is None:
            return
        subject = " · ".join((whom(view), _card(reader)))
        person = Questions(self._app, self._turn, subject, heading=APPROVE)
        now = await self._inbox.approve(view, reader.name, person)
        words = f"{approval_words.title(view.intent)}, for {whom(view)}: {approval_words.state(now)}."
        await self._app.push_screen_wait(Notice("Approved", (words,)))

    async def _whose(self, view: ApprovalView) -> ReaderView | None:
        """Return the reader with the card of whoever approves: the operator's own, or one that is put in beside it."""
        own = self._own_reader()
        operators = view.intent.by is Approvers.OPERATORS
        readers = [each for each in (self._desk.view.readers if self._desk.view else ()) if each.present]
        if operators and not view.mine:
            return next((each for each in readers if each.name == own), None) or await self._choose(readers)
        return await self._choose([each for each in readers if each.name != own])

    async def _choose(self, readers: Sequence[ReaderView]) -> ReaderView | None:
        if not readers:
            await self._app.push_screen_wait(Notice(WHOSE_CARD, (NO_CARD_TO_APPROVE,)))
            return None
        if len(readers) == 1:
            return readers[0]
        entries = [
            Entry(choice=each, key=str(number), name=each.name, words=_card(each))
            for number, each in enumerate(readers, 1)
        ]
        return await self._app.push_screen_wait(Menu(WHOSE_CARD, entries))


def _waits(views: Sequence[ApprovalView]) -> str:
    """Say in few words what somebody can do something about now."""
    counts = ((len(to_approve(views)), "to approve"), (len(approved(views)), "approved"))
    words = ", ".join(f"{count} {what}" for count, what in counts if count)
    return f" {APPROVALS_KEY}  {words}" if words else ""


def _who(view: ApprovalView) -> str:
    return view.intent.requester_name or view.intent.requester


def _card(reader: ReaderView) -> str:
    parts = (holder_name(reader), card_name(reader.card) if reader.card else "a card")
    return " · ".join(filter(None, parts))
