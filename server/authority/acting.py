"""As whom a station acts: an operator who is logged on there, or, before there is any operator, a lab station as itself."""

from collections.abc import Mapping
from dataclasses import replace

from server.authority.access import Caller
from server.authority.places import at_station
from server.authority.policy import CALL_RULES, Needs, Principal, authorise, principal_of, unrestricted
from server.authority.sessions import Sessions
from server.ports.operators import LoggedOn, OperatorStore, RoleStore
from shared import errors
from shared.roles import PRESETS, Role, from_document


class Acting:
    """Find out who calls, each time anew: roles may have changed, sessions may have ended."""

    def __init__(self, operators: OperatorStore, roles: RoleStore, sessions: Sessions) -> None:
        """Judge by the record."""
        self._operators = operators
        self._roles = roles
        self._sessions = sessions

    async def of(self, caller: Caller, token: bytes | None) -> Caller:
        """Return the caller as whom it acts; `principal` is None where somebody has to log on first.

        Raises:
            SessionEnded: a token was shown that does not count (any more) here.
        """
        if token is not None:
            return await self._as(caller, await self._sessions.admit(token, caller))
        if caller.lab and not await self._operators.exist():
            return replace(caller, principal=_here(unrestricted(caller.actor), caller))
        return caller

    async def again(self, caller: Caller) -> Caller:
        """Return the caller as it is now, in the middle of something long.

        What a lab station began before there was any operator may be finished.

        Raises:
            SessionEnded: the session has ended meanwhile.
        """
        if caller.session is None:
            return caller
        return await self._as(caller, await self._sessions.recheck(caller))

    async def anybody(self) -> bool:
        """Whether there are operators, so that somebody can log on."""
        return await self._operators.exist()

    async def _as(self, caller: Caller, present: LoggedOn) -> Caller:
        return replace(
            caller,
            session=present,
            principal=_here(principal_of(present.operator, await all_roles(self._roles)), caller),
            proven=self._sessions.stepped_up_until(present.session) is not None,
        )


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
    """
    if caller.principal is None:
        raise errors.LogonNeeded
    authorise(caller.principal, needs, template)
    require_proof(caller, needs)


def require_proof(caller: Caller, needs: Needs) -> None:
    """Refuse what is sensitive where the operator's PIN was not asked for recently.

    Raises:
        StepUpNeeded: `what` is the subject.
    """
    if needs.sensitive and caller.session is not None and not caller.proven:
        raise errors.StepUpNeeded(what=needs.subject.value)
