"""Who may call what.

Every call of every listener passes `Access.admit` before its servicer sees it. A method without a rule is
refused, whoever asks. A station is who registered the certificate that it shows: the issuing root alone
proves nothing, the SHA-256 of the certificate has to be on record. Who shows the token of a session acts as its operator;
one that has ended, or is another station's, is refused, also where none is needed.

Until operators exist, only stations flagged *lab* may run operations and see people. From then on nobody may without a
session whose operator has the permission (`policy`), on lab stations neither.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from types import MappingProxyType
from typing import Final, Protocol
from uuid import UUID

from server.authority.administrator import needs_operator
from server.authority.overlap import take
from server.authority.policy import Principal, authorise_call, unrestricted
from server.authority.throttle import Limit, Throttle
from server.ports.holders import HolderSessionRecord
from server.ports.operators import LoggedOn
from server.ports.store import AuditKind, AuditRecord, AuditStore, Standing, StationState, StationStore
from shared import errors
from shared.clock import Clock
from shared.credential.model import StationId
from shared.roles import Subject
from shared.station_profile import EVERYTHING, Face, StationProfile, read_face


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The station that makes a call, and as whom. `fingerprint` is the SHA-256 of its certificate (DER).

    `holder` is the session of a holder, who is no operator: there is one of the two, or none.
    An application is a station that acts as itself: `unattended` says what it may do of what others give a PIN for.

    `principal` is None where nobody is logged on who has to be; `proven`: the operator's PIN was asked recently enough for
    what is sensitive. `touched`: where an ssh-agent logged on, its key signs for nobody who does not touch the card.
    """

    station_id: StationId
    name: str
    lab: bool
    fingerprint: bytes
    session: LoggedOn | None = None
    principal: Principal | None = None
    proven: bool = False
    touched: bool = False
    profile: StationProfile = EVERYTHING
    unattended: frozenset[Subject] | None = None
    holder: HolderSessionRecord | None = None

    @property
    def application(self) -> bool:
        """Whether it is another system, with roles of its own; nobody logs on there."""
        return self.unattended is not None

    @property
    def actor(self) -> str:
        """How evidence calls it: the operator or the holder who is logged on, else the station, or the application."""
        if self.session is not None:
            return str(self.session.operator.operator_id)
        if self.principal is not None and (self.principal.first_start or self.principal.holding is not None):
            return self.principal.actor
        return SERVER if self == ITSELF else str(self.station_id)


SERVER: Final = "server"
ITSELF: Final = Caller(
    station_id=StationId(UUID(int=0)), name=SERVER, lab=False, fingerprint=b"", principal=unrestricted(SERVER)
)
"""The server, where it acts on its own. No certificate has an empty fingerprint, so that nobody calls as this."""


@unique
class Listener(StrEnum):
    """Where a call came in."""

    STATIONS = "stations"
    """Mutual TLS; the peer showed a certificate of the stations' root."""
    JOINING = "joining"
    """TLS with the server's certificate only; the peer is anybody."""
    ADMIN = "admin"
    """A Unix socket in a folder of the server's own user; the peer is that user."""


