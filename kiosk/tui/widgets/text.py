"""Lines of text cut to measure, in terminal cells."""

from collections.abc import Iterable

from textual.content import Content


def line(left: Content, right: Content, width: int) -> Content:
    """Put `left` and `right` at the ends of a line of `width` cells; `left` gives way."""
    right = right.truncate(max(0, width), ellipsis=True)
    room = max(0, width - right.cell_length - (1 if right else 0))
    left = left.truncate(room, ellipsis=True)
    gap = max(0, width - left.cell_length - right.cell_length)
    return Content.assemble(left, " " * gap, right)


def wrapped(text: Content, width: int) -> list[Content]:
    """Break text into lines; a pane that a small terminal squeezed to nothing has a column all the same."""
    return list(text.wrap(max(1, width)))


def cut(text: Content, width: int, *, pad: bool = False) -> Content:
    """Cut text to a width, which may be less than nothing in a small terminal."""
    return text.truncate(max(0, width), ellipsis=True, pad=pad)


def stack(lines: Iterable[Content]) -> Content:
    """Put lines below each other."""
    return Content("\n").join(lines)


def seconds(value: float) -> str:
    """Write a duration for a person: tenths below ten seconds, then whole seconds."""
    return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
