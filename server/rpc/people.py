"""`People`: what directories say of people, over the Unix socket, both ends of it."""

from collections.abc import Awaitable, Sequence
from typing import Final, Protocol, TypeVar
from uuid import UUID

import grpc.aio

from server.authority.people import (
    HOLDER_MAX,
    TEXT_MAX,
    AskedDirectory,
    LeaverView,
    PeopleService,
    TriedName,
    TriedTemplate,
    TriedVariable,
)
from server.rpc.interceptors import Context
from shared import errors
from shared.credential.model import RecordId
from shared.proto import facts_pb2, people_pb2_grpc
from shared.proto import people_pb2 as pb
from shared.proto.convert_facts import MAX_NAME, bounded, put_error, take_error

# ruff: noqa: N802, ARG002  # methods have the form and the names of the service definition

CALL_TIMEOUT_S: Final = 30.0
LEAVERS_TIMEOUT_S: Final = 300.0
"""Every holder of a card in use is asked for."""

R = TypeVar("R")


class PeopleServicer(people_pb2_grpc.PeopleServicer):
    """Turn messages into values and back."""

    def __init__(self, service: PeopleService) -> None:
        """Ask `service`."""
        self._service = service

    async def TestTemplate(self, request: pb.TestTemplateRequest, context: Context) -> pb.TestedTemplate:
        """Say what a template makes of one person."""
        tested = await self._service.test_template(
            name=bounded(request.name, MAX_NAME, "name"),
            text=bounded(request.text, TEXT_MAX, "text"),
            holder=bounded(request.holder, HOLDER_MAX, "holder"),
        )
        return pb.TestedTemplate(
            template=tested.template,
            version=tested.version,
            directory=tested.directory,
            holder=tested.holder,
            holder_name=tested.holder_name,
            enabled=tested.enabled,
            variables=[
                pb.TestedVariable(written=each.written, value=each.value, problem=_message(each.problem))
                for each in tested.variables
            ],
            fields=[
                pb.TestedField(
                    slot=each.slot, field=each.name, value=each.value, problem=_message(each.problem)
                )
                for each in tested.names
            ],
        )

    async def ListLeavers(self, request: pb.ListLeaversRequest, context: Context) -> pb.ListLeaversReply:
        """Say who has left."""
        return pb.ListLeaversReply(
            directories=[
                pb.AskedDirectory(
                    name=each.name,
                    asked=each.asked,
                    silent=each.silent,
                    doubtful=each.doubtful,
                    leavers=[
                        pb.Leaver(
                            record_id=leaver.record_id.bytes,
                            holder=leaver.holder,
                            holder_name=leaver.holder_name,
                            template=leaver.template,
                            state=leaver.state,
                            why=leaver.why,
                            policy=leaver.policy,
                        )
                        for leaver in each.leavers
                    ],
                )
                for each in await self._service.leavers()
            ]
        )


class _Caller(Protocol):
    """Wait for an answer; `AdminClient` has it."""

    def __call__(self, answer: Awaitable[R], /) -> Awaitable[R]:
        """Raise our errors."""
        ...


class PeopleClient:
    """The running server as a `PeopleService`, for `kiosk-server` commands."""

    def __init__(self, channel: grpc.aio.Channel, call: _Caller) -> None:
        """Ask over `channel`; `call` waits for an answer and raises our errors."""
        self._stub = people_pb2_grpc.PeopleStub(channel)
        self._call = call

    async def test_template(self, *, name: str, text: str, holder: str) -> TriedTemplate:
        """Say what a template makes of one person."""
        request = pb.TestTemplateRequest(name=name, text=text, holder=holder)
        told = await self._call(self._stub.TestTemplate(request, timeout=CALL_TIMEOUT_S))
        return TriedTemplate(
            template=told.template,
            version=told.version,
            directory=told.directory,
            holder=told.holder,
            holder_name=told.holder_name,
            enabled=told.enabled,
            variables=tuple(
                TriedVariable(written=each.written, value=each.value, problem=_decode(each))
                for each in told.variables
            ),
            names=tuple(
                TriedName(slot=each.slot, name=each.field, value=each.value, problem=_decode(each))
                for each in told.fields
            ),
        )

    async def leavers(self) -> Sequence[AskedDirectory]:
        """Say who has left."""
        told = await self._call(self._stub.ListLeavers(pb.ListLeaversRequest(), timeout=LEAVERS_TIMEOUT_S))
        return [
            AskedDirectory(
                name=each.name,
                asked=each.asked,
                silent=each.silent,
                doubtful=each.doubtful,
                leavers=tuple(
                    LeaverView(
                        record_id=RecordId(UUID(bytes=leaver.record_id)),
                        holder=leaver.holder,
                        holder_name=leaver.holder_name,
                        template=leaver.template,
                        state=leaver.state,
                        why=leaver.why,
                        policy=leaver.policy,
                    )
                    for leaver in each.leavers
                ),
            )
            for each in told.directories
        ]


def _message(problem: errors.KioskError | None) -> facts_pb2.Error | None:
    if problem is None:
        return None
    message = facts_pb2.Error()
    put_error(problem, message)
    return message


def _decode(message: pb.TestedVariable | pb.TestedField) -> errors.KioskError | None:
    return take_error(message.problem) if message.HasField("problem") else None
