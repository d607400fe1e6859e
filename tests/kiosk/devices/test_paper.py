"""Printing through `lp`: what is printed goes in by standard input, and nowhere else."""

import os
from pathlib import Path

import pytest

from kiosk.devices.paper import LpPaper
from kiosk.ports import Printer
from shared.secret import Secret

CODE = b"1234 5678"


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A print service with a default printer; it keeps what it is given."""
    program(tmp_path, "lpstat", 'echo "system default destination: office"')
    program(tmp_path, "lp", f'echo "$@" > {tmp_path}/argv; env > {tmp_path}/env; cat > {tmp_path}/page')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path


async def test_it_goes_in_by_standard_input_alone(service: Path) -> None:
    paper, text = LpPaper(), Secret(CODE)
    assert await paper.look() == Printer(name="office")
    assert await paper.put("office", text) == ""
    assert (service / "page").read_bytes() == CODE
    assert (service / "argv").read_text().split() == ["-d", "office", "-t", "Unblock", "code", "--", "-"]
    assert CODE not in (service / "env").read_bytes()
    assert not text.wiped


async def test_a_print_that_is_refused_is_said(service: Path) -> None:
    program(service, "lp", "exit 1")
    assert await LpPaper().put("office", Secret(CODE)) == "the print service did not take it"


async def test_no_default_printer(service: Path) -> None:
    program(service, "lpstat", 'echo "no system default destination"')
    assert await LpPaper().look() == Printer(why="the print service has no default printer")


async def test_no_print_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    seen = await LpPaper().look()
    assert not seen.name
    assert "not installed" in seen.why
