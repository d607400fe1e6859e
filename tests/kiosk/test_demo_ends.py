"""The demo leaves nothing behind, however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HEADLESS = [sys.executable, "-m", "kiosk.cli", "demo", "--headless", "--cards=100000", "--readers=1"]
START_S = 60.0
END_S = 90.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda each: each.name)
def test_a_signal_ends_it_and_nothing_is_left(short_folder: Path, number: signal.Signals) -> None:
    environment = {**os.environ, "TMPDIR": str(short_folder)}
    # a process group of its own: the signal is for the demo alone, as from a closed window
    with subprocess.Popen(HEADLESS, env=environment, stderr=subprocess.PIPE, process_group=0) as demo:
        try:
            deadline = time.monotonic() + START_S
            while not any(short_folder.glob("kiosk-demo-*/station/identity.pem")):
                assert time.monotonic() < deadline, "it did not start"
                assert demo.poll() is None
                time.sleep(0.05)
            demo.send_signal(number)
            _, said = demo.communicate(timeout=END_S)
        finally:
            demo.kill()
    assert demo.returncode == 1
    assert said.decode().splitlines()[-1] == "interrupted"
    assert list(short_folder.iterdir()) == []
