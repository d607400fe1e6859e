"""Reads a screen as a person does: lines of characters, without colours."""

import asyncio
from collections.abc import Callable

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.widget import Widget


def lines(app: App[None]) -> list[str]:
    """Return what is on the screen, line by line."""
    width, height = app.size
    strips = app.screen._compositor.render_strips()
    assert len(strips) == height
    texts = ["".join(segment.text for segment in strip) for strip in strips]
    assert all(len(text) == width for text in texts)
    if app.screen.is_modal:
        under = [
            "".join(s.text for s in strip)
            for strip in app._background_screens[-1]._compositor.render_strips()
        ]
        top = {(x, y) for widget in app.screen.walk_children(Widget) for x, y in _cells(widget)}
        texts = [
            "".join(text[x] if (x, y) in top else under[y][x] for x in range(width))
            for y, text in enumerate(texts)
        ]
    return texts


def _cells(widget: Widget) -> list[tuple[int, int]]:
    region = widget.region
    return [(x, y) for x in range(region.x, region.right) for y in range(region.y, region.bottom)]


def text(app: App[None]) -> str:
    return "\n".join(lines(app))


async def until(pilot: Pilot[None], true: Callable[[], bool], what: str = "") -> None:
    """Wait until something holds, at most two seconds; fail with the screen's text."""
    for _ in range(200):
        await pilot.pause()
        if true():
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"{what}\n{text(pilot.app)}")


async def shows(pilot: Pilot[None], *words: str) -> None:
    """Wait until all `words` are on the screen."""
    await until(pilot, lambda: all(word in text(pilot.app) for word in words), f"not on the screen: {words}")
