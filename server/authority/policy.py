"""Who may do what: one rule for every call and for every operation, and the one place that judges by them.

A rule names what is done (a subject of `shared.roles`) and the level that it takes. What a caller may do are the
permissions of its roles together; where there is no rule, nobody may.

A call is judged twice where it can be about one template: when it arrives (`authorise_call`), by whether the caller may do
this for any template at all, and again once it is known which (`authorise`). Whether the operator's PIN has to be asked for
again first (`Needs.sensitive`) is known from the same rule, and judged by who knows when it last was.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from types import MappingProxyType
from typing import Final

from server.ports.operators import OperatorKind, OperatorRecord
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.credential.model import CredentialId, CredentialRecord, HolderId
from shared.credential.self_service import NOT_BY_ITSELF, PROOFS, HolderProof
from shared.credential.template import Template
from shared.roles import (
    PRESETS,
    SENSITIVE,
    SYSTEM_ADMINISTRATOR,
    WITH_TEMPLATE,
    Act,
    Area,
    Grant,
    Level,
    Permissions,
    Role,
    Subject,
    union,
)

# --- rules ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """A rule: this level on this subject."""

    subject: Subject
    level: Level

    @property
    def sensitive(self) -> bool:
        """Whether the operator's PIN is asked for again."""
        return self.level is Level.EXECUTE and self.subject in SENSITIVE


@unique
class Standing(StrEnum):
    """A rule that asks for no permission, but for who it is."""

    ANYBODY = "anybody"
    """Whoever reaches the listener: a station that wants to join."""
    STATION = "station"
    """A registered station, whether or not somebody is logged on there."""
    OPERATOR = "operator"
    """Whoever is logged on, whatever the roles."""
    FIRST_START = "first-start"
    """Whoever makes the first start, and nobody else; nothing that asks for an operator is for them."""
    OPERATION = "operation"
    """Depends on which operation the request names (`OPERATION_RULES`)."""
    HOLDER = "holder"
    """A holder who is logged on: what becomes of it depends on the template (`authorise_holder`)."""


Rule = Needs | Standing


def _execute(subject: Subject) -> Needs:
    return Needs(subject=subject, level=Level.EXECUTE)


def _view(subject: Subject) -> Needs:
    return Needs(subject=subject, level=Level.VIEW)


OPERATION_RULES: Final[Mapping[OperationKind, Needs]] = MappingProxyType(
    {
        OperationKind.REGISTER: _execute(OperationKind.REGISTER),
        OperationKind.ISSUE: _execute(OperationKind.ISSUE),
        OperationKind.ACTIVATE: _execute(OperationKind.ACTIVATE),
        OperationKind.CHANGE_PIN: _execute(OperationKind.CHANGE_PIN),
        OperationKind.UNBLOCK: _execute(OperationKind.UNBLOCK),
        OperationKind.UPDATE: _execute(OperationKind.UPDATE),
        OperationKind.RENEW: _execute(OperationKind.RENEW),
        OperationKind.REISSUE: _execute(OperationKind.REISSUE),
        OperationKind.SUSPEND: _execute(OperationKind.SUSPEND),
        OperationKind.RESUME: _execute(OperationKind.RESUME),
        OperationKind.REVOKE: _execute(OperationKind.REVOKE),
        OperationKind.RETIRE: _execute(OperationKind.RETIRE),
        OperationKind.UNREGISTER: _execute(OperationKind.UNREGISTER),
        OperationKind.DELETE: _execute(OperationKind.DELETE),
    }
)
"""What an operation takes, with or without its card. A new one has none before it was decided, so that nobody may do it."""

