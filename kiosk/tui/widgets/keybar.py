"""The bottom line: the keys that do something now."""

from typing import Final

from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget

LAST: Final = ("?", "q")
"""Keys that keep their place at the right end, however narrow the line is."""


class KeyBar(Widget):
    """The keys of the screen's bindings that are shown and allowed now. The left ones matter more."""

    def on_mount(self) -> None:
        """Paint again whenever the allowed keys change."""
        self.screen.bindings_updated_signal.subscribe(self, self._updated)

    def _updated(self, _screen: Screen[object]) -> None:
        self.refresh()

    def render(self) -> Content:
        """Draw what fits."""
        left, right = Content(""), Content("")
        shown = [
            active
            for active in self.screen.active_bindings.values()
            if active.binding.show and active.enabled
        ]
        seen: set[str] = set()
        keys: list[tuple[str, Content]] = []
        for active in shown:
            binding = active.binding
            if binding.action in seen:
                continue
            seen.add(binding.action)
            name = self.app.get_key_display(binding)
            keys.append(
                (name, Content.assemble((f" {name} ", "bold reverse $primary"), f" {binding.description}  "))
            )
        for name, content in keys:
            if name in LAST:
                right += content
        room = self.size.width - right.cell_length
        for name, content in keys:
            if name not in LAST and left.cell_length + content.cell_length <= room:
                left += content
        return Content.assemble(left, " " * max(0, room - left.cell_length), right)