@unique
class Rule(StrEnum):
    """Who may call a method."""

    REGISTERED_STATION = "registered-station"
    LAB_STATION = "lab-station"
    JOINING = "joining"
    ADMINISTRATOR = "administrator"


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "/kiosk.v1.Operations/Run": Rule.LAB_STATION,
        "/kiosk.v1.Credentials/Find": Rule.LAB_STATION,
        "/kiosk.v1.Credentials/Decide": Rule.LAB_STATION,
        "/kiosk.v1.Credentials/ReadOut": Rule.LAB_STATION,
        "/kiosk.v1.Credentials/MakeUnblockCode": Rule.LAB_STATION,
        "/kiosk.v1.Console/LookUpCard": Rule.LAB_STATION,
        "/kiosk.v1.Console/CompareCard": Rule.LAB_STATION,
        "/kiosk.v1.Console/FindPeople": Rule.LAB_STATION,
        "/kiosk.v1.Rehearsals/RehearseIssue": Rule.LAB_STATION,
        "/kiosk.v1.Console/ListTemplates": Rule.REGISTERED_STATION,
        "/kiosk.v1.Stations/WhoAmI": Rule.REGISTERED_STATION,
        "/kiosk.v1.Sessions/Challenge": Rule.REGISTERED_STATION,
        "/kiosk.v1.Sessions/LogOn": Rule.REGISTERED_STATION,
        "/kiosk.v1.Sessions/StepUp": Rule.REGISTERED_STATION,
        "/kiosk.v1.Sessions/LogOff": Rule.REGISTERED_STATION,
        "/kiosk.v1.Sessions/WhoIs": Rule.REGISTERED_STATION,
        "/kiosk.v1.FirstStart/Begin": Rule.REGISTERED_STATION,
        "/kiosk.v1.FirstStart/View": Rule.REGISTERED_STATION,
        "/kiosk.v1.FirstStart/End": Rule.REGISTERED_STATION,
        "/kiosk.v1.SelfService/Challenge": Rule.REGISTERED_STATION,
        "/kiosk.v1.SelfService/LogOn": Rule.REGISTERED_STATION,
        "/kiosk.v1.SelfService/BeginDevice": Rule.REGISTERED_STATION,
        "/kiosk.v1.SelfService/AskDevice": Rule.REGISTERED_STATION,
        "/kiosk.v1.SelfService/CancelDevice": Rule.REGISTERED_STATION,
        "/kiosk.v1.SelfService/LogOff": Rule.REGISTERED_STATION,
        "/kiosk.v1.SelfService/WhoIs": Rule.REGISTERED_STATION,
        "/kiosk.v1.SelfService/LookUpCard": Rule.REGISTERED_STATION,
        "/kiosk.v1.SelfService/ListCredentials": Rule.REGISTERED_STATION,
        "/kiosk.v1.SelfService/Decide": Rule.REGISTERED_STATION,
        "/kiosk.v1.SelfService/WithdrawApproval": Rule.REGISTERED_STATION,
        "/kiosk.v1.SelfService/ListApprovals": Rule.REGISTERED_STATION,
        "/kiosk.v1.SelfService/RequestApproval": Rule.REGISTERED_STATION,
        "/kiosk.v1.Approvals/RequestApproval": Rule.LAB_STATION,
        "/kiosk.v1.Approvals/ListApprovals": Rule.LAB_STATION,
        "/kiosk.v1.Approvals/ShowApproval": Rule.LAB_STATION,
        "/kiosk.v1.Approvals/ChallengeApproval": Rule.LAB_STATION,
        "/kiosk.v1.Approvals/Approve": Rule.LAB_STATION,
        "/kiosk.v1.Approvals/DeclineApproval": Rule.LAB_STATION,
        "/kiosk.v1.Approvals/WithdrawApproval": Rule.LAB_STATION,
        "/kiosk.v1.DeskOperators/ListOperators": Rule.LAB_STATION,
        "/kiosk.v1.DeskOperators/ActivateOperator": Rule.LAB_STATION,
        "/kiosk.v1.DeskOperators/DeactivateOperator": Rule.LAB_STATION,
        "/kiosk.v1.DeskOperators/SetOperatorRoles": Rule.LAB_STATION,
        "/kiosk.v1.DeskOperators/ListRoles": Rule.LAB_STATION,
        "/kiosk.v1.ApprovalAdmin/ListAllApprovals": Rule.ADMINISTRATOR,
        "/kiosk.v1.ApprovalAdmin/DeclineAnyApproval": Rule.ADMINISTRATOR,
        "/kiosk.v1.ApprovalAdmin/ShowApprovalPolicy": Rule.ADMINISTRATOR,
        "/kiosk.v1.Stations/Renew": Rule.REGISTERED_STATION,
        "/kiosk.v1.Stations/Join": Rule.JOINING,
        "/kiosk.v1.Admin/CreateStationToken": Rule.ADMINISTRATOR,
        "/kiosk.v1.Operators/ListOperators": Rule.ADMINISTRATOR,
        "/kiosk.v1.Operators/ActivateOperator": Rule.ADMINISTRATOR,
        "/kiosk.v1.Operators/DeactivateOperator": Rule.ADMINISTRATOR,
        "/kiosk.v1.Operators/SetOperatorRoles": Rule.ADMINISTRATOR,
        "/kiosk.v1.Operators/ListRoles": Rule.ADMINISTRATOR,
        "/kiosk.v1.Operators/CloneRole": Rule.ADMINISTRATOR,
        "/kiosk.v1.Operators/EditRole": Rule.ADMINISTRATOR,
        "/kiosk.v1.Operators/ResetRole": Rule.ADMINISTRATOR,
        "/kiosk.v1.Operators/DeleteRole": Rule.ADMINISTRATOR,
        "/kiosk.v1.Applications/CreateApplicationToken": Rule.ADMINISTRATOR,
        "/kiosk.v1.Applications/ListApplications": Rule.ADMINISTRATOR,
        "/kiosk.v1.Applications/SetApplicationRoles": Rule.ADMINISTRATOR,
        "/kiosk.v1.Applications/SetApplicationUnattended": Rule.ADMINISTRATOR,
        "/kiosk.v1.Applications/SetApplicationProfile": Rule.ADMINISTRATOR,
        "/kiosk.v1.Applications/BlockApplication": Rule.ADMINISTRATOR,
        "/kiosk.v1.Applications/UnblockApplication": Rule.ADMINISTRATOR,
        "/kiosk.v1.Applications/CompromiseApplication": Rule.ADMINISTRATOR,
        "/kiosk.v1.Applications/RenameApplication": Rule.ADMINISTRATOR,
        "/kiosk.v1.Admin/ListStations": Rule.ADMINISTRATOR,
        "/kiosk.v1.Admin/BlockStation": Rule.ADMINISTRATOR,
        "/kiosk.v1.Admin/UnblockStation": Rule.ADMINISTRATOR,
        "/kiosk.v1.Admin/CompromiseStation": Rule.ADMINISTRATOR,
        "/kiosk.v1.Admin/SetStationProfile": Rule.ADMINISTRATOR,
        "/kiosk.v1.Admin/RenameStation": Rule.ADMINISTRATOR,
        "/kiosk.v1.Admin/PlanTemplates": Rule.ADMINISTRATOR,
        "/kiosk.v1.Admin/ApplyTemplates": Rule.ADMINISTRATOR,
        "/kiosk.v1.Admin/ServerStatus": Rule.ADMINISTRATOR,
        "/kiosk.v1.Admin/ListKeyGenerations": Rule.ADMINISTRATOR,
        "/kiosk.v1.Admin/NewKeyGeneration": Rule.ADMINISTRATOR,
        "/kiosk.v1.People/TestTemplate": Rule.ADMINISTRATOR,
        "/kiosk.v1.People/ListLeavers": Rule.ADMINISTRATOR,
        "/kiosk.v1.Connections/ListConnections": Rule.ADMINISTRATOR,
        "/kiosk.v1.Connections/AddConnection": Rule.ADMINISTRATOR,
        "/kiosk.v1.Connections/EditConnection": Rule.ADMINISTRATOR,
        "/kiosk.v1.Connections/RemoveConnection": Rule.ADMINISTRATOR,
        "/kiosk.v1.Connections/TestConnection": Rule.ADMINISTRATOR,
        "/kiosk.v1.Admin/ListTasks": Rule.ADMINISTRATOR,
        "/kiosk.v1.Admin/RetryTasks": Rule.ADMINISTRATOR,
        "/kiosk.v1.Admin/GiveUpTask": Rule.ADMINISTRATOR,
        "/kiosk.v1.Admin/ListJobs": Rule.ADMINISTRATOR,
        "/grpc.health.v1.Health/Check": Rule.REGISTERED_STATION,
        "/grpc.health.v1.Health/List": Rule.REGISTERED_STATION,
        "/grpc.health.v1.Health/Watch": Rule.REGISTERED_STATION,
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Rule.REGISTERED_STATION,
    }
)
"""Full method name to rule."""