CALL_RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "/kiosk.v1.Operations/Run": Standing.OPERATION,
        "/kiosk.v1.Credentials/Decide": Standing.OPERATION,
        "/kiosk.v1.Credentials/Find": _view(Act.FIND_CREDENTIALS),
        "/kiosk.v1.Credentials/ReadOut": _execute(Act.READ_OUT),
        "/kiosk.v1.Credentials/MakeUnblockCode": _execute(Act.UNBLOCK_CODE),
        "/kiosk.v1.Console/LookUpCard": _view(Act.LOOK_UP),
        "/kiosk.v1.Console/CompareCard": _view(Act.LOOK_UP),
        "/kiosk.v1.Console/FindPeople": _view(Act.FIND_PEOPLE),
        "/kiosk.v1.Console/ListTemplates": Standing.STATION,
        "/kiosk.v1.Rehearsals/RehearseIssue": _view(OperationKind.ISSUE),
        "/kiosk.v1.Stations/WhoAmI": Standing.STATION,
        "/kiosk.v1.Stations/Renew": Standing.STATION,
        "/kiosk.v1.Stations/Join": Standing.ANYBODY,
        "/kiosk.v1.Sessions/Challenge": Standing.STATION,
        "/kiosk.v1.Sessions/LogOn": Standing.STATION,
        "/kiosk.v1.Sessions/StepUp": Standing.OPERATOR,
        "/kiosk.v1.Sessions/LogOff": Standing.OPERATOR,
        "/kiosk.v1.Sessions/WhoIs": Standing.OPERATOR,
        "/kiosk.v1.FirstStart/Begin": Standing.STATION,
        "/kiosk.v1.FirstStart/View": Standing.FIRST_START,
        "/kiosk.v1.FirstStart/End": Standing.FIRST_START,
        "/kiosk.v1.SelfService/Challenge": Standing.STATION,
        "/kiosk.v1.SelfService/LogOn": Standing.STATION,
        "/kiosk.v1.SelfService/BeginDevice": Standing.STATION,
        "/kiosk.v1.SelfService/AskDevice": Standing.STATION,
        "/kiosk.v1.SelfService/CancelDevice": Standing.STATION,
        "/kiosk.v1.SelfService/LogOff": Standing.HOLDER,
        "/kiosk.v1.SelfService/WhoIs": Standing.HOLDER,
        "/kiosk.v1.SelfService/LookUpCard": Standing.HOLDER,
        "/kiosk.v1.SelfService/ListCredentials": Standing.HOLDER,
        "/kiosk.v1.SelfService/Decide": Standing.HOLDER,
        "/kiosk.v1.SelfService/WithdrawApproval": Standing.HOLDER,
        "/kiosk.v1.SelfService/ListApprovals": Standing.HOLDER,
        "/kiosk.v1.SelfService/RequestApproval": Standing.HOLDER,
        "/kiosk.v1.Approvals/RequestApproval": Standing.OPERATOR,
        "/kiosk.v1.Approvals/ListApprovals": Standing.OPERATOR,
        "/kiosk.v1.Approvals/ShowApproval": Standing.OPERATOR,
        "/kiosk.v1.Approvals/ChallengeApproval": Standing.OPERATOR,
        "/kiosk.v1.Approvals/Approve": Standing.OPERATOR,
        "/kiosk.v1.Approvals/DeclineApproval": Standing.OPERATOR,
        "/kiosk.v1.Approvals/WithdrawApproval": Standing.OPERATOR,
        "/kiosk.v1.DeskOperators/ListOperators": _view(Area.OPERATORS),
        "/kiosk.v1.DeskOperators/ActivateOperator": _execute(Area.OPERATORS),
        "/kiosk.v1.DeskOperators/DeactivateOperator": _execute(Area.OPERATORS),
        "/kiosk.v1.DeskOperators/SetOperatorRoles": _execute(Area.OPERATORS),
        "/kiosk.v1.DeskOperators/ListRoles": _view(Area.OPERATORS),
        "/kiosk.v1.ApprovalAdmin/ListAllApprovals": _view(Area.OPERATORS),
        "/kiosk.v1.ApprovalAdmin/DeclineAnyApproval": _execute(Area.OPERATORS),
        "/kiosk.v1.ApprovalAdmin/ShowApprovalPolicy": _view(Area.SETTINGS),
        "/kiosk.v1.Operators/ListOperators": _view(Area.OPERATORS),
        "/kiosk.v1.Operators/ActivateOperator": _execute(Area.OPERATORS),
        "/kiosk.v1.Operators/DeactivateOperator": _execute(Area.OPERATORS),
        "/kiosk.v1.Operators/SetOperatorRoles": _execute(Area.OPERATORS),
        "/kiosk.v1.Operators/ListRoles": _view(Area.ROLES),
        "/kiosk.v1.Operators/CloneRole": _execute(Area.ROLES),
        "/kiosk.v1.Operators/EditRole": _execute(Area.ROLES),
        "/kiosk.v1.Operators/ResetRole": _execute(Area.ROLES),
        "/kiosk.v1.Operators/DeleteRole": _execute(Area.ROLES),
        "/kiosk.v1.Applications/CreateApplicationToken": _execute(Area.OPERATORS),
        "/kiosk.v1.Applications/ListApplications": _view(Area.OPERATORS),
        "/kiosk.v1.Applications/SetApplicationRoles": _execute(Area.OPERATORS),
        "/kiosk.v1.Applications/SetApplicationUnattended": _execute(Area.OPERATORS),
        "/kiosk.v1.Applications/SetApplicationProfile": _execute(Area.OPERATORS),
        "/kiosk.v1.Applications/BlockApplication": _execute(Area.OPERATORS),
        "/kiosk.v1.Applications/UnblockApplication": _execute(Area.OPERATORS),
        "/kiosk.v1.Applications/CompromiseApplication": _execute(Area.OPERATORS),
        "/kiosk.v1.Applications/RenameApplication": _execute(Area.OPERATORS),
        "/kiosk.v1.Admin/CreateStationToken": _execute(Area.STATIONS),
        "/kiosk.v1.Admin/ListStations": _view(Area.STATIONS),
        "/kiosk.v1.Admin/BlockStation": _execute(Area.STATIONS),
        "/kiosk.v1.Admin/UnblockStation": _execute(Area.STATIONS),
        "/kiosk.v1.Admin/CompromiseStation": _execute(Area.STATIONS),
        "/kiosk.v1.Admin/SetStationProfile": _execute(Area.STATIONS),
        "/kiosk.v1.Admin/RenameStation": _execute(Area.STATIONS),
        "/kiosk.v1.Admin/PlanTemplates": _view(Area.TEMPLATES),
        "/kiosk.v1.Admin/ApplyTemplates": _execute(Area.TEMPLATES),
        "/kiosk.v1.Admin/ServerStatus": _view(Area.SETTINGS),
        "/kiosk.v1.Admin/ListKeyGenerations": _view(Area.KEYS),
        "/kiosk.v1.Admin/NewKeyGeneration": _execute(Area.KEYS),
        "/kiosk.v1.People/TestTemplate": _view(Act.FIND_PEOPLE),
        "/kiosk.v1.People/ListLeavers": _view(Act.FIND_PEOPLE),
        "/kiosk.v1.Connections/ListConnections": _view(Area.CONNECTIONS),
        "/kiosk.v1.Connections/AddConnection": _execute(Area.CONNECTIONS),
        "/kiosk.v1.Connections/EditConnection": _execute(Area.CONNECTIONS),
        "/kiosk.v1.Connections/RemoveConnection": _execute(Area.CONNECTIONS),
        "/kiosk.v1.Connections/TestConnection": _view(Area.CONNECTIONS),
        "/kiosk.v1.Admin/ListTasks": _view(Area.TASKS),
        "/kiosk.v1.Admin/RetryTasks": _execute(Area.TASKS),
        "/kiosk.v1.Admin/GiveUpTask": _execute(Area.TASKS),
        "/kiosk.v1.Admin/ListJobs": _view(Area.TASKS),
        "/grpc.health.v1.Health/Check": Standing.STATION,
        "/grpc.health.v1.Health/List": Standing.STATION,
        "/grpc.health.v1.Health/Watch": Standing.STATION,
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Standing.STATION,
    }
)
"""What a call takes, by the method's full name."""

