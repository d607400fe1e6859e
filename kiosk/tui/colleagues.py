"""The operators, looked after at the desk: who there is, where they are logged on, who may log on, with which roles."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from enum import Enum, auto, unique
from typing import Final

from textual.app import App
from textual.content import Content

from kiosk.station.faces import Colleagues, Job
from kiosk.tui.approvals import Approvals
from kiosk.tui.failure import Failure
from kiosk.tui.find import Find
from kiosk.tui.labels import LOST_CARD, METHOD_WORDS, THROUGH_AGENT
from kiosk.tui.menu import Entry, Menu
from kiosk.tui.notice import Notice
from kiosk.tui.operators import Operators
from kiosk.tui.roles import ChooseRoles
from kiosk.tui.say import Say
from shared.approvals import MAX_NOTE
from shared.credential.lifecycle import OperationKind
from shared.errors import ApprovalNeeded, Cancelled, KioskError
from shared.operators import OperatorSummary, RoleSummary
from shared.roles import Area

APPLICATION: Final = "application"
SYSTEM_OWNER: Final = "system-owner"


@unique
class What(Enum):
    """What is done to an operator."""

    ROLES = auto()
    ACTIVATE = auto()
    DEACTIVATE = auto()
    LOST = auto()


class FindOperator(Find[OperatorSummary]):
    """Asks which operator; says more of the one under the cursor."""

    COLUMNS = (("Operator", 26), ("Roles", 31), ("Last log-on", 26), ("State", 17))
    PLACEHOLDER = "name"
    NONE = "No operator of this name."
    KIND = ("operator", "operators")

    def __init__(self, everybody: Callable[[], Awaitable[Sequence[OperatorSummary]]], text: str) -> None:
        """`everybody` returns all operators; `text` is what was looked for before."""
        super().__init__("Operators", text)
        self._everybody = everybody

    @property
    def text(self) -> str:
        """What is looked for."""
        return self._text

    async def ask(self, text: str) -> tuple[Sequence[OperatorSummary], bool]:
        """Ask the record, and leave out whose name is another one."""
        wanted = text.casefold()
        return [each for each in await self._everybody() if wanted in each.name.casefold()], False

    def cells(self, one: OperatorSummary) -> Sequence[Content]:
        """Return who it is, what they are, and when they were last here."""
        return (
            Content(one.name),
            Content(roles_of(one)),
            Content(_when(one.last_logon_at)),
            Content("active" if one.active else "! inactive"),
        )

    def about(self, one: OperatorSummary) -> Content:
        """Return cards, log-ons that failed, and where the operator is logged on."""
        return Content("\n").join(Content(line) for line in about_lines(one))


class LookAfterOperators:
    """Asks which operator and what is to be done, until the operator goes back to the desk."""

    def __init__(
        self, app: App[None], colleagues: Colleagues, operators: Operators, approvals: Approvals | None
    ) -> None:
        """Ask on `app`, and let `colleagues` do it; `operators` proves the PIN again, `approvals` says how it goes on."""
        self._app, self._colleagues = app, colleagues
        self._operators, self._approvals = operators, approvals

    async def look_after(self) -> None:
        """List, choose, do, and list again."""
        text = ""
        while True:
            screen = FindOperator(self._colleagues.all, text)
            operator = await self._app.push_screen_wait(screen)
            if operator is None:
                return
            text = screen.text
            what = await self._app.push_screen_wait(self._choices(operator))
            try:
                await self._do(operator, what)
            except Cancelled:
                continue
            except KioskError as error:
                await self._app.push_screen_wait(Failure(error))

    def _choices(self, operator: OperatorSummary) -> Menu[What]:
        person = operator.kind not in (APPLICATION, SYSTEM_OWNER)
        entries = [
            Entry(choice=What.ROLES, key="r", name="Roles", words="give and take"),
            Entry(
                choice=What.DEACTIVATE,
                key="d",
                name="Deactivate",
                words="no log-on from now on; sessions end",
            )
            if operator.active
            else Entry(
                choice=What.ACTIVATE, key="a", name="Activate", words="lets the operator log on again"
            ),
            Entry(choice=What.LOST, key="c", name="The card is lost", words="another one takes its place"),
        ]
        shown = [each for each in entries if person or each.choice in (What.ACTIVATE, What.DEACTIVATE)]
        may = self._operators.may(Area.OPERATORS, None)
        facts = [("Roles", roles_of(operator) or "none")]
        return Menu(operator.name, shown if may else [], facts=facts, text="\n".join(about_lines(operator)))

    async def _do(self, operator: OperatorSummary, what: What | None) -> None:
        """Do it.

        Raises:
            KioskError: it was not done.
        """
        which = str(operator.operator_id)
        match what:
            case What.ROLES:
                known = await self._colleagues.roles()
                chosen = await self.choose_roles(f"Roles of {operator.name}", known, operator.roles)
                if chosen is None or chosen == operator.roles:
                    return
                names = ", ".join(each.role.title for each in known if each.role.name in chosen)
                meaning = f"{operator.name} has: {names or 'no role'}."
                await self._act(
                    operator, "Roles", meaning, lambda why: self._colleagues.set_roles(which, chosen, why)
                )
            case What.ACTIVATE:
                await self._act(
                    operator,
                    "Activate",
                    "The operator may log on again.",
                    lambda why: self._colleagues.activate(which, why),
                )
            case What.DEACTIVATE:
                await self._act(
                    operator,
                    "Deactivate",
                    "No log-on from now on; sessions end at once.",
                    lambda why: self._colleagues.deactivate(which, why),
                )
            case What.LOST:
                await self._app.push_screen_wait(Notice(f"The card of {operator.name}", LOST_CARD))
            case None:
                return

    async def choose_for(self, name: str) -> frozenset[str] | None:
        """Ask which roles somebody gets with an operator's card.

        Raises:
            KioskError: who is logged on may not see roles.
        """
        return await self.choose_roles(
            f"Roles of {name} (none: an operator keeps theirs)", await self._colleagues.roles()
        )

    async def choose_roles(
        self, heading: str, known: Sequence[RoleSummary], chosen: frozenset[str] = frozenset()
    ) -> frozenset[str] | None:
        """Ask which roles, of those that who is logged on may give; None where nothing is to begin."""
        roles = [each.role for each in known]
        return await self._app.push_screen_wait(
            ChooseRoles(heading, roles, chosen, self._operators.permissions)
        )

    async def _act(
        self,
        operator: OperatorSummary,
        yes: str,
        meaning: str,
        work: Callable[[str], Awaitable[OperatorSummary]],
    ) -> None:
        """Ask why, and do it; the PIN is asked for where it is needed again."""
        question = Say(
            f"{yes}?  {operator.name}", "Why; it is kept as evidence", yes=yes, longest=MAX_NOTE, text=meaning
        )
        why = await self._app.push_screen_wait(question)
        if not why:
            return
        try:
            now = await self._operators.proven(lambda: work(why))
        except ApprovalNeeded as needed:
            if self._approvals is None:
                raise
            await self._approvals.ask(Job(operation=OperationKind.ISSUE, reader=""), needed, operator.name)
            return
        state = "may log on" if now.active else "may not log on"
        await self._app.push_screen_wait(
            Notice(operator.name, (f"{now.name} {state}; roles: {roles_of(now) or 'none'}.",))
        )


def roles_of(operator: OperatorSummary) -> str:
    """Name the roles of an operator, or what else the operator is."""
    if operator.kind == SYSTEM_OWNER:
        return "System Owner"
    return ", ".join(sorted(operator.roles))


def about_lines(operator: OperatorSummary) -> Sequence[str]:
    """Say what a line of the list has no room for."""
    cards = f"{operator.usable_keys} of {operator.keys} cards log on"
    lines = [
        cards
        if operator.keys != 1
        else f"one card, which {'logs' if operator.usable_keys else 'does not log'} on"
    ]
    if operator.failed_logons:
        lines.append(f"! {operator.failed_logons} log-ons failed since the last one")
    if operator.locked_until is not None:
        lines.append(f"! no log-on is tried before {_when(operator.locked_until)} UTC")
    for each in operator.sessions:
        how = THROUGH_AGENT if each.possession_only else METHOD_WORDS[each.method]
        lines.append(f"at {each.station} since {_when(each.began_at)} UTC, by {how}")
    return lines


def _when(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at is not None else "never"
