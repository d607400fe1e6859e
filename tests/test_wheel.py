"""What is installed is whole: the wheel, outside the checkout, issues cards."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
TIMEOUT_S: Final = 300


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as a user's pip would, from the files that git knows."""
    folder = tmp_path_factory.mktemp("wheel")
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        folder,
        ROOT,
    ]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT_S)
    return next(folder.glob("issuance_kiosk-*.whl"))


def test_it_holds_everything_but_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    packaged = {name for name in names if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in packaged} == {"kiosk", "server", "shared"}
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    listed = subprocess.run(
        ["git", "ls-files", "kiosk", "server", "shared"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert set(listed.stdout.split()) - packaged == set()


def test_it_issues_cards_far_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    install: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        site,
        wheel,
    ]
    subprocess.run(install, check=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT_S)
    command = [
        sys.executable,
        "-m",
        "kiosk.cli",
        "demo",
        "--headless",
        "--cards",
        "3",
        "--readers",
        "2",
        "--json",
    ]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["issued"], summary["failed"]) == (3, 0)
    where = [
        sys.executable,
        "-c",
        "import kiosk, server, shared; print(kiosk.__path__, server.__path__, shared.__path__)",
    ]
    place = subprocess.run(
        where,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert str(ROOT) not in place.stdout