FOR_HOLDERS_TOO: Final = frozenset({"/kiosk.v1.Operations/Run"})
"""Calls of operators that holders make as well: with the operations that a template may allow them, and no others."""

# --- who asks -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Somebody who is known, and what this one may do. `actor` is how evidence names them.

    A holder has `holding` and no permissions at all: what they may do is theirs by the template. With `first_start` it is whoever makes the first cards with the passcode: alone, because there is nobody else yet.
    """

    actor: str
    permissions: Permissions
    first_start: bool = False
    holding: "Holding | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A holder who is logged on, and by which proof. `directory` is the connection that knows them.

    `credential_id` is the credential whose card, or whose code, was the proof; None for a password.
    """

    directory: str
    holder: HolderId
    proof: HolderProof
    credential_id: CredentialId | None = None


def principal_of(operator: OperatorRecord, roles: Mapping[str, Role]) -> Principal:
    """Return an operator with the permissions of its roles; `roles` are all that there are, by name.

    The System Owner may always do everything: whoever edits roles cannot lock the installation.
    """
    return Principal(actor=str(operator.operator_id), permissions=union(roles_of(operator, roles)))


def roles_of(operator: OperatorRecord, roles: Mapping[str, Role]) -> Iterable[Role]:
    """Return the roles of an operator; one that is not there any more gives nothing."""
    if operator.kind is OperatorKind.SYSTEM_OWNER:
        return (PRESETS[SYSTEM_ADMINISTRATOR],)
    return tuple(roles[name] for name in sorted(operator.roles) if name in roles)


def holder_principal(holding: Holding) -> Principal:
    """Return a holder, who has no permission of an operator."""
    return Principal(actor=f"holder {holding.holder}", permissions=union([]), holding=holding)


FIRST_START: Final = "first-start"


