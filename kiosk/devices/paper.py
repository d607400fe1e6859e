"""Print a few lines on paper, through the system's own print service.

What is printed goes to `lp` by standard input: never into its arguments, the environment, or a file of ours. What the print service
and the printer keep of it is theirs, and whoever is asked to print is told so.

Source: lp(1), lpstat(1) of CUPS.
"""

import asyncio
import os
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress
from typing import Final

from kiosk.ports import Printer
from shared.secret import Secret

LP: Final = "lp"
LPSTAT: Final = "lpstat"
DESTINATION: Final = "system default destination:"
ANSWERS_WITHIN_S: Final = 10.0
TITLE: Final = "Unblock code"


class LpPaper:
    """The system's default printer, by CUPS."""

    async def look(self) -> Printer:
        """Return the printer that would be used, or why there is none."""
        if shutil.which(LP) is None or shutil.which(LPSTAT) is None:
            return Printer(why="the print service (cups-client) is not installed here")
        said = await _run(LPSTAT, "-d")
        name = next(
            (line.removeprefix(DESTINATION).strip() for line in _lines(said) if DESTINATION in line), ""
        )
        return Printer(name=name) if name else Printer(why="the print service has no default printer")

    async def put(self, printer: str, text: Secret) -> str:
        """Print a text; return why it was not taken, or nothing."""
        said = await _run(LP, "-d", printer, "-t", TITLE, "--", "-", given=text)
        return "" if said is not None else "the print service did not take it"


async def _run(*words: str, given: Secret | None = None) -> bytes | None:
    """Run a program with `given` as its standard input; return what it printed, None where it failed or hung."""
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=PIPE if given is not None else DEVNULL,
            stdout=PIPE,
            stderr=DEVNULL,
            env={**os.environ, "LC_ALL": "C"},
        )
    except OSError:
        return None
    try:
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            said, _ = await process.communicate(given.reveal() if given is not None else None)
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return said if process.returncode == 0 else None


def _lines(said: bytes | None) -> list[str]:
    return [] if said is None else said.decode(errors="replace").splitlines()
