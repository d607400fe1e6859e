"""Machines that call: stations and applications, and how each are looked after."""

from server.authority.admin import ACTOR
from server.authority.applications import Applications
from server.authority.fleet import Fleet
from server.authority.lines import Lines
from server.authority.operators import Operators
from server.authority.policy import unrestricted
from server.authority.presence import Attendance
from server.authority.stations import Enrolment
from server.ports.store import Store
from server.rpc.applications import ApplicationsServicer
from shared.clock import Clock


def fleet(
    store: Store, lines: Lines, attendance: Attendance, clock: Clock, *, applications: bool = False
) -> Fleet:
    """Return the stations, or the `applications`, as administrators change them."""
    return Fleet(
        store.stations,
        store.cards,
        store.templates,
        lines,
        attendance,
        (store.sessions, store.holders),
        clock,
        applications=applications,
    )


def applications(
    store: Store,
    operators: Operators,
    enrolment: Enrolment,
    lines: Lines,
    attendance: Attendance,
    clock: Clock,
) -> ApplicationsServicer:
    """Return the service of applications for the server's own user, who may do everything."""
    found = fleet(store, lines, attendance, clock, applications=True)
    return ApplicationsServicer(
        Applications(store.stations, operators, found, enrolment), unrestricted(ACTOR)
    )
