"""What a station's faces ask about log-ons: `Sessions` in the words of the wire, with roles and permissions added."""

from server.authority.access import Caller
from server.authority.acting import all_roles
from server.authority.policy import roles_of
from server.authority.sessions import Sessions
from server.ports.operators import LoggedOn, LogonMethod, RoleStore
from shared import errors
from shared.logon import LogonPurpose
from shared.roles import normal
from shared.sessions import Leaving, LogonReply, Proof, RoleName, SessionView


class Logons:
    """Implements `server.authority.services.SessionsService`."""

    def __init__(self, sessions: Sessions, roles: RoleStore) -> None:
        """Show what `sessions` judges."""
        self._sessions = sessions
        self._roles = roles

    async def challenge(self, caller: Caller, purpose: LogonPurpose, server: str) -> bytes:
        """Return a text for the operator's key to sign."""
        return await self._sessions.challenge(caller, purpose, server)

    async def log_on(self, caller: Caller, proof: Proof) -> LogonReply:
        """Begin a session."""
        opened = await self._sessions.log_on(caller, proof)
        view = await self._view(opened.present, caller, failed=opened.failed_logons)
        return LogonReply(token=opened.token, session=view)

    async def step_up(self, caller: Caller, proof: Proof) -> SessionView:
        """Take the proof again."""
        return await self._view(await self._sessions.step_up(caller, proof), caller)

    async def log_off(self, caller: Caller, why: Leaving) -> None:
        """End the caller's session."""
        await self._sessions.log_off(caller, why)

    async def who_is(self, caller: Caller) -> SessionView:
        """Return who is logged on."""
        if caller.session is None:
            raise errors.LogonNeeded
        return await self._view(caller.session, caller)

    async def _view(self, present: LoggedOn, caller: Caller, *, failed: int = 0) -> SessionView:
        session, operator = present.session, present.operator
        roles = sorted(roles_of(operator, await all_roles(self._roles)), key=lambda role: role.name)
        return SessionView(
            operator_id=operator.operator_id,
            name=operator.name,
            began_at=session.began_at,
            ends_at=session.expires_at,
            idle=self._sessions.limits.idle_of(session.method),
            method=session.method,
            possession_only=session.method is LogonMethod.AGENT
            and not await self._sessions.takes_a_touch(present, caller),
            stepped_up_until=self._sessions.stepped_up_until(session),
            roles=tuple(RoleName(name=role.name, title=role.title) for role in roles),
            grants=normal(grant for role in roles for grant in role.grants),
            failed_logons=failed,
            last_logon_at=operator.last_logon_at,
        )
