"""A field for a PIN that never makes a text of it.

What is typed goes byte by byte into a bytearray, which is wiped when the field is emptied, taken, or leaves the
screen. It is no reactive, no attribute that a representation shows, and nothing but its length is ever drawn.
Wiping is best effort: the terminal driver made a character of every key before we saw it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from shared.credential.pins import PIN_FIELD_LENGTH, PinPolicy, check_pin
from shared.errors import PinPolicyViolated
from shared.secret import Secret

MASK: Final = "●"
PLACE: Final = "·"


class PinField(Widget, can_focus=True):
    """Takes up to eight bytes of ASCII, shows a dot for each."""

    LONGEST: ClassVar[int] = PIN_FIELD_LENGTH
    """Bytes that it can hold."""

    @dataclass
    class Changed(Message):
        """Something was typed or deleted; says only how many characters there are."""

        field: "PinField"
        length: int

        @property
        def control(self) -> "PinField":
            """The field."""
            return self.field

    def __init__(
        self,
        *,
        submit: Callable[[], None],
        limit: int | None = None,
        id: str | None = None,  # noqa: A002  # Textual's word
    ) -> None:
        """Begin empty; `limit` counts characters, where it is less than the field can hold.

        `submit` is called at Enter, before the next key is looked at: a fast typist is already at the next field.
        """
        super().__init__(id=id)
        self._submit = submit
        self._limit = self.LONGEST if limit is None else min(limit, self.LONGEST)
        self._typed = bytearray(self.LONGEST)
        self._length = 0

    @property
    def length(self) -> int:
        """The number of characters typed."""
        return self._length

    def take(self) -> Secret:
        """Return what was typed and empty the field."""
        secret = self._copy()
        self.wipe()
        return secret

    def _copy(self) -> Secret:
        part = self._typed[: self._length]
        secret = Secret(part)
        part[:] = bytes(len(part))
        return secret

    def wipe(self) -> None:
        """Overwrite what was typed."""
        self._typed[:] = bytes(self.LONGEST)
        self._length = 0
        self.refresh()

    def broken_rule(self, policy: PinPolicy) -> str:
        """Return the rule of `policy` that what was typed breaks, or nothing."""
        try:
            check_pin(bytes(self._typed[: self._length]), policy)
        except PinPolicyViolated as violated:
            return str(violated.facts["rule"])
        return ""

    def same_as(self, other: "PinField") -> bool:
        """Compare with another field in constant time."""
        mine, its = self._copy(), other._copy()  # noqa: SLF001  # one of our own kind
        try:
            return mine == its
        finally:
            mine.wipe()
            its.wipe()

    def render(self) -> Content:
        """Draw a dot for each character, a place for each that may follow."""
        cells = [(f"{MASK} ", "bold $accent")] * self._length + [(f"{PLACE} ", "$text-dim")] * (
            self._limit - self._length
        )
        return Content.assemble(" ", *cells)

    def on_key(self, event: events.Key) -> None:
        """Take printable ASCII, backspace and Enter; leave every other key to the screen.

        Keys that were on their way here when the next field became the one to type in belong to that one.
        """
        now = self.screen.focused
        if now is not self and isinstance(now, PinField):
            now.on_key(event)
        elif event.key == "enter":
            event.stop()
            self._submit()
        elif event.key in ("backspace", "delete"):
            event.stop()
            if self._length:
                self._length -= 1
                self._typed[self._length] = 0
                self._note()
        elif event.character is not None and len(event.character) == 1 and " " <= event.character <= "~":
            event.stop()
            event.prevent_default()
            if self._length < self._limit:
                self._typed[self._length] = ord(event.character)
                self._length += 1
                self._note()
            else:
                self.app.bell()

    def on_paste(self, event: events.Paste) -> None:
        """Refuse: a PIN on the clipboard is a PIN that others have."""
        event.stop()
        self.app.bell()

    def on_unmount(self) -> None:
        """Leave nothing behind, whichever way the screen went."""
        self.wipe()

    def _note(self) -> None:
        self.refresh()
        self.post_message(self.Changed(self, self._length))


class PasscodeField(PinField):
    """The same for a passcode, which is longer: how much room there is left is not shown."""

    LONGEST = 128
    SHOWN: ClassVar[int] = 40
    """Dots that fit; after that the last ones say that more was typed."""

    def render(self) -> Content:
        """Draw a dot for each character."""
        dots = MASK * min(self._length, self.SHOWN)
        more = "…" if self._length > self.SHOWN else ""
        return Content.assemble(" ", (f"{dots}{more}" or PLACE, "bold $accent"))
