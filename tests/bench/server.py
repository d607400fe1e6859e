"""What the server's process of a benchmark says of itself, and what the kernel says of it."""

import os
from pathlib import Path

from kiosk.demo.machine import Machine
from server.rpc.admin import AdminClient


async def commits(machine: Machine) -> int:
    """Ask the server how many durable commits it made."""
    assert machine.folder is not None
    async with AdminClient(machine.folder / "server" / "admin.sock") as client:
        status = await client.status()
    return next(int(check.facts["commits"]) for check in status.checks if check.subject == "store")


def cpu_seconds(machine: Machine) -> float:
    """Return the processor seconds that the server used, user and system ([proc(5)] stat, fields 14 and 15)."""
    fields = Path(f"/proc/{machine.server_pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
