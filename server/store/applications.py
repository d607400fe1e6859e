"""What makes a station an application: which tokens make one, and what each may do without a person."""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import select

from server.ports.store import Application, StationRecord
from server.store.application_schema import application, application_token
from server.store.statements import Cursor, Prepared, add, given, put
from shared.credential.model import StationId
from shared.roles import Subject, subject_of

_ADD: Final = add(application)
_PUT: Final = put(application, (application.c.station_id,))
_ADD_TOKEN: Final = add(application_token)
_OF_TOKEN: Final = Prepared(
    select(application_token.c.roles, application_token.c.unattended).where(
        application_token.c.digest == given(application_token.c.digest)
    )
)


def add_token(cursor: Cursor, digest: bytes, wanted: Application | None) -> None:
    """Write down what a token's machine will be; nothing for a station."""
    if wanted is not None:
        roles, unattended = " ".join(sorted(wanted.roles)), written(wanted.unattended)
        _ADD_TOKEN.run(cursor, {"digest": digest, "roles": roles, "unattended": unattended})


def of_token(cursor: Cursor, digest: bytes) -> Application | None:
    """Return what a token's machine will be; None for a station."""
    row = _OF_TOKEN.row(cursor, digest=digest)
    if row is None:
        return None
    return Application(roles=frozenset(row[0].split()), unattended=read(row[1]))


def add_application(cursor: Cursor, station: StationRecord) -> None:
    """Write down that a station is an application, where it is one."""
    if station.unattended is not None:
        values = {"station_id": station.station_id, "unattended": written(station.unattended)}
        _ADD.run(cursor, values)


def set_unattended(cursor: Cursor, station_id: StationId, unattended: Iterable[Subject]) -> None:
    """Write down what an application may do without a person from now on."""
    _PUT.run(cursor, {"station_id": station_id, "unattended": written(unattended)})


def written(subjects: Iterable[Subject]) -> str:
    """Return subjects as they are kept."""
    return " ".join(sorted(subject.value for subject in subjects))


def read(text: str) -> frozenset[Subject]:
    """Read subjects."""
    return frozenset(map(subject_of, text.split()))
