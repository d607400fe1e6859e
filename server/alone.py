"""One server to a data folder.

Two would hand out leases, numbers and answers without knowing of each other; SQLite alone would let them.
"""

import fcntl
import os
from pathlib import Path
from typing import Final

from shared import errors

LOCK: Final = "server.lock"


def hold(folder: Path) -> int:
    """Take the data folder for this process until it ends, however it ends; return the lock's descriptor.

    Raises:
        StoreUnavailable: another server has it, or the folder cannot be written.
    """
    path = folder / LOCK
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as cause:
        raise errors.StoreUnavailable(why=f"{path}: {cause.strerror}") from cause
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as cause:
        os.close(descriptor)
        raise errors.StoreUnavailable(why=f"another server uses {folder}") from cause
    return descriptor
