"""A terminal to draw in: tmux without a screen."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.peers.programs import need, run, wait_until


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """One program in one window."""

    socket: Path

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

    def wait_for_end(self, *, timeout_s: float = 20) -> int:
        """Wait until the program ended and return its exit status."""
        wait_until(lambda: bool(self._says("#{pane_dead_status}")), "the program ended", timeout_s=timeout_s)
        return int(self._says("#{pane_dead_status}"))

    def _says(self, what: str) -> str:
        return self._tmux("display-message", "-p", what).strip()

    def _tmux(self, *words: str) -> str:
        return run(_command(self.socket, *words))


@contextmanager
def terminal(
    argv: Sequence[str | Path], folder: Path, *, columns: int = 80, rows: int = 24
) -> Iterator[Terminal]:
    """Run a program in a window of `columns` by `rows`; its end closes nothing, so that its last words stay."""
    window = Terminal(socket=folder / "tmux")
    size = ["-x", str(columns), "-y", str(rows)]
    new = _command(window.socket, "new-session", "-d", *size, *[str(word) for word in argv])
    run([*new, ";", "set-option", "remain-on-exit", "on"])
    try:
        yield window
    finally:
        run(_command(window.socket, "kill-server"), accept=(0, 1))


def _command(socket: Path, *words: str) -> list[str]:
    return [need("tmux", "tmux"), "-S", str(socket), "-f", "/dev/null", *words]
