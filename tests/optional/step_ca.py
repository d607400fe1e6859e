"""`python -m tests.optional.step_ca [--keep FOLDER]`: the suite of certificate authorities against a real step-ca.

Builds step-ca from Debian's library of it (about 1 GB with everything that it needs), starts it on loopback, and runs what
needs no switches of a double. It installs nothing: what is missing, it says, and exits with 2.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import click

from tests.contract.ca import real_step_ca

LIBRARIES: Final = Path("/usr/share/gocode")
"""Where Debian puts the sources of Go libraries."""
PACKAGES: Final = {
    "golang-go": lambda: shutil.which("go") is not None,
    "gcc": lambda: shutil.which("gcc") is not None,
    "libc6-dev": lambda: Path("/usr/include/stdlib.h").exists(),
    "golang-github-smallstep-certificates-dev": (LIBRARIES / "src/github.com/smallstep/certificates").exists,
}
SUITES: Final = ("tests/contract/test_ca_outside.py", "tests/contract/test_ca_step_ca.py")
MISSING: Final = 2


@click.command()
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Build in this folder and leave it: the next build is quicker.",
)
def main(keep: Path | None) -> None:
    """Build a real step-ca, start it, and run the suite of certificate authorities against it."""
    missing = [name for name, is_there in PACKAGES.items() if not is_there()]
    if missing:
        click.echo(f"These Debian packages are missing: {' '.join(missing)}", err=True)
        sys.exit(MISSING)
    with tempfile.TemporaryDirectory(prefix="step-ca-") as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        program = build(folder.resolve())
        suite = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-k",
            "real_step_ca",
            *SUITES,
        ]
        done = subprocess.run(suite, env={**os.environ, real_step_ca.PROGRAM: str(program)}, check=False)
    sys.exit(done.returncode)


def build(folder: Path) -> Path:
    """Build the program, and return where it is."""
    program = folder / "step-ca"
    source = Path(real_step_ca.__file__).with_suffix(".go")
    how = {"GO111MODULE": "off", "GOPATH": str(LIBRARIES), "GOCACHE": str(folder / "cache")}
    click.echo("building step-ca …", err=True)
    subprocess.run(
        ["go", "build", "-o", str(program), str(source)], env={**os.environ, **how}, cwd=folder, check=True
    )
    return program


if __name__ == "__main__":
    main()
