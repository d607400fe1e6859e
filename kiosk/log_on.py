"""`kiosk log-on` and `kiosk log-off`: a session of an operator for the commands that follow."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from kiosk.backend.client import GrpcBackend
from kiosk.backend.self_service import GrpcSelfService
from kiosk.commands import Result, opened, settings_of
from kiosk.devices.ssh_agent import SOCKET_VARIABLE, SshAgent
from kiosk.operate import Given, one_reader
from kiosk.session_file import Bound, KeptSession
from kiosk.station import wording
from kiosk.station.logon import challenge_from
from kiosk.station.operator_agent import choose_key, digest_of, prove_by_agent
from kiosk.station.operator_card import prove_operator, read_operator_card
from kiosk.wiring import open_line
from shared import errors
from shared.clock import SystemClock
from shared.logon import LogonPurpose
from shared.sessions import SessionView


async def log_on(config: Path | None, reader: str, given: Given) -> Result:
    """Log on with the operator's card in `reader`, and keep the session.

    Raises:
        KioskError: as `kiosk.station.logon.Logon.log_on`; a session that there was is over.
    """
    await log_off(config)
    clock = SystemClock()
    async with opened(config) as parts:
        kept, line = KeptSession(settings_of(config).station.state_folder), parts.backend
        card = await read_operator_card(parts.readers, await one_reader(parts, reader))
        proof = await prove_operator(
            parts.readers, card, given.person, lambda: challenge_from(line, LogonPurpose.LOG_ON, clock)
        )
        session = await line.log_on(proof)
        assert line.token.value is not None  # a log-on that succeeded has one
        kept.keep(line.token.value)
    return _result(session)


async def log_on_by_agent(config: Path | None, wanted: str, environment: Mapping[str, str]) -> Result:
    """Log on with a key that the forwarded ssh-agent holds, and keep the session as long as that agent is there.

    `wanted` is the key's fingerprint or comment; it may be empty where only one can be meant.

    Raises:
        KioskError: as `kiosk.station.logon.Logon.log_on_by_agent`; a session that there was is over.
    """
    await log_off(config)
    settings, clock = settings_of(config), SystemClock()
    socket = environment.get(SOCKET_VARIABLE, "")
    agent, line = SshAgent(socket), open_line(settings, SystemClock())
    try:
        key = await choose_key(agent, wanted)
        bound = Bound.to(socket, digest_of(key.public_key))
        proof = await prove_by_agent(
            bound.agent, key, lambda: challenge_from(line, LogonPurpose.LOG_ON, clock)
        )
        session = await line.log_on(proof)
        assert line.token.value is not None  # a log-on that succeeded has one
        KeptSession(settings.station.state_folder).keep(line.token.value, bound)
    finally:
        await line.close()
    return _result(session)


def _result(session: SessionView) -> Result:
    return Result(
        lines=wording.logged_on(session),
        document={
            "ok": True,
            "operator": session.name,
            "operator_id": str(session.operator_id),
            "method": session.method.value,
            "possession_only": session.possession_only,
            "roles": [role.name for role in session.roles],
            "ends_at": session.ends_at.isoformat(),
            "idle_s": int(session.idle.total_seconds()),
            "failed_logons": session.failed_logons,
            "last_logon_at": session.last_logon_at.isoformat() if session.last_logon_at else None,
        },
    )


async def log_off(config: Path | None) -> Result:
    """End the session that is kept; where there is none, nobody is logged on, which is what was wanted."""
    settings = settings_of(config)
    kept = KeptSession(settings.station.state_folder)
    line = open_line(settings, SystemClock())
    try:
        with suppress(errors.ConfigInvalid):  # what cannot be lent is removed all the same
            kept.lend(line.token)
        there = await _end(kept, line)
    finally:
        await line.close()
    return Result(
        lines=[wording.LOGGED_OFF if there else wording.NOBODY], document={"ok": True, "ended": there}
    )


async def _end(kept: KeptSession, line: GrpcBackend) -> bool:
    """End a session that is there, whether or not the server can be told; it ends by itself when nobody uses it."""
    if line.token.value is not None:
        with suppress(errors.KioskError):
            await (GrpcSelfService(line).log_off() if line.token.of_holder else line.log_off())
    return kept.forget()
