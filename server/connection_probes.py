"""What `kiosk-server doctor` tries of every connection, as they are when it is asked."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from server.authority.admin import Probe
from server.authority.connection_views import credential_ends
from server.ports.connection import CanTest, Port, Verdict
from server.ports.directory import Directory
from server.ports.line import Circuit
from server.switchboard import Linked, Switchboard
from shared import errors
from shared.clock import Clock
from shared.errors import Fact

SOON: Final = timedelta(days=30)
"""A credential of ours that ends sooner is a problem; until then it is only told."""


def connection_probes(switchboard: Switchboard, clock: Clock) -> Mapping[str, Probe]:
    """Return the probes by subject, `PORT:NAME`; the built-in authority has one of its own."""
    return {
        f"{linked.kind.port}:{linked.name}": _probe(linked, clock)
        for linked in switchboard.linked
        if linked.kind.port is Port.DIRECTORY or linked.kind.fields
    }


def _probe(linked: Linked, clock: Clock) -> Probe:
    """Try one connection.

    Raises:
        KioskError: it could not be built.
        ConnectorUnreachable, ConnectorRefused: it is let alone for a while, or something of its test fails.
        CredentialEnds: the credential that it knows us by ends soon.
    """

    async def probe() -> dict[str, Fact]:
        if linked.problem is not None:
            raise linked.problem
        state = linked.line.state if linked.line else None
        if state is not None and state.circuit is Circuit.OPEN:
            raise errors.ConnectorUnreachable(connection=linked.name, reason=state.reason)
        facts = await _tried(linked)
        until = await credential_ends(linked)
        if until is not None:
            left = until - clock.now()
            if left <= SOON:
                raise errors.CredentialEnds(
                    connection=linked.name, until=until.date().isoformat(), days=max(0, left.days)
                )
            facts["credential-until"] = until.date().isoformat()
        return facts

    return probe


async def _tried(linked: Linked) -> dict[str, Fact]:
    """Ask a directory for anybody; have a certificate authority tested."""
    if linked.kind.port is Port.DIRECTORY:
        directory: Directory = linked.connector  # type: ignore[assignment]  # that is what this port builds
        return {"answers": len(await directory.search("", 1))}
    if not isinstance(linked.connector, CanTest):
        return {}
    findings = await linked.connector.test()
    for finding in findings:
        if finding.verdict is Verdict.FAILS:
            reason = f"{finding.aspect}: {finding.detail}"
            raise errors.ConnectorRefused(connection=linked.name, reason=reason)
    return {"works": ", ".join(each.aspect.value for each in findings if each.verdict is Verdict.WORKS)}
