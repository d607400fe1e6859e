"""Choose roles: any number of those that who is logged on may give."""

from collections.abc import Collection, Sequence
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from kiosk.tui.dialog import Listing
from kiosk.tui.labels import NOT_YOURS_TO_GIVE, ROLES_HINT
from shared.roles import Permissions, Role

WIDE: Final = 28


class ChooseRoles(Listing[frozenset[str]]):
    """Asks which roles; space marks one. Those that would give more than one has stand there, and keep what they are."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "done", "These", key_display="Enter", priority=True),
        Binding("space", "mark", "Mark", key_display="Space", priority=True),
    ]

    def __init__(
        self,
        heading: str,
        roles: Sequence[Role],
        chosen: Collection[str],
        permissions: Permissions | None,
    ) -> None:
        """Offer `roles`, of which `chosen` are marked; `permissions` are those of who gives them."""
        super().__init__(heading)
        self._roles = roles
        self._chosen = set(chosen)
        self._mine = [permissions is None or permissions.covers(role.grants) for role in roles]

    def compose(self) -> ComposeResult:
        """Compose the roles with their marks."""
        with self.box():
            yield OptionList(
                *(
                    Option(self._row(at), disabled=not mine)
                    for at, mine in zip(range(len(self._roles)), self._mine, strict=True)
                ),
                id="templates",
            )
            yield Static(Content.styled(ROLES_HINT, "$text-dim"), classes="facts")

    def on_mount(self) -> None:
        """Begin at the first."""
        options = self.query_one(OptionList)
        options.focus()
        options.action_first()

    def _row(self, at: int) -> Content:
        role = self._roles[at]
        mark = "[x]" if role.name in self._chosen else "[ ]"
        note = "" if self._mine[at] else NOT_YOURS_TO_GIVE
        return Content(f"{mark} {role.title.ljust(WIDE)}{note}")

    def action_mark(self) -> None:
        """Mark the role under the cursor, or take the mark away."""
        options = self.query_one(OptionList)
        at = options.highlighted
        if at is None or not self._mine[at]:
            return
        self._chosen ^= {self._roles[at].name}
        options.replace_option_prompt_at_index(at, self._row(at))

    def action_done(self) -> None:
        """Answer with what is marked."""
        self.dismiss(frozenset(self._chosen))
