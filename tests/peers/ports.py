"""Free TCP ports on loopback."""

import socket
from contextlib import ExitStack


def free_ports(count: int = 1) -> int:
    """Return the first of `count` consecutive ports that nobody listens on now."""
    while True:
        with ExitStack() as held:
            first = _bind(held, 0)
            try:
                for offset in range(1, count):
                    _bind(held, first + offset)
            except (OSError, OverflowError):
                continue
            return first


def accepts(port: int) -> bool:
    """Whether somebody listens on loopback at `port`."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _bind(held: ExitStack, port: int) -> int:
    # on all addresses: vpcd binds there too
    listener = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    listener.bind(("", port))
    bound: int = listener.getsockname()[1]
    return bound
