"""A server for every test of the wire."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.server.rpc.world import World, running


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    async with running() as world:
        yield world
