"""Hardening lasts for a process's life, so it is tried in another one."""

import ctypes
import os
import resource
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest

from shared.process import harden


def test_a_hardened_process_is_closed() -> None:
    program = textwrap.dedent(
        """
        import ctypes, os, resource
        from shared.process import harden
        harden()
        mask = os.umask(0)
        print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), oct(mask))
        """
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "(0, 0) 0 0o77\n"


def test_a_refusal_of_the_system_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[object, ...]] = []
    monkeypatch.setattr(os, "umask", lambda mask: said.append((mask,)))
    monkeypatch.setattr(resource, "setrlimit", lambda *limit: said.append(limit))
    refusing = SimpleNamespace(prctl=lambda *_numbers: -1)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_name, **_options: refusing)
    monkeypatch.setattr(ctypes, "get_errno", lambda: 1)
    with pytest.raises(PermissionError):
        harden()
    assert said == [(0o077,), (resource.RLIMIT_CORE, (0, 0))]
