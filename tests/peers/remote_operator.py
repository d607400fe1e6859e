"""What runs on the far side of a log-in by SSH: it has texts signed by whoever is behind the forwarded agent.

Reads lines of two words in hexadecimal, a public key and a text; writes for each the signature, or the code of the error. Then
it stays until the agent is gone, and writes a file that says so.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

from kiosk.devices.ssh_agent import SshAgent
from shared.errors import KioskError
from shared.logon import read_logon_text

LONGEST_S: Final = 30.0
"""It ends, whatever happens."""
GONE: Final = "gone"


async def main(folder: Path) -> None:
    """Sign what is asked for on standard input."""
    agent = SshAgent.forwarded(os.environ)
    async with asyncio.timeout(LONGEST_S):
        gone = asyncio.create_task(agent.gone())
        while line := await asyncio.to_thread(sys.stdin.readline):
            public_key, text = map(bytes.fromhex, line.split())
            try:
                answer = (await agent.sign(public_key, read_logon_text(text))).hex()
            except KioskError as error:
                answer = error.code
            sys.stdout.write(f"{answer}\n")
            sys.stdout.flush()
        await gone
    (folder / GONE).touch()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
