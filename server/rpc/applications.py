"""`Applications`: other systems as callers, looked after over the Unix socket, both ends of it."""

from collections.abc import Awaitable, Collection, Iterable, Sequence
from datetime import timedelta
from typing import Final, Protocol, TypeVar

import grpc.aio

from server.authority.administrator import administrator
from server.authority.applications import Applications, ApplicationView
from server.authority.policy import Principal
from server.authority.services import CompromisedStation
from server.ports.store import Application
from server.rpc import admin_messages as messages
from server.rpc.interceptors import Context
from server.rpc.operator_messages import decode_names
from shared import errors
from shared.proto import applications_pb2 as pb
from shared.proto import applications_pb2_grpc
from shared.proto.admin_pb2 import CompromisedStation as CompromisedMessage
from shared.proto.convert_facts import MAX_NAME, bounded
from shared.roles import SUBJECTS, Subject, subject_of
from shared.station_profile import MAX_DOCUMENT, StationProfile, from_document, to_document

# ruff: noqa: N802, ARG002  # methods have the form and the names of the service definition

CALL_TIMEOUT_S: Final = 15.0

R = TypeVar("R")


class ApplicationsServicer(applications_pb2_grpc.ApplicationsServicer):
    """Turn messages into values and back."""

    def __init__(self, service: Applications, by: Principal) -> None:
        """Ask `service` in the name of who is logged on, else of `by`."""
        self._service = service
        self._default = by

    @property
    def _by(self) -> Principal:
        return administrator(self._default)

    async def CreateApplicationToken(
        self, request: pb.CreateApplicationTokenRequest, context: Context
    ) -> pb.CreateApplicationTokenReply:
        """Make a join token for an application."""
        token = await self._service.invite(
            bounded(request.name, MAX_NAME, "name"),
            Application(
                roles=frozenset(decode_names(request.roles)), unattended=_subjects(request.unattended)
            ),
            lab=request.lab,
            valid_for=timedelta(seconds=request.valid_seconds),
            by=self._by,
        )
        return pb.CreateApplicationTokenReply(token=token)

    async def ListApplications(
        self, request: pb.ListApplicationsRequest, context: Context
    ) -> pb.ListApplicationsReply:
        """Return every application."""
        return pb.ListApplicationsReply(applications=map(_encode, await self._service.all()))

    async def SetApplicationRoles(
        self, request: pb.SetApplicationRolesRequest, context: Context
    ) -> pb.Application:
        """Give an application these roles and no others."""
        which, why = _act(request)
        return _encode(await self._service.set_roles(which, decode_names(request.roles), why, self._by))

    async def SetApplicationUnattended(
        self, request: pb.SetApplicationUnattendedRequest, context: Context
    ) -> pb.Application:
        """Say what of what is sensitive an application may do."""
        which, why = _act(request)
        return _encode(
            await self._service.set_unattended(which, _subjects(request.unattended), why, self._by)
        )

    async def SetApplicationProfile(
        self, request: pb.SetApplicationProfileRequest, context: Context
    ) -> pb.Application:
        """Say what an application may be used for."""
        which, why = _act(request)
        profile = from_document(bounded(request.profile, MAX_DOCUMENT, "profile"))
        return _encode(await self._service.set_profile(which, profile, why, self._by))

    async def BlockApplication(self, request: pb.ApplicationActRequest, context: Context) -> pb.Application:
        """Block an application at once."""
        return _encode(await self._service.block(*_act(request), self._by))

    async def UnblockApplication(self, request: pb.ApplicationActRequest, context: Context) -> pb.Application:
        """Let a blocked application work again."""
        return _encode(await self._service.unblock(*_act(request), self._by))

    async def CompromiseApplication(
        self, request: pb.ApplicationActRequest, context: Context
    ) -> CompromisedMessage:
        """Block an application for good, and name the cards whose secrets it carried."""
        return messages.encode_compromised(await self._service.compromised(*_act(request), self._by))

    async def RenameApplication(
        self, request: pb.RenameApplicationRequest, context: Context
    ) -> pb.Application:
        """Call an application by another name."""
        which, why = _act(request)
        name = bounded(request.name, MAX_NAME, "name")
        return _encode(await self._service.rename(which, name, why, self._by))


class _Caller(Protocol):
    """Wait for a call, and raise what the server meant."""

    def __call__(self, call: Awaitable[R], /) -> Awaitable[R]:
        """Wait."""
        ...


