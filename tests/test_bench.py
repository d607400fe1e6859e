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
from tests.bench.work import ISSUE, Round, Work, check

ROOT: Final = Path(__file__).parents[1]


@pytest.mark.parametrize(("percent", "expected"), [(1, 1), (50, 5), (95, 10), (99, 10), (100, 10)])
def test_percentiles_are_measured_values(percent: float, expected: float) -> None:
    assert percentile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], percent) == expected


def test_the_floor_is_the_agreed_work() -> None:
    check(ISSUE)
    with pytest.raises(AssertionError):
        check(replace(ISSUE, rounds=(*ISSUE.rounds[:-1], replace(ISSUE.rounds[-1], card_signs=5))))
    with pytest.raises(AssertionError):
        check(replace(ISSUE, last_verifications=3))


async def test_the_floor_runs_over_real_processes() -> None:
    from tests.bench.floor import floor

    async with asyncio.timeout(60):
        figures = await floor(2, 4)
    assert figures.commits_per_card == figures.round_trips_per_card == len(ISSUE.rounds)
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


async def test_unblocking_is_measured_over_real_processes() -> None:
    from tests.bench.unblock import unblock

    async with asyncio.timeout(120):
        found = await unblock(3)
    assert found["cards"] == 3
    assert found["commands"] > found["round_trips"] >= 1
    assert found["commits"] >= 1
    assert all(found[f"{part}_ms_p50"] > 0 for part in ("card", "network", "server", "station")), found
    assert found["ours_ms_p50"] <= found["ours_ms_p95"] < found["total_ms_p95"]
    assert found["ratio_to_floor"] > 1


async def test_the_parts_of_a_visit_leave_no_rest_and_its_floor_says_and_commits_as_much() -> None:
    from tests.bench.floor import floor
    from tests.bench.unblock import Run, Visit

    visit = Visit(seconds=1.0, card=0.25, waited=0.5, round_trips=2, commands=10)
    said = [Round(name="a", down=5, up=6), Round(name="b", down=7, up=8, messages=2)]
    run = Run(visits=[visit, visit], rounds=said, commits=6, server_cpu=0.0)
    bare, floors = run.work(commits=False), run.work(commits=True)
    assert [each.commits for each in floors.rounds] == [2, 1]
    assert [each.commits for each in bare.rounds] == [0, 0]
    assert [replace(each, commits=1) for each in floors.rounds] == said
    async with asyncio.timeout(60):
        network, whole = await floor(1, 2, bare), await floor(1, 2, floors)
    assert (network.commits_per_card, whole.commits_per_card) == (0, 3)
    found = run.figures(network, whole)
    parts = sum(found[f"{part}_ms_p50"] for part in ("network", "server", "station"))
    assert parts == pytest.approx(found["ours_ms_p50"])
    assert found["ours_ms_p50"] + found["card_ms_p50"] == pytest.approx(found["total_ms_p50"])


async def test_a_log_on_is_measured_over_real_processes() -> None:
    from tests.bench.logon import logon

    async with asyncio.timeout(120):
        found = await logon(4)
    assert found["logons"] == 4
    assert found["commands"] >= 6  # select, read, tries, PIN, signature
    assert all(found[f"{part}_ms_p50"] > 0 for part in ("card", "network", "server", "station")), found
    assert found["ours_ms_p50"] <= found["ours_ms_p95"] < found["total_ms_p95"]
    assert 0 < found["authorise_us_p50"] <= found["authorise_us_p95"]
    assert found["ratio_to_floor"] > 1


async def test_the_parts_of_a_log_on_leave_no_rest() -> None:
    from tests.bench.floor import floor
    from tests.bench.logon import Visit, authorise_us, figures

    async with asyncio.timeout(60):
        network = await floor(1, 2, Work(rounds=(Round(name="a", down=5, up=6, commits=0),)))
    found = figures([Visit(seconds=1.0, card=0.25, waited=0.5, commands=9)] * 2, network, authorise_us())
    parts = sum(found[f"{part}_ms_p50"] for part in ("network", "server", "station"))
    assert parts == pytest.approx(found["ours_ms_p50"]) == pytest.approx(750.0)
    assert found["ours_ms_p50"] + found["card_ms_p50"] == pytest.approx(found["total_ms_p50"])


def test_the_first_paint_is_seen_from_outside() -> None:
    from tests.bench.first_paint import first_paint

    found = first_paint(1)
    assert 0 < found["floor_ms_p50"] < found["paint_ms_p50"]
    assert found["ratio_to_floor"] > 1


@pytest.mark.needs_slapd
async def test_connectors_are_measured_beside_bare_requests() -> None:
    from tests.bench.connectors import connectors

    async with asyncio.timeout(60):
        report = await connectors(3)
    assert set(report) == {"http", "ldap", "slow"}
    assert report["http"]["times"] == report["ldap"]["times"] == 3
    assert min(report["http"]["bare_ms_p50"], report["ldap"]["bare_ms_p50"]) > 0
    assert report["slow"]["cards"] == 50
    assert report["slow"]["seconds"] >= report["slow"]["latency_s"]