def first_start(templates: Iterable[str]) -> Principal:
    """Return who may make the first cards: issue and activate by these templates, and look for people; nothing else."""
    names = frozenset(templates)
    role = Role(
        name=FIRST_START,
        title="First start",
        grants=(
            *(
                Grant(subject=each, level=Level.EXECUTE, templates=names)
                for each in (OperationKind.ISSUE, OperationKind.ACTIVATE)
            ),
            *(Grant(subject=each, level=Level.VIEW) for each in (Act.LOOK_UP, Act.FIND_PEOPLE)),
        ),
    )
    return Principal(actor=FIRST_START, permissions=union([role]), first_start=True)


def unrestricted(actor: str) -> Principal:
    """Return who may do everything before there is any operator: the server's own user, a lab station."""
    return Principal(actor=actor, permissions=_EVERYTHING)


_EVERYTHING: Final = union([PRESETS[SYSTEM_ADMINISTRATOR]])

MORE_THAN_OWN: Final = "to give what one may not do oneself"

# --- judging --------------------------------------------------------------------------------------------


def authorise(principal: Principal, needs: Needs, template: str | None) -> None:
    """Refuse what the principal may not do for this template; None where it is about none.

    Raises:
        NotAllowed: the level is less than the rule takes; `what` is the subject.
    """
    if principal.permissions.allowed(needs.subject, template) < needs.level:
        raise errors.NotAllowed(what=needs.subject.value)


def authorise_call(principal: Principal | None, method: str, operation: OperationKind | None = None) -> Rule:
    """Refuse a call that the principal may make for no template at all, and return the rule.

    `principal` is None where nobody is logged on; `operation` what the request names, once that is known. Where the subject
    can be about a template, or the operation is not known yet, this is not the last word: `authorise` has it.

    Raises:
        NotAllowed: no rule, or no permission; `what` is the method or the subject.
        LogonNeeded: it takes somebody who is logged on.
    """
    rule = CALL_RULES.get(method)
    if rule is Standing.OPERATION and operation is not None:
        rule = OPERATION_RULES.get(operation)
    if rule is None:
        raise errors.NotAllowed(what=method)
    if rule is Standing.ANYBODY or rule is Standing.STATION:
        return rule
    if principal is None:
        raise errors.LogonNeeded
    if principal.holding is not None:
        _require_for_holders(rule, method, operation)
        return rule
    if rule is Standing.HOLDER or rule is (
        Standing.OPERATOR if principal.first_start else Standing.FIRST_START
    ):
        raise errors.NotAllowed(what=method)
    if isinstance(rule, Needs):
        permissions, subject = principal.permissions, rule.subject
        about_any = subject in WITH_TEMPLATE
        level = permissions.anywhere(subject) if about_any else permissions.allowed(subject, None)
        if level < rule.level:
            raise errors.NotAllowed(what=subject.value)
    return rule


def _require_for_holders(rule: Rule, method: str, operation: OperationKind | None) -> None:
    """Refuse a call that no holder makes, and an operation that no template can allow one."""
    allowed = rule is Standing.HOLDER if method not in FOR_HOLDERS_TOO else operation in {None, *PROOFS}
    if not allowed:
        raise errors.NotAllowed(what=method if operation is None else operation.value)


def authorise_holder(
    holding: Holding, operation: OperationKind, template: Template, credential: CredentialRecord | None
) -> None:
    """Refuse what a holder may not do by a template, or not by this proof.

    `credential` is the one that it is done to, made by this template; None for one that is yet to be made.

    Raises:
        NotYours: it is somebody else's.
        NotAllowed: the template does not let holders do it; or the credential carries roles, which is no matter of theirs.
        OtherProofNeeded: not by the proof with which they logged on; `proofs` names those that do.
    """
    if template.directory != holding.directory or not (
        credential is None or credential.holder == holding.holder
    ):
        raise errors.NotYours
    if template.operator or (credential is not None and credential.roles):
        raise errors.NotAllowed(what="self-service for a credential that carries roles")
    proofs = template.self_service.get(operation, frozenset())
    if not proofs:
        raise errors.NotAllowed(what=f"{operation.value} by self-service")
    by_itself = credential is not None and credential.credential_id == holding.credential_id
    fits = {
        HolderProof.PASSWORD: True,
        HolderProof.DEVICE: True,
        HolderProof.CARD: not (by_itself and operation in NOT_BY_ITSELF),
        HolderProof.CODE: by_itself,
    }
    if holding.proof not in proofs or not fits[holding.proof]:
        raise errors.OtherProofNeeded(operation=operation.value, proofs=" ".join(sorted(proofs)))
