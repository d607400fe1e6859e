"""What an operation is doing, step by step, and how it ended."""

import textwrap
from typing import Final

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from kiosk.station import wording
from kiosk.tui.labels import DONE, FAILED, RUNNING, WAITING
from kiosk.tui.run import Mark, Run, StepState
from kiosk.tui.widgets.text import cut, line, seconds, stack, wrapped

DIM: Final = "$text-dim"
LOOKS: Final = {
    Mark.WAITING: (WAITING, DIM),
    Mark.RUNNING: (RUNNING, "bold $accent"),
    Mark.DONE: (DONE, "$text-success"),
    Mark.FAILED: (FAILED, "bold $text-error"),
}
REPAINT_S: Final = 0.25
"""Often enough that seconds are seen to pass, seldom enough for a slow line. Nothing passes under a question."""


class StepsPane(Widget):
    """The steps of the chosen reader's operation; afterwards the outcome and what to do next."""

    run: reactive[Run | None] = reactive(None)

    def on_mount(self) -> None:
        """Let the running step's time pass."""
        self.set_interval(REPAINT_S, self._tick)

    def changed(self) -> None:
        """Paint again in the next frame, however often this is called before it."""
        self._entitle()
        self.refresh()

    def watch_run(self) -> None:
        """Show another operation."""
        self._entitle()

    def _tick(self) -> None:
        if self.run is not None and self.run.running and self.display and self.app.screen is self.screen:
            self.changed()

    def _entitle(self) -> None:
        if self.run is None:
            return
        self.border_title = wording.operation(self.run.job.operation)
        count = f"{self.run.done} of {len(self.run.states)}" if self.run.states else ""
        self.border_subtitle = (
            f"{count} · {seconds(self.run.seconds())}" if count and self.run.running else count
        )
        outcome = self.run.outcome
        self.set_class(outcome is not None and outcome.error is None, "-done")
        self.set_class(outcome is not None and outcome.error is not None and not self.run.waits, "-failed")

    def render(self) -> Content:
        """Draw the outcome below the steps; where room is short the steps give way."""
        if self.run is None:
            return Content("")
        width, height = self.size
        foot = self._foot(self.run, width)
        head = [cut(Content.styled(self.run.subject, "bold"), width)] if self.run.subject else []
        why = wrapped(Content.styled(f"! {self.run.why}", "$text-warning"), width) if self.run.why else []
        if self.run.running or height >= len(head) + len(why) + len(foot):
            head += why
        if height > len(foot) + len(self.run.states) + 3:
            head += [Content("")] if head else []
        room = max(0, height - len(foot) - len(head))
        steps = [self._step(state, self.run.now(), width) for state in self.run.states]
        if len(steps) > room:
            first = max(0, min(self.run.current - room // 2, len(steps) - room))
            steps = steps[first : first + room]
        gap = (
            [Content("")] * max(0, room - len(steps))
            if self.run.running
            else [Content("")][: room - len(steps)]
        )
        return stack([*head, *steps, *gap, *foot])

    def _step(self, state: StepState, now: float, width: int) -> Content:
        mark, style = LOOKS[state.mark]
        took = ""
        if state.mark is Mark.RUNNING:
            took = f"{state.seconds(now):.1f}"
            took += f"/{state.expected_ms / 1000:.0f} s" if state.expected_ms >= 1000 else " s"
        elif state.mark is Mark.DONE and state.seconds(now) >= 0.05:
            took = seconds(state.seconds(now))
        words = wording.step(state.line)
        body = style if state.mark is not Mark.DONE else ""
        return line(Content.assemble((f"{mark} ", style), (words, body)), Content.styled(took, DIM), width)

    def _foot(self, run: Run, width: int) -> list[Content]:
        outcome = run.outcome
        if outcome is None:
            words = "Stopping after this step …" if run.stopping else ""
            bar = _bar(run.done, len(run.states), width)
            return [Content.styled(words, "bold $text-warning"), bar] if words else [bar]
        good = outcome.error is None
        said = wording.done(outcome.operation) if good else f"{wording.operation(outcome.operation)} stopped"
        mark, look = (DONE, "$done") if good else (FAILED, "$failed")
        if run.waits:
            said, mark, look = f"{wording.operation(outcome.operation)} waits", WAITING, "$accent"
        ground = "$present-foreground" if run.waits else f"{look}-foreground"
        head = [
            Content.styled(f" {row} ", f"bold {ground} on {look}")
            for row in textwrap.wrap(f"{mark} {said}", max(1, width - 2))
        ]
        following = (
            wording.next_action(outcome.next_action)
            if outcome.error is None
            else wording.next_action_after(outcome.error, outcome.next_action)
        )
        after = wrapped(Content.styled(following, "bold"), width) if following else []
        if outcome.error is not None:
            body = wrapped(Content(wording.failure(outcome.error)), width)
            state = wrapped(Content.styled(wording.state(outcome.state), DIM), width) if outcome.state else []
            return [*head, *body, *state, *after, Content.styled(f"code {outcome.error.code}", DIM)]
        left = int(outcome.facts.get("waiting", 0))
        told = [row for words in wording.followed(outcome.facts) for row in wrapped(Content(words), width)]
        told += wrapped(Content(wording.waiting(left)), width) if left else []
        if outcome.facts.get("pin") == "temporary":
            told += wrapped(Content(wording.notice("pin-change-due")), width)
        took = seconds(outcome.seconds or run.seconds())
        if outcome.round_trips:
            took += f" · {outcome.round_trips} round trips · {outcome.commands} commands"
        return [*head, *told, *after, *wrapped(Content.styled(took, DIM), width)]


def _bar(done: int, total: int, width: int) -> Content:
    """Draw how far it is."""
    if not total:
        return Content.styled(f"{RUNNING} working …".ljust(width)[:width], "$accent")
    filled = width * done // total
    return Content.assemble(("█" * filled, "$accent"), ("░" * (width - filled), DIM))