class ApplicationsClient:
    """The running server's applications, for `kiosk-server` commands. Raises what `Applications` does."""

    def __init__(self, channel: grpc.aio.Channel, call: _Caller) -> None:
        """Ask over `channel`; `call` waits for an answer and raises our errors."""
        self._stub = applications_pb2_grpc.ApplicationsStub(channel)
        self._call = call

    async def invite(
        self,
        name: str,
        roles: Collection[str],
        unattended: Collection[Subject],
        *,
        lab: bool,
        valid_for: timedelta,
    ) -> str:
        """Make a join token for an application and return its text."""
        request = pb.CreateApplicationTokenRequest(
            name=name,
            roles=sorted(roles),
            unattended=_words(unattended),
            lab=lab,
            valid_seconds=int(valid_for.total_seconds()),
        )
        call = self._stub.CreateApplicationToken(request, timeout=CALL_TIMEOUT_S)
        return (await self._call(call)).token

    async def all(self) -> Sequence[ApplicationView]:
        """Return every application, by name."""
        call = self._stub.ListApplications(pb.ListApplicationsRequest(), timeout=CALL_TIMEOUT_S)
        return tuple(map(_decode, (await self._call(call)).applications))

    async def set_roles(self, which: str, roles: Collection[str], why: str) -> ApplicationView:
        """Give an application these roles and no others."""
        request = pb.SetApplicationRolesRequest(application=which, roles=sorted(roles), why=why)
        call = self._stub.SetApplicationRoles(request, timeout=CALL_TIMEOUT_S)
        return _decode(await self._call(call))

    async def set_unattended(self, which: str, unattended: Collection[Subject], why: str) -> ApplicationView:
        """Say what of what is sensitive an application may do."""
        request = pb.SetApplicationUnattendedRequest(
            application=which, unattended=_words(unattended), why=why
        )
        call = self._stub.SetApplicationUnattended(request, timeout=CALL_TIMEOUT_S)
        return _decode(await self._call(call))

    async def set_profile(self, which: str, profile: StationProfile, why: str) -> ApplicationView:
        """Say what an application may be used for."""
        request = pb.SetApplicationProfileRequest(application=which, profile=to_document(profile), why=why)
        call = self._stub.SetApplicationProfile(request, timeout=CALL_TIMEOUT_S)
        return _decode(await self._call(call))

    async def block(self, which: str, why: str) -> ApplicationView:
        """Let an application do nothing any more, at once."""
        request = pb.ApplicationActRequest(application=which, why=why)
        call = self._stub.BlockApplication(request, timeout=CALL_TIMEOUT_S)
        return _decode(await self._call(call))

    async def unblock(self, which: str, why: str) -> ApplicationView:
        """Let a blocked application work again."""
        request = pb.ApplicationActRequest(application=which, why=why)
        call = self._stub.UnblockApplication(request, timeout=CALL_TIMEOUT_S)
        return _decode(await self._call(call))

    async def compromised(self, which: str, why: str) -> CompromisedStation:
        """Block an application for good, and name the cards whose secrets it carried."""
        request = pb.ApplicationActRequest(application=which, why=why)
        call = self._stub.CompromiseApplication(request, timeout=CALL_TIMEOUT_S)
        return messages.decode_compromised(await self._call(call))

    async def rename(self, which: str, name: str, why: str) -> ApplicationView:
        """Call an application by another name."""
        request = pb.RenameApplicationRequest(application=which, name=name, why=why)
        call = self._stub.RenameApplication(request, timeout=CALL_TIMEOUT_S)
        return _decode(await self._call(call))


# --- messages -------------------------------------------------------------------------------------------


def _encode(view: ApplicationView) -> pb.Application:
    return pb.Application(
        station=messages.encode_view(view.view),
        roles=sorted(view.roles),
        unattended=_words(view.unattended),
        active=view.active,
    )


def _decode(message: pb.Application) -> ApplicationView:
    unattended = _subjects(message.unattended)
    return ApplicationView(
        view=messages.decode_view(message.station),
        roles=frozenset(message.roles),
        unattended=unattended,
        active=message.active,
    )


def _subjects(words: Sequence[str]) -> frozenset[Subject]:
    """Read subjects; `Invalid` for what is none, or far too many."""
    if len(words) > len(SUBJECTS):
        raise errors.Invalid(field="unattended", why=f"at most {len(SUBJECTS)}")
    return frozenset(subject_of(bounded(word, MAX_NAME, "unattended")) for word in words)


def _words(subjects: Iterable[Subject]) -> list[str]:
    return sorted(subject.value for subject in subjects)


class _Reasoned(Protocol):
    """A request about one application that says why."""

    @property
    def application(self) -> str:
        """Which one."""
        ...

    @property
    def why(self) -> str:
        """The reason."""
        ...


def _act(request: _Reasoned) -> tuple[str, str]:
    return (
        bounded(request.application, MAX_NAME, "application"),
        bounded(request.why, messages.MAX_WHY, "why"),
    )
