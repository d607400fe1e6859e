"""A picture of the desk, made from the real application: what the readme shows is what an operator sees."""

import re
from collections.abc import Sequence
from typing import Final

from kiosk.tui.app import DeskApp

SETTLE_S: Final = 0.4
"""How long a screen gets to come to rest after a key: more than a search waits for its next letter."""

_FONT_FACES: Final = re.compile(r"\s*@font-face\s*\{.*?\}", re.DOTALL)
_FONT: Final = "'DejaVu Sans Mono', Menlo, Consolas, monospace"


async def picture(app: DeskApp, size: tuple[int, int], keys: Sequence[str]) -> str:
    """Run `app` in a terminal of `size` (columns, rows) that nobody sees, press `keys`, return an SVG.

    The SVG is whole in itself: it fetches no font, and keeps runs of spaces in every renderer.
    """
    async with app.run_test(size=size) as pilot:
        await pilot.pause(SETTLE_S)
        for key in keys:
            await pilot.press(key)
            await pilot.pause(SETTLE_S)
        return self_contained(app.export_screenshot())


def self_contained(svg: str) -> str:
    """Take away what an SVG would fetch from elsewhere."""
    svg = _FONT_FACES.sub("", svg).replace("Fira Code, monospace", _FONT).replace("Fira Code", _FONT)
    return svg.replace("<svg ", '<svg xml:space="preserve" ', 1)
