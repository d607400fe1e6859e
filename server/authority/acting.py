"""As whom a station acts: an operator who is logged on there, or, before there is any operator, a lab station as itself.

An application always acts as itself, and nobody logs on there. What is sensitive takes a person and a PIN elsewhere; an
application is granted it by name (`unattended`), and never what decides who may do what.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from server.authority.access import Caller
from server.authority.first_start import FirstStart
from server.authority.holders import HolderSessions, holding_of
from server.authority.places import at_station
from server.authority.policy import (
    CALL_RULES,
    Needs,
    Principal,
    authorise,
    authorise_call,
    holder_principal,
    principal_of,
    unrestricted,
)
from server.authority.sessions import Sessions
from server.ports.holders import HolderSessionRecord
from server.ports.operators import LoggedOn, LogonMethod, OperatorId, OperatorState, OperatorStore, RoleStore
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.roles import (
    PRESETS,
    SENSITIVE,
    Act,
    Area,
    Level,
    Permissions,
    Role,
    Subject,
    from_document,
    limited,
)

UNATTENDED: Final = frozenset(each for each in SENSITIVE if isinstance(each, OperationKind | Act))
"""What of what is sensitive an application may be granted; no area of administration."""
NEVER: Final = frozenset({Area.OPERATORS, Area.ROLES, Area.KEYS})
"""What no application sees, whatever its roles."""


class Acting:
    """Find out who calls, each time anew: roles may have changed, sessions may have ended."""

    def __init__(
        self,
        operators: OperatorStore,
        roles: RoleStore,
        sessions: Sessions,
        first_start: FirstStart | None = None,
        holders: HolderSessions | None = None,
    ) -> None:
        """Judge by the record; `first_start` knows who has the passcode. Without `holders`, no holder logs on."""
        self._holders = holders
        self._first_start = first_start
        self._operators = operators
        self._roles = roles
        self._sessions = sessions

    async def of(self, caller: Caller, token: bytes | None, holder: bytes | None = None) -> Caller:
        """Return the caller as whom it acts; `principal` is None where somebody has to log on first.

        Raises:
            SessionEnded: a token was shown that does not count (any more) here, or two at once.
            NotAllowed: it is an application that was deactivated.
        """
        if caller.unattended is not None:
            if (token, holder) != (None, None):
                raise errors.SessionEnded
            return await self._as_itself(caller, caller.unattended)
        if holder is not None:
            if token is not None or self._holders is None:
                raise errors.SessionEnded
            return _as_holder(caller, await self._holders.admit(holder, caller))
        if token is not None:
            return await self._logged_on(caller, token)
        if caller.lab and not await self._operators.exist():
            return replace(caller, principal=_here(unrestricted(caller.actor), caller))
        return caller

    async def again(self, caller: Caller) -> Caller:
        """Return the caller as it is now, in the middle of something long.

        What a lab station began before there was any operator may be finished.

        Raises:
            SessionEnded: the session has ended meanwhile.
            NotAllowed: it is an application that was deactivated meanwhile.
        """
        if caller.unattended is not None:
            return await self._as_itself(caller, caller.unattended)
        if caller.principal is not None and caller.principal.first_start and self._first_start is not None:
            return replace(caller, principal=_here(await self._first_start.recheck(caller), caller))
        if caller.holder is not None:
            if self._holders is None:
                raise errors.SessionEnded
            return _as_holder(caller, await self._holders.recheck(caller.holder, caller))
        if caller.session is None:
            return caller
        return await self._as(caller, await self._sessions.recheck(caller))

    async def at_server(self, token: bytes, method: str) -> Caller:
        """Return the operator with this session, who asks at the server's own machine, and may make this call.

        The session stays its station's: whoever shows it here is the server's own user besides.

        Raises:
            SessionEnded: it does not count (any more).
            NotAllowed: no permission.
            StepUpNeeded, CardNeeded: the PIN was not asked for recently.
        """
        session = await self._sessions.of_token(token)
        caller = Caller(
            station_id=session.station_id, name="server", lab=False, fingerprint=session.fingerprint
        )
        caller = await self._as(caller, await self._sessions.admit(token, caller))
        rule = authorise_call(caller.principal, method)
        if isinstance(rule, Needs):
            require_proof(caller, rule)
        return caller

    async def anybody(self) -> bool:
        """Whether there are operators, so that somebody can log on."""
        return await self._operators.exist()

    async def _logged_on(self, caller: Caller, token: bytes) -> Caller:
        """Return the caller as whose session this is: an operator's, or that of the first start."""
        try:
            return await self._as(caller, await self._sessions.admit(token, caller))
        except errors.SessionEnded:
            if self._first_start is None:
                raise
            return replace(caller, principal=_here(await self._first_start.admit(token, caller), caller))

    async def _as(self, caller: Caller, present: LoggedOn) -> Caller:
        return replace(
            caller,
            session=present,
            principal=_here(principal_of(present.operator, await all_roles(self._roles)), caller),
            proven=self._sessions.stepped_up_until(present.session) is not None,
            touched=await self._sessions.takes_a_touch(present, caller),
        )

    async def _as_itself(self, caller: Caller, unattended: frozenset[Subject]) -> Caller:
        operator = await self._operators.by_id(OperatorId(caller.station_id))
        if operator is None or operator.state is not OperatorState.ACTIVE:
            raise errors.NotAllowed(what="an application that is not active")
        principal = principal_of(operator, await all_roles(self._roles))
        left = alone(principal.permissions, unattended)
        return replace(caller, principal=_here(replace(principal, permissions=left), caller))


