"""A server process of its own, from an empty folder: `kiosk-server init`, then `serve`."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

REPOSITORY: Final = Path(__file__).parents[1]
PASSPHRASE: Final = "correct horse battery staple"
STATION: Final = "test-desk"
TIMEOUT_S: Final = 60
STOP_TIMEOUT_S: Final = 10

SETTINGS: Final = """\
[server]
organisation = "Tests"
names = ["localhost"]
data-folder = "server"
listen = "127.0.0.1:{listen}"
join-listen = "127.0.0.1:{joining}"
allow-lab = true

[server.key-store]
passphrase = "file:passphrase"

[log]
level = "traffic"
file = "server.log"

"""


def prepare(
    folder: Path, *, ports: tuple[int, int], directory: str, templates: Sequence[str], passcode: str = ""
) -> str:
    """Make key store, database and certificates in `folder`; return a token for a lab station.

    `directory` is the table of the directory for `kiosk.toml`; with a `passcode`, a first start is to be made.
    """
    write_secret(folder / "passphrase", PASSPHRASE)
    listen, joining = ports
    settings = SETTINGS.format(listen=listen, joining=joining)
    (folder / "kiosk.toml").write_text(settings + directory)
    files = []
    for number, text in enumerate(templates):
        path = folder / f"template-{number}.toml"
        path.write_text(text)
        files.append(f"--template={path}")
    argv = [*command(folder), "init", *files, "--station", STATION, "--lab"]
    with (folder / "passcode").open("w+") as file:
        file.write(passcode)
        file.seek(0)
        given = [f"--passcode-fd={file.fileno()}"] if passcode else []
        done = subprocess.run(
            [*argv, *given],
            cwd=REPOSITORY,
            check=False,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            pass_fds=[file.fileno()],
        )
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    return str(made["token"])


def write_secret(path: Path, text: str) -> None:
    """Write a file that is nobody else's."""
    path.write_text(text)
    path.chmod(0o600)


@contextmanager
def serving(folder: Path) -> Iterator[None]:
    """Run `kiosk-server serve` until the block ends; what it complains about is in `server.err`."""
    with (folder / "server.err").open("wb") as complaints:
        process = subprocess.Popen(
            [*command(folder), "serve", "--stop-on-eof"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
        )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            ready = process.stdout.readline()
            assert ready, (folder / "server.err").read_text()
            yield
        finally:
            process.stdin.close()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()


def command(folder: Path) -> list[str]:
    """Return how `kiosk-server` is called on what is in `folder`."""
    return [sys.executable, "-m", "server.cli", f"--config={folder / 'kiosk.toml'}", "--json"]
