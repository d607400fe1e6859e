"""`kiosk log-on --holder`: a session of a holder, for their own card and the commands that follow."""

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from kiosk.backend.self_service import GrpcSelfService
from kiosk.codes import take_code
from kiosk.commands import Result, opened, settings_of
from kiosk.log_on import log_off
from kiosk.operate import Given, one_reader
from kiosk.session_file import KeptSession
from kiosk.station import wording
from kiosk.station.operator_card import prove_operator, read_operator_card
from kiosk.station.persons import read_masked
from kiosk.wiring import Parts, open_line
from shared import errors
from shared.clock import Clock, SystemClock
from shared.logon import LogonPurpose, LogonText, check_logon_text
from shared.piv.chuid import Chuid
from shared.secret import Secret
from shared.self_service import CardShown, CodeGiven, HolderView, PasswordGiven

PASSWORD_MAX = 256
"""Characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ByPassword:
    """The log-on name, and where the directory's password comes from; None asks at the terminal."""

    name: str
    password_fd: int | None = None


async def log_on_by_password(config: Path | None, given: ByPassword) -> Result:
    """Log a holder on with the directory's password, which needs no card.

    Raises:
        Cancelled: no password was given.
        HolderLogonRefused, TooManyAttempts, NotAllowed, ConnectorError: nobody is logged on; a session that there was is over.
    """
    password = _password(given.password_fd)
    await log_off(config)
    settings = settings_of(config)
    line = open_line(settings, SystemClock())
    try:
        session = await GrpcSelfService(line).log_on(PasswordGiven(name=given.name, password=password))
        assert line.token.value is not None  # a log-on that succeeded has one
        KeptSession(settings.station.state_folder).keep(line.token.value, holder=True)
    finally:
        password.wipe()
        await line.close()
    return holder_result(session)


async def log_on_by_code(config: Path | None, reader: str, code_fd: int | None) -> Result:
    """Log a holder on with the code that an operator made for the card in `reader`; raises as above."""
    code = take_code(code_fd)
    await log_off(config)
    try:
        async with opened(config) as parts:
            card = await _card_in(parts, await one_reader(parts, reader))
            session = await GrpcSelfService(parts.backend).log_on(CodeGiven(card=card, code=code))
            _keep(config, parts)
    finally:
        code.wipe()
    return holder_result(session)


async def log_on_by_card(config: Path | None, reader: str, given: Given) -> Result:
    """Log a holder on with the card in `reader` and its PIN; raises as above, and what card or reader raise."""
    await log_off(config)
    clock = SystemClock()
    async with opened(config) as parts:
        reader = await one_reader(parts, reader)
        line = GrpcSelfService(parts.backend)
        read = await read_operator_card(parts.readers, reader)
        proof = await prove_operator(parts.readers, read, given.person, lambda: _challenge(line, clock))
        session = await line.log_on(CardShown(card=_guid(read.chuid), proof=proof))
        _keep(config, parts)
    return holder_result(session)


async def _challenge(line: GrpcSelfService, clock: Clock) -> LogonText:
    """Ask for a text to sign, and compare all that this station knows."""
    content = await line.challenge()
    ends = line.ends
    return check_logon_text(
        content,
        server=ends.server,
        station=ends.station,
        purpose=LogonPurpose.SELF_SERVICE,
        now=clock.now(),
    )


async def _card_in(parts: Parts, reader: str) -> UUID:
    """Return which card is in a reader, as it says itself."""
    read = await read_operator_card(parts.readers, reader)
    return _guid(read.chuid)


def _guid(chuid: bytes | None) -> UUID:
    """Return where to look for a card; one without a CHUID is not of ours."""
    if chuid is None:
        raise errors.HolderLogonRefused
    return Chuid.from_bytes(chuid).guid


def _keep(config: Path | None, parts: Parts) -> None:
    token = parts.backend.token.value
    assert token is not None  # a log-on that succeeded has one
    KeptSession(settings_of(config).station.state_folder).keep(token, holder=True)


def _password(descriptor: int | None) -> Secret:
    """Return a password: from a script's file descriptor, or typed at the terminal.

    Raises:
        Cancelled: none was given.
    """
    if descriptor is not None:
        with open(descriptor, "rb", closefd=False) as given:  # a descriptor is no path
            text = given.readline(4 * PASSWORD_MAX).rstrip(b"\r\n")
        typed = Secret(text) if text else None
    else:
        typed = read_masked("The password: ", PASSWORD_MAX)
    if typed is None:
        raise errors.Cancelled(question="password")
    return typed


def holder_result(session: HolderView) -> Result:
    """Say who is logged on, how, and until when."""
    return Result(
        lines=wording.holder_logged_on(session),
        document={
            "ok": True,
            "holder": session.holder,
            "name": session.name,
            "proof": session.proof.value,
            "ends_at": session.ends_at.isoformat(),
            "idle_s": int(session.idle.total_seconds()),
        },
    )