def _as_holder(caller: Caller, session: HolderSessionRecord) -> Caller:
    return replace(caller, holder=session, principal=holder_principal(holding_of(session)))


def alone(permissions: Permissions, unattended: frozenset[Subject]) -> Permissions:
    """Return what of these permissions counts where nobody can be asked for a PIN, but for what is granted `unattended`."""

    def highest(subject: Subject) -> Level:
        if subject in NEVER:
            return Level.HIDDEN
        granted = subject not in SENSITIVE or subject in unattended & UNATTENDED
        return Level.EXECUTE if granted else Level.VIEW

    return limited(permissions, highest)


def _here(principal: Principal, caller: Caller) -> Principal:
    """Return what somebody may do at this station: nothing that its profile leaves out, whatever their roles."""
    return replace(principal, permissions=at_station(principal.permissions, caller.profile))


async def all_roles(store: RoleStore) -> Mapping[str, Role]:
    """Return every role that there is, by name: the program's, and those that were made or edited here."""
    return {**PRESETS, **{record.name: from_document(record.document) for record in await store.all()}}


def needs_of(method: str) -> Needs:
    """Return the rule of a call that takes a permission, for whoever judges it again with the template."""
    rule = CALL_RULES[method]
    assert isinstance(rule, Needs), method
    return rule


def permit(caller: Caller, needs: Needs, template: str | None) -> None:
    """Refuse what the caller may not do for this template, or not without the operator's PIN; None where it is about none.

    Raises:
        LogonNeeded: nobody is logged on.
        NotAllowed: no permission.
        StepUpNeeded: the PIN has to be asked for again first; `what` is the subject.
        PresenceNeeded: it takes the operator's card in a reader, or a key that its vendor says takes a touch each time.
    """
    if caller.principal is None:
        raise errors.LogonNeeded
    authorise(caller.principal, needs, template)
    require_proof(caller, needs)


def require_proof(caller: Caller, needs: Needs) -> None:
    """Refuse what is sensitive where the operator's PIN was not asked for recently, or the card not touched just now.

    Raises:
        StepUpNeeded: `what` is the subject.
        PresenceNeeded: an ssh-agent logged on, with a key that does not prove it.
    """
    if needs.sensitive and caller.session is not None and not caller.proven:
        if caller.session.session.method is LogonMethod.AGENT and not caller.touched:
            raise errors.PresenceNeeded(what=needs.subject.value)
        raise errors.StepUpNeeded(what=needs.subject.value)
