"""Choose why a credential is taken out of use, or another one takes its place."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from kiosk.tui.dialog import Listing
from kiosk.tui.labels import CAUSES
from shared.credential.reasons import Cause


class ChooseReason(Listing[Cause]):
    """Asks for the reason, and says what follows; the likely reasons stand first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "pick", "This is why", key_display="Enter", priority=True),
    ]

    def __init__(self, heading: str, meaning: str, causes: Sequence[Cause]) -> None:
        """`heading` names what is about to happen, `meaning` what that means."""
        super().__init__(heading)
        self._meaning = meaning
        self._causes = causes

    def compose(self) -> ComposeResult:
        """Compose the reasons, and what follows from choosing one."""
        with self.box():
            yield OptionList(*(Option(CAUSES[cause]) for cause in self._causes), id="templates")
            yield Static(self._meaning, classes="facts", markup=False)

    def action_pick(self) -> None:
        """Answer with the reason under the cursor."""
        at = self.query_one(OptionList).highlighted
        if at is not None:
            self.dismiss(self._causes[at])
