"""A private `/run` for programs whose socket or folder has a fixed place there.

pcscd listens at `/run/pcscd`, sshd insists on `/run/sshd`. In a mount namespace of its own each test worker
has its own, and the machine's real ones are neither met nor touched. Source: unshare(1), mount_namespaces(7).
"""

import os
from collections.abc import Sequence
from pathlib import Path

from tests.peers.programs import need

_SCRIPT = 'mount -t tmpfs none /run && mkdir -m 0755 "/run/$0" && exec "$@"'


def with_private_run(argv: Sequence[str | Path], folder: str) -> list[str | Path]:
    """Return the command that runs `argv` with a `/run` that holds nothing but the empty `folder`.

    The program keeps the process id of the command, so that `run_folder` finds its `/run`.
    """
    unshare = [need("unshare", "util-linux"), "--mount", "--propagation", "private"]
    if os.geteuid():
        unshare.append("--map-root-user")
    return [*unshare, "sh", "-c", _SCRIPT, folder, *argv]


def run_folder(process_id: int) -> Path:
    """Return the `/run` that a process sees, as a path that others can open."""
    return Path(f"/proc/{process_id}/root/run")
