"""The benchmarks count what they say they count."""

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from tests.bench.figures import percentile
from tests.bench.work import ROUNDS, check

ROOT: Final = Path(__file__).parents[1]


@pytest.mark.parametrize(("percent", "expected"), [(1, 1), (50, 5), (95, 10), (99, 10), (100, 10)])
def test_percentiles_are_measured_values(percent: float, expected: float) -> None:
    assert percentile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], percent) == expected


def test_the_floor_is_the_agreed_work() -> None:
    check(ROUNDS)
    with pytest.raises(AssertionError):
        check((*ROUNDS[:-1], replace(ROUNDS[-1], card_signs=5)))


async def test_the_floor_runs_over_real_processes() -> None:
    from tests.bench.floor import floor

    async with asyncio.timeout(60):
        figures = await floor(2, 4)
    assert figures.commits_per_card == figures.round_trips_per_card == len(ROUNDS)
    assert 0 < figures.card_ms_per_card <= figures.station_cpu_ms_per_card
    assert figures.server_cpu_ms_per_card > 0
    assert figures.p50_ms <= figures.p95_ms <= figures.p99_ms


def test_an_unknown_benchmark_is_an_error() -> None:
    command = [sys.executable, "-m", "tests.bench", "nonsense", "--json"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "nonsense" in done.stderr


def test_json_is_one_line() -> None:
    command = [sys.executable, "-m", "tests.bench", "floor", "--cards", "2", "--json"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert len(done.stdout.splitlines()) == 1
    assert set(json.loads(done.stdout)) == {"readers_1", "readers_8"}
