"""`connectors`: what our clients of outside systems add to the bare request, and whether a slow authority makes people wait in line.

`http` and `ldap` ask the same server the same thing, by turns through our connector and by the library alone: the same TLS, the
same kept connection, logged on.

`slow` issues cards side by side through a certificate authority that takes two seconds for each answer: real operations, a
real connector over TLS, virtual cards, all in one process. One after the other they would take `in_line_s`.
"""

import asyncio
import os
import ssl
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, Final
from uuid import uuid4

import aiohttp
import ldap3
from aiohttp import web

from kiosk.devices.virtual.reader import VirtualReaders
from kiosk.station.core import StationCore
from kiosk.station.faces import Job
from server.connectors.directory.ldap import LdapDirectory, VerifiedTls
from server.operations.services import Services
from shared.credential.model import StationId
from shared.piv.ids import ProfileName
from shared.relay import OperationKind
from shared.virtual.card import VirtualCard
from tests.bench.figures import percentile
from tests.contract.ca import ejbca, est
from tests.contract.ca.bench import connect
from tests.peers.slapd import PEOPLE_BASE, people, slapd
from tests.scenario.lab import BOB, DirectBackend, Holder, Lab, Notes

LATENCY_S: Final = 2.0
STATIONS: Final = 2
READERS: Final = 25
"""At each station; one more card is issued alone before."""
WARM_UPS: Final = 10
SEARCH: Final = "Anna"
LIMIT: Final = 10

TEMPLATE: Final = """\
name = "slow"
title = "Slow"
directory = "people"

[[certificate]]
slot = "9A"
algorithm = "P-256"
ca = "slow"
profile = "Person/ENDUSER"
subject = "CN=${user.name},O=Example"
upn = "${user.upn}"
"""


async def connectors(times: int) -> Mapping[str, Any]:
    """Measure all three."""
    with tempfile.TemporaryDirectory() as folder:
        return {
            "http": await _http(Path(folder), times),
            "ldap": await _ldap(Path(folder) / "slapd", times),
            "slow": await _slow(Path(folder)),
        }


async def _by_turns(
    times: int, ours: Callable[[], Awaitable[object]], bare: Callable[[], Awaitable[object]]
) -> dict[str, float]:
    """Run both by turns, so that whatever else the machine does meets both."""
    took: dict[str, list[float]] = {"ours": [], "bare": []}
    for turn in range(WARM_UPS + times):
        for name, act in (("ours", ours), ("bare", bare)):
            begun = time.perf_counter()
            await act()
            if turn >= WARM_UPS:
                took[name].append((time.perf_counter() - begun) * 1000)
    ours_ms, bare_ms = median(took["ours"]), median(took["bare"])
    return {
        "times": times,
        "ours_ms_p50": round(ours_ms, 3),
        "ours_ms_p95": round(percentile(took["ours"], 95), 3),
        "bare_ms_p50": round(bare_ms, 3),
        "bare_ms_p95": round(percentile(took["bare"], 95), 3),
        "overhead_ms_p50": round(ours_ms - bare_ms, 3),
        "ratio_to_floor": round(ours_ms / bare_ms, 2),
    }


async def _http(folder: Path, times: int) -> dict[str, float]:
    """Fetch issuers over one kept TLS connection."""
    double = est.Est(folder)
    await double.start()
    authority = connect(est.Est.KIND, est.values(double))
    context = ssl.create_default_context(cadata=double.roots)
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as http:

            async def bare() -> bytes:
                async with http.get(f"{double.url}{est.BASE}/cacerts") as answer:
                    return await answer.read()

            return await _by_turns(times, lambda: authority.http.call("GET", "cacerts"), bare)
    finally:
        await authority.close()
        await double.stop()


async def _ldap(folder: Path, times: int) -> dict[str, float]:
    """Search for people over LDAPS."""
    with slapd(folder, people(200)) as server:
        settings = server.settings()
        directory = LdapDirectory(settings, server.password)
        tls = VerifiedTls(validate=ssl.CERT_REQUIRED, ca_certs_file=str(settings.ca_file))

        connection: Any = ldap3.Connection(
            ldap3.Server(settings.host, settings.port, use_ssl=True, tls=tls, get_info=ldap3.NONE),
            settings.bind_dn,
            server.password.reveal().decode(),
            auto_bind=ldap3.AUTO_BIND_NO_TLS,
            auto_referrals=False,
        )
        wanted = f"(&(objectClass=inetOrgPerson)(|(cn=*{SEARCH}*)(uid={SEARCH}*)(mail={SEARCH}*)))"

        def search() -> int:
            connection.search(PEOPLE_BASE, wanted, attributes=["*"], size_limit=LIMIT)
            return len(connection.response)

        try:
            return await _by_turns(
                times, lambda: directory.search(SEARCH, LIMIT), lambda: asyncio.to_thread(search)
            )
        finally:
            connection.unbind()
            await directory.close()


class Slow(ejbca.Ejbca):
    """It thinks before it answers."""

    async def enrol(self, request: web.Request) -> web.Response:
        await asyncio.sleep(LATENCY_S)
        return await super().enrol(request)


async def _slow(folder: Path) -> dict[str, float]:
    """Issue cards side by side."""
    double = Slow(folder)
    await double.start()
    bench = ejbca.bench(double)
    authority = bench.build()

    def adapt(services: Services) -> Services:
        return replace(services, authorities={**services.authorities, "slow": authority})

    lab = await Lab.start(template=TEMPLATE, adapt=adapt)
    try:
        async with AsyncExitStack() as stack:
            desks = [await _desk(stack, lab, number) for number in range(STATIONS)]

            async def issue(station: StationCore, reader: str) -> float:
                begun = time.perf_counter()
                job = Job(
                    operation=OperationKind.ISSUE, reader=reader, holder=str(BOB.holder), template="slow"
                )
                outcome = await station.perform(job, Holder(), Notes())
                assert (outcome.error, outcome.state) == (None, "issued"), outcome
                return time.perf_counter() - begun

            places = [(station, reader) for station, readers in desks for reader in readers]
            alone = await issue(*places[0])
            begun = time.perf_counter()
            took = await asyncio.gather(*(issue(*place) for place in places[1:]))
            seconds = time.perf_counter() - begun
    finally:
        await lab.close()
        await authority.close()
        await double.stop()
    together = len(took)
    return {
        "cards": together,
        "latency_s": LATENCY_S,
        "seconds": round(seconds, 2),
        "one_alone_s": round(alone, 2),
        "card_p95_s": round(percentile(took, 95), 2),
        "in_line_s": round(together * alone, 1),
        "ratio_to_floor": round(seconds / LATENCY_S, 2),
    }


async def _desk(stack: AsyncExitStack, lab: Lab, number: int) -> tuple[StationCore, Sequence[str]]:
    """Open a station with a card in each of its readers."""
    names = [f"Reader {place}" for place in range(READERS if number else READERS + 1)]
    readers = VirtualReaders(names)
    stack.push_async_callback(readers.close)
    caller = replace(lab.backend._caller, station_id=StationId(uuid4()))
    backend = DirectBackend(lab.engine, lab.backend._console, caller)
    station = await stack.enter_async_context(StationCore(readers, backend))
    for place, name in enumerate(names):
        serial = 5000 + 100 * number + place
        readers.add_card(name, VirtualCard.new(ProfileName.YUBIKEY_5_7, serial=serial, random=os.urandom))
        await readers.insert(name, name)
    await asyncio.gather(*(station.refresh(name) for name in names))
    return station, names
