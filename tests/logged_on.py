"""A session of an administrator, put on record as a log-on would: for tests of what an administrator does after it."""

import hashlib
import secrets
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from server.ports.store import LogonMethod, OperatorRecord, SessionId, SessionRecord, Store
from shared.clock import Clock
from shared.secret import Secret
from shared.sessions import TOKEN_LENGTH
from tests.server.store.examples import EVIDENCE, a_key, a_station, an_operator

ADMINISTRATOR = "system-administrator"


async def log_on(store: Store, clock: Clock, operator: OperatorRecord | None = None) -> Secret:
    """Log an operator on at a station of its own, and return the token; an administrator is added where none is named."""
    if operator is None:
        operator = an_operator(a_key(), name="Administrator", roles=frozenset({ADMINISTRATOR}))
        await store.operators.add(operator, EVIDENCE)
    station, token, now = a_station("office"), Secret(secrets.token_bytes(TOKEN_LENGTH)), clock.now()
    await store.stations.add_station(station, EVIDENCE)
    session = SessionRecord(
        session_id=SessionId(uuid4()),
        token_digest=hashlib.sha256(token.reveal()).digest(),
        operator_id=operator.operator_id,
        key_digest=operator.keys[0].digest,
        method=LogonMethod.CARD,
        station_id=station.station_id,
        fingerprint=station.fingerprint,
        began_at=now,
        last_seen_at=now,
        expires_at=now + timedelta(hours=12),
        stepped_up_at=now,
    )
    await store.sessions.open(session, EVIDENCE)
    return token


def keep(token: Secret, path: Path) -> None:
    """Keep a token as `kiosk log-on` does."""
    path.write_bytes(token.reveal())
    path.chmod(0o600)
