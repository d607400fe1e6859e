"""The colours of the desk."""

from typing import Final

from textual.theme import Theme

THEME: Final = Theme(
    name="desk",
    dark=True,
    primary="#4fc3d9",
    secondary="#7aa2f7",
    accent="#f2c14e",
    warning="#f2c14e",
    error="#f7768e",
    success="#5fe07a",
    foreground="#d8dee9",
    background="#0f141b",
    surface="#151c25",
    panel="#1d2733",
    variables={
        "text-dim": "#8592a3",
        "text-success": "#5fe07a",
        "text-warning": "#f2c14e",
        "text-error": "#f7768e",
        "frame": "#3b4a5c",
        "present": "#4fc3d9",
        "present-foreground": "#0b1016",
        "done": "#5fe07a",
        "done-foreground": "#0b1016",
        "failed": "#f7768e",
        "failed-foreground": "#0b1016",
    },
)
"""Colours that stay apart when a terminal rounds them to its sixteen."""
