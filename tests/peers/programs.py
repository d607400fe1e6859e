"""Find, run, start and end programs that are not ours.

A program that is not installed fails the test with the name of its package: a proof that is skipped in silence
rots. Everything here is ended by its own process id, never by name.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

PROGRAM_TIMEOUT_S: Final = 60
START_TIMEOUT_S: Final = 10
STOP_TIMEOUT_S: Final = 10
POLL_S: Final = 0.02

REPOSITORY: Final = Path(__file__).parents[2]
SYSTEM_FOLDERS: Final = os.pathsep.join(("/usr/sbin", "/usr/bin", "/sbin", "/bin"))


def need(program: str, package: str) -> str:
    """Return the absolute path of `program`, or fail and say which Debian package has it."""
    path = shutil.which(program) or shutil.which(program, path=SYSTEM_FOLDERS)
    if path is None:
        pytest.fail(f"{program} is not installed: apt-get install {package}", pytrace=False)
    return path


def need_file(pattern: str, package: str) -> Path:
    """Return the file below `/usr/lib` that matches `pattern`, or fail and say which Debian package has it."""
    found = next(iter(sorted(Path("/usr/lib").glob(pattern))), None)
    if found is None:
        pytest.fail(f"no {pattern} below /usr/lib: apt-get install {package}", pytrace=False)
    return found


def run(
    argv: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    accept: Sequence[int] = (0,),
    folder: Path | None = None,
) -> str:
    """Run a program to its end and return what it printed, both streams; an exit status not accepted fails."""
    done = subprocess.run(
        [str(word) for word in argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=None if environment is None else dict(environment),
        cwd=folder,
        timeout=PROGRAM_TIMEOUT_S,
        check=False,
        text=True,
        errors="replace",
    )
    assert done.returncode in accept, f"{Path(argv[0]).name} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def wait_until(ready: Callable[[], bool], what: str, *, timeout_s: float = START_TIMEOUT_S) -> None:
    """Poll `ready`; fail with `what` when it takes too long."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s} s"
        time.sleep(POLL_S)


@contextmanager
def running(argv: Sequence[str | Path], *, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program that stays, and end it: SIGTERM, then SIGKILL."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(word) for word in argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT_S)


def alive(process: "subprocess.Popen[bytes]", log: Path) -> bool:
    """Whether a program still runs; one that ended fails the test with the end of its log."""
    if process.poll() is None:
        return True
    tail = log.read_text(errors="replace")[-2000:]
    pytest.fail(f"{process.args!r} ended with {process.returncode}:\n{tail}", pytrace=False)
