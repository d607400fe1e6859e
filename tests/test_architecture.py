"""What the layout promises: imports, places, sizes, and what loads only when it is needed."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("kiosk", "server", "shared")

TOP_LEVEL: Final = {
    *("kiosk", "server", "shared", "tests", "docs"),
    *("pyproject.toml", "kiosk.toml", "README.md", "LICENSE", "CHANGELOG.md"),
}
LONGEST_FILE: Final = 400
LONGEST_TEST: Final = 600
"""A suite that every implementation passes is one subject, however long the list."""
LONGER_FOR_A_REASON: Final = {
    "shared/errors.py": "the one table of all errors",
}
CATCHES_EVERYTHING: Final = {
    "server/rpc/interceptors.py": "the border of the server's process",
    "server/rpc/operations.py": "the same border, inside a stream that began well",
    "server/operations/engine.py": "an operation that failed must be recorded",
    "server/jobs/runner.py": "a job that failed must be recorded, and must not end the others",
    "kiosk/tui/app.py": "a fault must not show its variables on a station's screen",
    "kiosk/cli.py": "the last line of the command line",
    "server/cli.py": "the last line of the command line",
}


def _tracked(*patterns: str) -> list[str]:
    """Return the repository's own files, as git sees them, also those not committed yet."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def _hand_written() -> list[str]:
    return [name for name in _tracked("*.py") if not re.search(r"_pb2(_grpc)?\.py$", name)]


def _trees(*packages: str) -> Iterator[tuple[str, ast.Module]]:
    for name in _hand_written():
        if name.split("/")[0] in packages:
            yield name, ast.parse((ROOT / name).read_text(), name)


def test_imports_go_one_way() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([tool, "--no-cache"], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_top_level_is_the_designs() -> None:
    top = {name.split("/")[0] for name in _tracked()}
    assert {name for name in top if not name.startswith(".")} == TOP_LEVEL


def test_a_file_has_one_subject() -> None:
    lengths = {name: len((ROOT / name).read_text().splitlines()) for name in _hand_written()}
    too_long = {
        name: length
        for name, length in lengths.items()
        if length > (LONGEST_TEST if name.startswith("tests/") else LONGEST_FILE)
    }
    assert too_long.keys() <= LONGER_FOR_A_REASON.keys(), too_long


def test_exceptions_for_length_are_still_needed() -> None:
    for name in LONGER_FOR_A_REASON:
        assert len((ROOT / name).read_text().splitlines()) > LONGEST_FILE, name


def test_nothing_is_left_for_later() -> None:
    words = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|NotImplemented" + r"Error)\b")
    left = [
        f"{name}:{number}: {line.strip()}"
        for name in _hand_written()
        for number, line in enumerate((ROOT / name).read_text().splitlines(), 1)
        if words.search(line)
    ]
    assert not left, "\n".join(left)


def test_every_module_says_what_it_is() -> None:
    silent = [name for name, tree in _trees(*PACKAGES) if not ast.get_docstring(tree)]
    assert not silent


def test_only_four_borders_catch_everything() -> None:
    found = set()
    for name, tree in _trees(*PACKAGES):
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
                if any(kind is None or ast.unparse(kind) == "Exception" for kind in kinds):
                    found.add(name)
    assert found <= CATCHES_EVERYTHING.keys()


@pytest.mark.parametrize("module", ["kiosk.cli", "server.cli"])
def test_help_loads_nothing_heavy(module: str) -> None:
    heavy = (
        "textual",
        "smartcard",
        "grpc",
        "google.protobuf",
        "sqlalchemy",
        "alembic",
        "ldap3",
        "PIL",
        "pkcs11",
    )
    program = (
        "import sys, contextlib, io\n"
        f"from {module} import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    sys.argv = ['program', '--help']\n"
        "    main()\n"
        f"print(*(name for name in {heavy!r} if name in sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


@pytest.mark.parametrize("name", [".constraints.txt", ".constraints-ca.txt", ".constraints-peers.txt"])
def test_pins_are_exact_and_name_no_place(name: str) -> None:
    pin = re.compile(r'[A-Za-z0-9._-]+==[A-Za-z0-9.]+(; python_version < "3\.\d+")?')
    lines = [line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]
    assert lines
    assert [line for line in lines if not pin.fullmatch(line)] == []
    assert lines == sorted(lines, key=str.casefold)


def test_the_pins_are_what_is_needed_and_what_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(each for extra in extras.values() for each in extra)]
    lines = [line for line in (ROOT / ".constraints.txt").read_text().splitlines() if "==" in line]
    pins = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    needed = _closure(wanted)
    assert pins.keys() == needed
    assert {name: metadata.version(name) for name in needed} == pins


def _closure(wanted: list[str]) -> set[str]:
    """Return the names of these requirements and of all that they require here, in turn."""
    needed: set[str] = set()
    waiting = [Requirement(each) for each in wanted]
    seen: set[str] = set()
    while waiting:
        each = waiting.pop()
        if str(each) in seen:
            continue
        seen.add(str(each))
        needed.add(canonicalize_name(each.name))
        for text in metadata.requires(each.name) or []:
            below = Requirement(text)
            if below.marker is None or any(below.marker.evaluate({"extra": of}) for of in {"", *each.extras}):
                waiting.append(below)
    return needed
