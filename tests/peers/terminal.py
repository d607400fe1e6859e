"""Answer a program that asks for a secret on its terminal."""

import os
import pty
import select
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.peers.programs import need

DIALOGUE_TIMEOUT_S: Final = 30


def answer_prompt(argv: Sequence[str | Path], *, prompt: str, answer: str) -> tuple[int, str]:
    """Run a program on a terminal of its own, type `answer` at the first `prompt`, return status and screen.

    At a second prompt the program is ended: it was told something wrong, and every further try might cost one.
    """
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [need("setsid", "util-linux"), "--ctty", "--wait", *[str(word) for word in argv]],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=False,
        )
        os.close(theirs)
        try:
            screen = _converse(ours, prompt.encode(), answer.encode())
        finally:
            process.terminate()
            status = process.wait(DIALOGUE_TIMEOUT_S)
        return status, screen.decode(errors="replace")
    finally:
        os.close(ours)


def _converse(terminal: int, prompt: bytes, answer: bytes) -> bytes:
    """Read until the program ends or asks again."""
    screen, deadline, asked = b"", time.monotonic() + DIALOGUE_TIMEOUT_S, 0
    while time.monotonic() < deadline:
        ready, _, _ = select.select([terminal], [], [], 0.1)
        if not ready:
            continue
        try:
            part = os.read(terminal, 4096)
        except OSError:  # EIO: the other side is closed
            break
        if not part:
            break
        screen += part
        if screen.count(prompt) > asked:
            asked = screen.count(prompt)
            if asked > 1:
                break
            os.write(terminal, answer + b"\n")
    return screen
