"""A virtual card's memory as a file, so that the card survives the process."""

import contextlib
import os
from pathlib import Path

from shared import errors
from shared.virtual.memory import Memory


class ImageFile:
    """One card's image. It holds keys and PINs in clear: readable by its owner alone."""

    def __init__(self, path: Path) -> None:
        """Name the file; nothing is read or written yet."""
        self.path = path

    def load(self) -> Memory | None:
        """Return the card's memory, or None where there is no file yet.

        Raises:
            CardMalformed: the file is damaged, or no image.
            ReaderFailed: it cannot be read.
        """
        try:
            return Memory.from_bytes(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as failed:
            raise errors.ReaderFailed(reader=str(self.path), reason=failed.strerror or "") from failed

    def save(self, memory: Memory) -> None:
        """Write the memory beside the file, make it durable, and put it in the file's place.

        Raises:
            ReaderFailed: the folder or the disk does not allow it.
        """
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb") as file:  # noqa: PTH123  # a descriptor with its mode, not a path
                file.write(memory.to_bytes())
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path)
            _make_durable(self.path.parent)
        except OSError as failed:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise errors.ReaderFailed(reader=str(self.path), reason=failed.strerror or "") from failed


def _make_durable(folder: Path) -> None:
    """Make a renaming in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
