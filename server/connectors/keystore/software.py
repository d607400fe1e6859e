"""The software key store: one encrypted file, opened with a passphrase.

A file is replaced as a whole (written beside it, synced, renamed); a cut leaves the old one or the new one.
Processes that share a file take turns through a lock on its directory.
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from server.connectors.keystore.content import Content
from server.connectors.keystore.envelope import DEFAULT_COST, Cost, Envelope, Unlocked, lock, unlock
from server.connectors.keystore.ring import KeyRing, fresh_content
from shared import errors
from shared.clock import Clock
from shared.secret import Secret


class SoftwareKeyStore(KeyRing):
    """Hold issuer keys in an encrypted file; made by `create`, opened by `open`."""

    def __init__(self, path: Path, unlocked: Unlocked, content: Content, clock: Clock) -> None:
        """Take an opened file; `create` and `open` do this."""
        super().__init__(content, clock)
        self._path = path
        self._unlocked = unlocked

    @classmethod
    def create(
        cls, path: Path, passphrase: Secret, *, clock: Clock, cost: Cost = DEFAULT_COST
    ) -> "SoftwareKeyStore":
        """Make a new file with a master key of generation 1. Blocks for the time that `cost` asks for.

        Raises:
            Invalid: the passphrase is empty.
            StoreConflict: there is a file already; it is left alone.
            StoreUnavailable: the file cannot be written.
        """
        _refuse_empty(passphrase)
        unlocked, content = unlock(passphrase, cost=cost), fresh_content(clock)
        with _store_errors(path), _turn(path):
            _write(path, lock(bytes(content), unlocked), replace=False)
        return cls(path, unlocked, content, clock)

    @classmethod
    def open(cls, path: Path, passphrase: Secret, *, clock: Clock) -> "SoftwareKeyStore":
        """Open a file. Blocks for the time that the file's cost asks for.

        Raises:
            ConfigMissing: there is no file.
            KeyStoreDamaged: the file is not a key store of this version, cut short, or altered.
            PassphraseRejected: wrong passphrase.
            StoreUnavailable: the file cannot be read.
        """
        with _store_errors(path):
            envelope = Envelope.from_bytes(path.read_bytes())
        if passphrase.wiped:
            raise errors.PassphraseRejected
        unlocked = unlock(passphrase, salt=envelope.salt, cost=envelope.cost)
        return cls(path, unlocked, Content.from_bytes(envelope.decrypt(unlocked)), clock)

    async def change_passphrase(self, passphrase: Secret, *, cost: Cost = DEFAULT_COST) -> None:
        """Encrypt the file under a new passphrase; the keys inside stay.

        Raises:
            Invalid: the passphrase is empty.
            StoreConflict: another process changed the passphrase first.
        """
        _refuse_empty(passphrase)
        async with self._changing:
            unlocked = await self._in_thread(lambda: unlock(passphrase, cost=cost))
            self._adopt(await self._in_thread(lambda: self._rewrite(lambda content: content, unlocked)))

    async def _change(self, change: Callable[[Content], Content]) -> None:
        self._adopt(await self._in_thread(lambda: self._rewrite(change, self._unlocked)))

    def _rewrite(self, change: Callable[[Content], Content], unlocked: Unlocked) -> Content:
        """Read, change and write while no other process does; return what is in the file now."""
        with _store_errors(self._path), _turn(self._path):
            envelope = Envelope.from_bytes(self._path.read_bytes())
            if envelope.salt != self._unlocked.salt:
                raise errors.StoreConflict(what="key store")
            content = change(Content.from_bytes(envelope.decrypt(self._unlocked)))
            _write(self._path, lock(bytes(content), unlocked), replace=True)
            self._unlocked = unlocked  # here, where no cancellation can come between
        return content


def _refuse_empty(passphrase: Secret) -> None:
    if passphrase.wiped:
        raise errors.Invalid(field="passphrase", why="empty")


@contextlib.contextmanager
def _store_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as cause:
        raise errors.ConfigMissing(file=str(path)) from cause
    except FileExistsError as cause:
        raise errors.StoreConflict(what=str(path)) from cause
    except OSError as cause:
        raise errors.StoreUnavailable(why=f"{path}: {cause.strerror}") from cause


@contextlib.contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Keep other processes out; the lock is on the directory, so that the file can be replaced under it."""
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _write(path: Path, data: bytes, *, replace: bool) -> None:
    """Put `data` under `path`, wholly and durably, readable for its owner alone."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            beside.replace(path)
        else:
            os.link(beside, path)  # unlike a rename, refuses to replace
    finally:
        beside.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
