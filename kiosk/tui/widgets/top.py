"""The top of every screen: the lab banner; who, where and when; what is wrong with the whole desk."""

from datetime import datetime
from typing import Final

from textual.app import RenderResult
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from kiosk.station.faces import StationView
from kiosk.tui.labels import ABSENT, LAB, PRESENT, RUNNING, THROUGH_AGENT, THROUGH_TOUCH
from kiosk.tui.widgets.text import line
from shared.clock import Clock
from shared.sessions import LogonMethod

CLOCK_S: Final = 1.0


class LabBanner(Widget):
    """Says that cards here are not real; on every screen while there is a virtual reader.

    `lab` is the app's reactive of this name: None, or the text to add.
    """

    lab: reactive[str | None] = reactive(None)

    def on_mount(self) -> None:
        """Follow the app."""
        self.watch(self.app, "lab", self._follow)

    def _follow(self, lab: str | None) -> None:
        self.lab = lab
        self.display = lab is not None

    def render(self) -> RenderResult:
        """Draw one line."""
        words = f" ▒ {LAB} ▒ "
        return line(Content(words + (self.lab or "")), Content(""), self.size.width)


class TopBar(Widget):
    """Desk and station on the left; server, its line, and the time on the right."""

    view: reactive[StationView | None] = reactive(None)
    title: reactive[str] = reactive("")
    time: reactive[datetime | None] = reactive(None)
    waits: reactive[str] = reactive("")
    """What waits for who is logged on, in few words; the app's reactive of this name."""

    def __init__(self, clock: Clock) -> None:
        """Show the time of `clock`, as people here read it."""
        super().__init__()
        self._clock = clock

    def on_mount(self) -> None:
        """Follow the clock, and the app."""
        self.watch(self.app, "waits", self._follow)
        self._tell_time()
        self.set_interval(CLOCK_S, self._tell_time)

    def _follow(self, waits: str) -> None:
        self.waits = waits

    def _tell_time(self) -> None:
        self.time = self._clock.now().astimezone().replace(second=0, microsecond=0)

    def render(self) -> Content:
        """Draw one line."""
        server = self.view.server if self.view else None
        station = server.station if server else ""
        name = self.title or station or "Desk"
        left = Content.assemble((f" {name}", "bold $primary"))
        if station not in name:
            left += Content.styled(f" · {station}", "$text-dim")
        if self.view is None:
            link = Content.styled(f"{ABSENT} starting", "$text-dim")
        elif self.view.connected:
            link = Content.assemble((f"{PRESENT} ", "$text-success"), server.server if server else "server")
        elif self.view.connecting:
            link = Content.styled(f"{RUNNING} connecting to the server", "$accent")
        else:
            link = Content.styled(f"{ABSENT} no connection to the server", "bold $text-error")
        now = Content.styled(f"   {self.time.strftime('%H:%M') if self.time else ''} ", "bold")
        who = self._who()
        if who:
            right = Content.assemble(who, "   ", link, now)
            if self.view is not None and self.view.connected and right.cell_length > self.size.width // 2:
                right = Content.assemble(
                    (f"{PRESENT} ", "$text-success"), who, now
                )  # the server's name gives way
            return line(left, right, self.size.width)
        return line(left, Content.assemble(link, now), self.size.width)

    def _who(self) -> Content:
        """Say who is logged on, and as what."""
        operator = self.view.operator if self.view else None
        if operator is None:
            return Content("")
        roles = ", ".join(role.title for role in operator.roles)
        who = Content.assemble((operator.name, "bold"), (f" · {roles}" if roles else "", "$text-dim"))
        if self.waits:
            who = Content.assemble((f"{self.waits} ", "bold reverse"), "  ", who)
        if operator.method is not LogonMethod.AGENT:
            return who
        how = THROUGH_AGENT if operator.possession_only else THROUGH_TOUCH
        return Content.assemble((f"[{how}] ", "bold $text-warning"), who)
