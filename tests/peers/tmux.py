"""A terminal to draw in: tmux without a screen."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.peers.programs import need, run, wait_until

PRESSES: Final = 4
PATIENCE_S: Final = 5.0
"""How often a key is pressed again, and how long to wait for what it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """One program in one window."""

    socket: Path
    status: Path
    """Where the program's exit status is written; tmux 3.3 forgets it now and then."""

    def screen(self, *, colours: bool = False) -> str:
        """Return what the window shows; with `colours`, with their escape sequences."""
        return self._tmux("capture-pane", "-p", *(["-e"] if colours else []))

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names: `Enter`, `F1`, `C-c`, or a character."""
        self._tmux("send-keys", *keys)

    def type(self, text: str) -> None:
        """Type text as it stands."""
        self._tmux("send-keys", "-l", text)

    def resize(self, columns: int, rows: int) -> None:
        """Change the window's size."""
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def wait_for(self, text: str, *, timeout_s: float = 20) -> str:
        """Wait until the window shows `text` and return the whole of it."""
        try:
            wait_until(lambda: text in self.screen(), f"the screen shows {text!r}", timeout_s=timeout_s)
        except AssertionError as late:
            late.add_note(self.screen())
            raise
        return self.screen()

    def wait_until_gone(self, text: str, *, timeout_s: float = 20) -> None:
        """Wait until the window no longer shows `text`.

        Needed after Escape: with a key right behind it, it is the other key with Alt.
        """
        wait_until(lambda: text not in self.screen(), f"the screen loses {text!r}", timeout_s=timeout_s)

    def press_until(self, key: str, text: str) -> str:
        """Press a key until the window shows `text`.

        A terminal's own reports (of a new size, say) and a bare Escape may swallow the key right behind them; a person
        presses again.
        """
        for _ in range(PRESSES):
            self.press(key)
            with suppress(AssertionError):
                return self.wait_for(text, timeout_s=PATIENCE_S)
        return self.wait_for(text)

    def press_until_end(self, key: str) -> int:
        """Press a key until the program ended (see `press_until`) and return its exit status."""
        for _ in range(PRESSES):
            self.press(key)
            with suppress(AssertionError):
                return self.wait_for_end(timeout_s=PATIENCE_S)
        return self.wait_for_end()

    def wait_for_end(self, *, timeout_s: float = 20) -> int:
        """Wait until the program ended and return its exit status."""
        wait_until(lambda: self._ended() is not None, "the program ended", timeout_s=timeout_s)
        status = self._ended()
        assert status is not None
        return status

    def _ended(self) -> int | None:
        written = self.status.read_text() if self.status.exists() else ""
        return int(written) if written.endswith("\n") else None

    def _tmux(self, *words: str) -> str:
        return run(_command(self.socket, *words))


@contextmanager
def terminal(
    argv: Sequence[str | Path], folder: Path, *, columns: int = 80, rows: int = 24
) -> Iterator[Terminal]:
    """Run a program in a window of `columns` by `rows`; its end closes nothing, so that its last words stay."""
    window = Terminal(socket=folder / "tmux", status=folder / "status")
    script = f"{shlex.join(str(word) for word in argv)}; echo $? > {shlex.quote(str(window.status))}"
    size = ["-x", str(columns), "-y", str(rows)]
    new = _command(window.socket, "new-session", "-d", *size, script)
    run([*new, ";", "set-option", "remain-on-exit", "on"])
    try:
        yield window
    finally:
        run(_command(window.socket, "kill-server"), accept=(0, 1))


def _command(socket: Path, *words: str) -> list[str]:
    return [need("tmux", "tmux"), "-S", str(socket), "-f", "/dev/null", *words]
