"""Other systems as callers: an application has a certificate and roles of its own, and nobody in front of it.

It joins as a station does, and is one: it may have readers, is blocked, renewed and limited by a profile in the same way.
Besides, it is an operator that never logs on: what its roles allow counts with its certificate alone. Nobody can be asked
for a PIN there, so what is sensitive has to be granted to it by name, and who may do what is never its business.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from server.authority.acting import UNATTENDED
from server.authority.fleet import Fleet, check_why
from server.authority.operators import Operators
from server.authority.policy import MORE_THAN_OWN, Principal
from server.authority.services import CompromisedStation, StationView
from server.authority.stations import Enrolment
from server.ports.operators import OperatorId, OperatorState
from server.ports.store import Application, AuditKind, AuditRecord, StationRecord, StationStore
from shared import errors
from shared.credential.approval import Way
from shared.roles import Level, Subject
from shared.station_profile import StationProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationView:
    """An application, as lists show one. `active` is False where its roles count for nothing (`operators deactivate`)."""

    view: StationView
    roles: frozenset[str]
    unattended: frozenset[Subject]
    active: bool


class Applications:
    """Invite applications, list them, and change what they may do. `by` is who asks, with what they may do themselves."""

    def __init__(
        self, stations: StationStore, operators: Operators, fleet: Fleet, enrolment: Enrolment
    ) -> None:
        """Keep them in `stations` and `operators`; `fleet` is that of applications."""
        self._stations = stations
        self._operators = operators
        self._fleet = fleet
        self._enrolment = enrolment

    async def invite(
        self, name: str, application: Application, *, lab: bool, valid_for: timedelta, by: Principal
    ) -> str:
        """Make a join token for an application and return its text; it works once.

        Raises:
            Invalid: the name, a role, the time or what is unattended is not acceptable.
            NotAllowed: a role, or what is unattended, is more than `by` may do, or the settings allow no lab stations.
            ApprovalNeeded: giving roles takes a second person here.
        """
        if not name:
            raise errors.Invalid(field="name", why="an application is called by the one who invites it")
        _check_unattended(application.unattended, by)
        await self._operators.check_gives(application.roles, by)
        if application.roles:
            detail = f"a new application {name}; unattended: {_listed(application.unattended) or 'nothing'}"
            await self._operators.acts.clear(
                Way.SET_ROLES, by.actor, name=name, roles=application.roles, detail=detail
            )
        return await self._enrolment.create_token(
            name, lab=lab, valid_for=valid_for, application=application, actor=by.actor
        )

    async def all(self) -> Sequence[ApplicationView]:
        """Return every application, by name."""
        operators = {each.operator_id: each for each in await self._operators.all()}
        found = []
        for view in await self._fleet.all():
            operator = operators[OperatorId(view.station.station_id)]
            found.append(
                ApplicationView(
                    view=view,
                    roles=operator.roles,
                    unattended=view.station.unattended or frozenset(),
                    active=operator.state is OperatorState.ACTIVE,
                )
            )
        return found

    async def set_roles(self, which: str, roles: Collection[str], why: str, by: Principal) -> ApplicationView:
        """Give an application these roles and no others; they count from its next call on.

        Raises:
            Invalid: there is no such application or role, several have this name, or there is no reason.
            NotAllowed: a role that is new may do what `by` may not.
        """
        station = await self._fleet.find(which)
        await self._operators.set_roles(str(station.station_id), roles, why, by)
        return await self._view(station)

    async def set_unattended(
        self, which: str, unattended: Collection[Subject], why: str, by: Principal
    ) -> ApplicationView:
        """Say what of what is sensitive, and of what its roles allow, an application may do; nothing else of it.

        Raises:
            Invalid: there is no such application, several have this name, something cannot be granted so, or no reason.
            NotAllowed: what is new is more than `by` may do.
            ApprovalNeeded: giving more takes a second person here, as a role does.
        """
        why = check_why(why)
        station = await self._fleet.find(which)
        more = set(unattended) - (station.unattended or frozenset())
        _check_unattended(more, by)
        if more:
            await self._operators.acts.clear(
                Way.SET_ROLES,
                by.actor,
                about=str(station.station_id),
                name=station.name,
                detail=f"an application; unattended: {_listed(unattended)}",
            )
        audit = AuditRecord(
            kind=AuditKind.STATION,
            event="application-unattended",
            actor=by.actor,
            subject=str(station.station_id),
            facts={
                "name": station.name,
                "before": _listed(station.unattended or ()),
                "after": _listed(unattended),
                "why": why,
            },
        )
        await self._stations.set_unattended(station.station_id, unattended, audit)
        return await self._view(replace(station, unattended=frozenset(unattended)))

    async def set_profile(
        self, which: str, profile: StationProfile, why: str, by: Principal
    ) -> ApplicationView:
        """Say what an application may be used for; as for a station."""
        return await self._view(await self._fleet.set_profile(which, profile, why, by.actor))

    async def block(self, which: str, why: str, by: Principal) -> ApplicationView:
        """Let an application do nothing any more, at once; what it is doing is cut."""
        return await self._view(await self._fleet.block(which, why, by.actor))

    async def unblock(self, which: str, why: str, by: Principal) -> ApplicationView:
        """Let a blocked application work again."""
        return await self._view(await self._fleet.unblock(which, why, by.actor))

    async def compromised(self, which: str, why: str, by: Principal) -> CompromisedStation:
        """Block an application for good, and name every card whose secrets it carried."""
        return await self._fleet.compromised(which, why, by.actor)

    async def rename(self, which: str, name: str, why: str, by: Principal) -> ApplicationView:
        """Call an application by another name."""
        return await self._view(await self._fleet.rename(which, name, why, by.actor))

    async def _view(self, station: StationRecord) -> ApplicationView:
        return next(each for each in await self.all() if each.view.station.station_id == station.station_id)


def _check_unattended(subjects: Collection[Subject], by: Principal) -> None:
    """Refuse what can never be done unattended, and what needs no such grant (`Invalid`), and what `by` may not do."""
    wrong = sorted(subject.value for subject in subjects if subject not in UNATTENDED)
    if wrong:
        among = ", ".join(sorted(subject.value for subject in UNATTENDED))
        raise errors.Invalid(field="unattended", why=f"not {wrong[0]}; there are {among}")
    if any(by.permissions.anywhere(subject) is not Level.EXECUTE for subject in subjects):
        raise errors.NotAllowed(what=MORE_THAN_OWN)


def _listed(subjects: Collection[Subject]) -> str:
    return " ".join(sorted(subject.value for subject in subjects))