NOTED: Final = Limit(burst=1, seconds=60)
NOTED_OVERALL: Final = Limit(burst=60, seconds=1)

FACES_OF_PERSONS: Final = frozenset({Face.DESK, Face.SELF_SERVICE})
"""Faces that somebody stands in front of: there nobody acts as an application."""

_LISTENER_OF: Final = {
    Rule.REGISTERED_STATION: Listener.STATIONS,
    Rule.LAB_STATION: Listener.STATIONS,
    Rule.JOINING: Listener.JOINING,
    Rule.ADMINISTRATOR: Listener.ADMIN,
}


class Identities(Protocol):
    """Whoever knows as whom a station acts (`acting.Acting`)."""

    async def of(self, caller: Caller, token: bytes | None, holder: bytes | None = None) -> Caller:
        """Return the caller with session and principal; `SessionEnded` where a token does not count here."""
        ...

    async def at_server(self, token: bytes, method: str) -> Caller:
        """Return the operator whose session this is, who may make this call at the server's own machine."""
        ...

    async def anybody(self) -> bool:
        """Whether there are operators."""
        ...


class Access:
    """Judge calls by the rules, by the record of stations and by that of sessions."""

    def __init__(
        self,
        stations: StationStore,
        clock: Clock,
        acting: Identities,
        audit: AuditStore | None = None,
    ) -> None:
        """Look stations up in `stations`; `clock` judges whether a certificate has expired, `acting` who is logged on.

        What is refused to a certificate of our own root becomes evidence in `audit`, once a minute for each
        certificate and reason: a peer that tries for ever must not fill the database.
        """
        self._stations = stations
        self._clock = clock
        self._audit = audit
        self._acting = acting
        self._noted = Throttle(per_peer=NOTED, overall=NOTED_OVERALL, clock=clock)

    async def admit(
        self,
        listener: Listener,
        method: str,
        fingerprint: bytes | None,
        token: bytes | None = None,
        face: str = "",
        holder: bytes | None = None,
    ) -> Caller | None:
        """Return who calls, or refuse.

        `method` is the full name (`/package.Service/Method`); `fingerprint` the SHA-256 of the certificate that
        the peer showed, `token` that of a session, `holder` that of a holder's; None where there was none. `face` is what the station says that it speaks for. Who is not a station (joining,
        administration) is None.

        Raises:
            NotAllowed: no rule, the wrong listener, or no right.
            LogonNeeded: there are operators, and none is logged on here.
            StationUnknown: no station is registered under this certificate.
            StationBlocked: an administrator blocked the station.
            StationExpired: the registered certificate has expired; the line outlived it.
            SessionEnded: the token's session has ended, is another station's, or there is no such token.
        """
        caller: Caller | None = None
        try:
            rule = RULES.get(method)
            if rule is None or _LISTENER_OF[rule] is not listener:
                raise errors.NotAllowed(what=method)
            if listener is Listener.ADMIN:
                return await self._administrator(method, (token, holder))
            if listener is not Listener.STATIONS:
                if (token, holder) != (None, None):
                    raise errors.SessionEnded
                return None
            caller = await self._acting.of(await self._station(fingerprint), token, holder)
            await self._judge(caller, rule, method, face)
        except errors.PolicyError as refused:
            if fingerprint is not None:
                await self.note(refused, method, fingerprint, caller)
            raise
        return caller

    async def _judge(self, caller: Caller, rule: Rule, method: str, face: str) -> None:
        """Refuse what this caller may not do here."""
        if rule is Rule.LAB_STATION and caller.principal is None and not await self._acting.anybody():
            raise errors.NotAllowed(what=method)
        if caller.application and read_face(face) in FACES_OF_PERSONS:
            raise errors.NotAllowed(what="this face as an application")
        shown = Face.SELF_SERVICE if caller.holder is not None else read_face(face)
        if rule is Rule.LAB_STATION and not caller.profile.allows_face(shown):
            raise errors.NotAllowed(what="this face at this station")
        authorise_call(caller.principal, method)

    async def _administrator(self, method: str, tokens: tuple[bytes | None, bytes | None]) -> Caller | None:
        """Return the operator whose session is shown; None for the server's own user, while that is enough."""
        token, holder = tokens
        if holder is not None:
            raise errors.SessionEnded
        if token is not None:
            return await self._acting.at_server(token, method)
        if needs_operator(method) and await self._acting.anybody():
            raise errors.LogonNeeded
        return None

    async def note(
        self, refused: errors.PolicyError, method: str, certificate: bytes, caller: Caller | None
    ) -> None:
        """Leave evidence of a refusal: of whoever is logged on, else of the certificate (its SHA-256)."""
        if self._audit is None:
            return
        fingerprint = certificate.hex()
        actor = caller.actor if caller is not None and caller.principal is not None else ""
        try:
            self._noted.attempt(f"{refused.code} {fingerprint} {actor}")
        except errors.TooManyAttempts:
            return
        await self._audit.append(
            [
                AuditRecord(
                    kind=AuditKind.REFUSED,
                    event=refused.code,
                    actor=actor or fingerprint,
                    subject=method,
                    facts={"certificate": fingerprint} if actor else {},
                )
            ]
        )

    async def _station(self, fingerprint: bytes | None) -> Caller:
        record = await self._stations.by_fingerprint(fingerprint) if fingerprint else None
        if record is None or record.fingerprint != fingerprint:
            raise errors.StationUnknown
        if record.state is not StationState.ACTIVE:
            raise errors.StationBlocked
        if record.not_after <= self._clock.now():
            raise errors.StationExpired
        if record.standing is Standing.NEXT:
            await take(self._stations, record, self._clock.now())
        return Caller(
            station_id=record.station_id,
            name=record.name,
            lab=record.lab,
            fingerprint=record.fingerprint,
            profile=record.profile,
            unattended=record.unattended,
        )
