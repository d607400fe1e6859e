"""`first-paint`: from the start of `kiosk demo` to the first painted desk, in a terminal of its own.

The floor is the same Python that imports Textual and paints one word. Both are started in turn, each as a process of
its own, and watched from outside: painted is what has come out at the other end of the terminal.
"""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from kiosk.demo.cards import reader_name
from tests.bench.figures import percentile

ROOT: Final = Path(__file__).parents[2]
ROWS, COLUMNS = 40, 120
PATIENCE_S: Final = 30.0
CHUNK: Final = 65536

DEMO: Final = (sys.executable, "-m", "kiosk.cli", "demo")
DESK: Final = reader_name(1)

WORD: Final = "painted"
BARE_PROGRAM: Final = f"""\
from textual.app import App
from textual.widgets import Static

class Bare(App):
    def compose(self):
        yield Static({WORD!r})

Bare().run()
"""
BARE: Final = (sys.executable, "-c", BARE_PROGRAM)


def first_paint(starts: int) -> Mapping[str, Any]:
    """Start demo and floor in turn, `starts` times after one that does not count."""
    desks, floors = [], []
    for _ in range(1 + starts):
        floors.append(_seconds_until(WORD, BARE))
        desks.append(_seconds_until(DESK, DEMO))
    found = {
        f"{name}_ms_p{percent}": percentile(seconds[1:], percent) * 1000
        for name, seconds in (("paint", desks), ("floor", floors))
        for percent in (50, 95)
    }
    found["ratio_to_floor"] = found["paint_ms_p50"] / found["floor_ms_p50"]
    return {"starts": starts, **{key: round(value, 3) for key, value in found.items()}}


def _seconds_until(word: str, argv: Sequence[str]) -> float:
    """Start a program and return how long it took until its terminal shows `word`."""
    begun = time.perf_counter()
    with _on_a_terminal(argv) as screen:
        shown = b""
        while word.encode() not in shown:
            news = _read(screen)
            assert news, f"{argv} ended before it painted:\n{shown.decode(errors='replace')}"
            shown += news
        return time.perf_counter() - begun


@contextmanager
def _on_a_terminal(argv: Sequence[str]) -> Iterator[int]:
    """Run a program on a terminal and yield our end of it; on leaving the program is asked to end, and waited for."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    process = subprocess.Popen(
        argv,
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm-256color"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield ours
    finally:
        process.send_signal(signal.SIGTERM)
        while _read(ours):
            pass  # nobody can end who cannot write
        os.close(ours)
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _read(screen: int) -> bytes:
    """Return what was painted since; nothing once the program has ended."""
    ready, _, _ = select.select([screen], [], [], PATIENCE_S)
    assert ready, "nothing was painted"
    try:
        return os.read(screen, CHUNK)
    except OSError:  # the other end is closed
        return b""
