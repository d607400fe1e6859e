"""Fixtures of the peer tests; `tests/conftest.py` loads them for every test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.pcscd import PcscReader, PcscService, pcsc_service
from tests.peers.samba import Samba, samba
from tests.peers.slapd import people


@pytest.fixture(scope="session")
def pcsc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PcscService]:
    """Give a PC/SC service with two empty readers; one service for each test worker."""
    with pcsc_service(tmp_path_factory.mktemp("pcsc")) as service:
        yield service


@pytest.fixture
def pcsc_reader(pcsc: PcscService) -> PcscReader:
    """Give an empty reader of the PC/SC service."""
    return pcsc.readers[0]


@pytest.fixture
def short_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder for Unix sockets, whose paths are limited to 107 bytes."""
    return tmp_path_factory.mktemp("s")


@pytest.fixture(scope="session")
def samba_domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samba]:
    """Give an Active Directory domain of 200 people; tests that use it are of the group `samba`, and leave it as it was."""
    with samba(tmp_path_factory.mktemp("samba"), people(200)) as running:
        yield running
