"""What a process does to itself before it touches a secret.

Best effort, and documented as such: an administrator of the machine reads any process's memory.
"""

import ctypes
import os
import resource
from typing import Final

_PR_SET_DUMPABLE: Final = 4
"""Source: [prctl(2)]; the number is part of Linux's ABI (include/uapi/linux/prctl.h)."""


def harden() -> None:
    """Leave no core dump, let no other process of this user look in, and make new files private.

    Not dumpable also means that `ptrace` and `/proc/PID/mem` are closed to other processes of the same user.

    Raises:
        OSError: the system refused.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
