"""Choose what kind of card it becomes."""

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from kiosk.tui.dialog import Listing
from shared.console import TemplateView


class ChooseTemplate(Listing[TemplateView]):
    """Asks which template; shows the slots of the one under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "pick", "This template", key_display="Enter", priority=True),
    ]

    def __init__(self, templates: Sequence[TemplateView], subject: str) -> None:
        """`subject` says for whom."""
        super().__init__(f"Which kind of card?  {subject}")
        self._templates = templates

    def compose(self) -> ComposeResult:
        """Compose the list, and the slots of what is chosen in it."""
        with self.box():
            yield OptionList(
                *(
                    Option(Content.assemble(template.title, (f"   v{template.version}", "$text-dim")))
                    for template in self._templates
                ),
                id="templates",
            )
            yield Static(id="slots", classes="facts")

    @on(OptionList.OptionHighlighted)
    def _show(self, event: OptionList.OptionHighlighted) -> None:
        template = self._templates[event.option_index]
        rows = [
            Content.assemble((f"{slot.partition(' ')[0]}  ", "bold $primary"), slot.partition(" ")[2])
            for slot in template.slots
        ]
        if template.needs:
            rows.append(Content.styled(f"needs {', '.join(template.needs)}", "$text-dim"))
        self.query_one("#slots", Static).update(Content("\n").join(rows))

    def action_pick(self) -> None:
        """Answer with the template under the cursor."""
        at = self.query_one(OptionList).highlighted
        if at is not None:
            self.dismiss(self._templates[at])
