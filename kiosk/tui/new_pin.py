"""Ask for a new PIN, typed twice."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from kiosk.station import wording
from kiosk.tui.dialog import Dialog
from kiosk.tui.labels import DONE, FAILED, WAITING
from kiosk.tui.widgets.pin import PinField
from shared.credential.pins import PinPolicy
from shared.errors import KioskError, PinPolicyViolated
from shared.secret import Secret

EARLY_RULES = ("length", "characters")
"""Rules judged while typing. The others are judged at Enter: told early, they would describe the PIN to
whoever looks at the screen."""


class NewPin(Dialog[Secret]):
    """The person chooses; the answer is a `Secret`, and no trace of it stays here."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab,down", "other", "Other field", key_display="Tab"),
        Binding("shift+tab,up", "other", show=False),
    ]

    def __init__(self, policy: PinPolicy, problem: KioskError | None, subject: str, heading: str) -> None:
        """`problem` is why the last one was refused; `subject` says whose card, `heading` what for."""
        super().__init__(f"{heading} · Choose a new PIN")
        self._policy, self._problem, self._subject = policy, problem, subject

    def compose(self) -> ComposeResult:
        """Compose two fields, and what is asked of a PIN."""
        with self.box():
            yield Static(Content.styled(self._subject, "$text-dim"), classes="subject")
            yield Static("New PIN", classes="label")
            yield PinField(submit=self._first, limit=self._policy.max_length, id="first")
            yield Static("Again", classes="label")
            yield PinField(submit=self._second, limit=self._policy.max_length, id="second")
            yield Static(id="hints")
            yield Static(id="problem")

    def on_mount(self) -> None:
        """Begin with the first field."""
        self.query_one("#first", PinField).focus()
        if self._problem is not None:
            self._complain(wording.failure(self._problem))
        self._hint()

    @on(PinField.Changed)
    def _typed(self) -> None:
        self._hint()
        self.query_one("#problem", Static).update("")

    def _first(self) -> None:
        first = self.query_one("#first", PinField)
        rule = first.broken_rule(self._policy)
        if rule:
            self._complain(wording.failure(PinPolicyViolated(rule=rule)))
            if rule not in EARLY_RULES:
                first.wipe()
                self._hint()
            return
        self.set_focus(self.query_one("#second", PinField))

    def _second(self) -> None:
        first, second = self.query_one("#first", PinField), self.query_one("#second", PinField)
        if first.broken_rule(self._policy):
            self.set_focus(first)
            self._first()
        elif not first.same_as(second):
            second.wipe()
            self._hint()
            self._complain("The two are not the same. Type the second one again.")
        else:
            second.wipe()
            self.dismiss(first.take())

    def action_other(self) -> None:
        """Go to the other field."""
        first, second = self.query_one("#first", PinField), self.query_one("#second", PinField)
        (second if first.has_focus else first).focus()

    def _hint(self) -> None:
        first, second = self.query_one("#first", PinField), self.query_one("#second", PinField)
        policy, rule = self._policy, first.broken_rule(self._policy)
        enough = policy.min_length <= first.length <= policy.max_length
        size = (
            f"{policy.min_length} characters"
            if policy.min_length == policy.max_length
            else f"{policy.min_length} to {policy.max_length} characters"
        )
        # broken_rule judges the length first; the characters are known to be right or wrong only after it
        right = enough and rule != "characters"
        repeated = second.length > 0 and first.same_as(second)
        rows = [
            _hint(size, known=first.length > 0, met=enough),
            _hint(wording.characters(policy.characters), known=enough, met=right),
            _hint("typed twice", known=repeated, met=repeated),
        ]
        rows += [Content.styled(f"{WAITING} {rule}", "$text-dim") for rule in wording.pin_rules(policy)]
        self.query_one("#hints", Static).update(Content("\n").join(rows))

    def _complain(self, words: str) -> None:
        self.query_one("#problem", Static).update(
            Content.assemble((f"{FAILED} ", "bold $text-error"), (words, "bold $text-error"))
        )


def _hint(words: str, *, known: bool, met: bool) -> Content:
    """Draw one rule: open, met, or not met yet."""
    if known and met:
        return Content.styled(f"{DONE} {words}", "$text-success")
    return Content.styled(f"{WAITING} {words}", "" if known else "$text-dim")
