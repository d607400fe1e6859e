"""Log-ons of holders over gRPC."""

from uuid import UUID

from kiosk.backend.client import GrpcBackend
from kiosk.ports import LineEnds
from shared.proto import self_service_pb2 as pb
from shared.proto import self_service_pb2_grpc
from shared.proto.convert_device import (
    decode_device,
    decode_device_reply,
    encode_device_name,
    encode_device_question,
)
from shared.proto.convert_self_service import (
    decode_holder,
    decode_holder_challenge,
    decode_holder_reply,
    encode_given,
    encode_holder_question,
)
from shared.self_service import DeviceCode, DeviceWaits, HolderGiven, HolderView


class GrpcSelfService:
    """Speaks over a station's line, whose token is the holder's from a log-on on."""

    def __init__(self, line: GrpcBackend) -> None:
        """Speak over `line`."""
        self._line = line

    @property
    def ends(self) -> LineEnds:
        """Who speaks with whom, as TLS has proven it."""
        return self._line.ends

    async def challenge(self) -> bytes:
        """Ask for a text that the holder's card is to sign."""
        question = encode_holder_question(self.ends.server)
        reply = await self._line.ask(
            lambda channel, timeout, metadata: self_service_pb2_grpc.SelfServiceStub(channel).Challenge(
                question, timeout=timeout, metadata=metadata
            )
        )
        return decode_holder_challenge(reply)

    async def log_on(self, given: HolderGiven) -> HolderView:
        """Begin a session; from now on its token goes with every call."""
        request = encode_given(given)
        message = await self._line.ask(
            lambda channel, timeout, metadata: self_service_pb2_grpc.SelfServiceStub(channel).LogOn(
                request, timeout=timeout, metadata=metadata
            )
        )
        reply = decode_holder_reply(message)
        self._line.token.keep(reply.token, holder=True)
        return reply.session

    async def begin_device(self, name: str) -> DeviceCode:
        """Begin a log-on that somebody finishes on another device."""
        request = encode_device_name(name)
        reply = await self._line.ask(
            lambda channel, timeout, metadata: self_service_pb2_grpc.SelfServiceStub(channel).BeginDevice(
                request, timeout=timeout, metadata=metadata
            )
        )
        return decode_device(reply)

    async def ask_device(self, logon_id: UUID) -> HolderView | DeviceWaits:
        """Ask what became of it; from a log-on that succeeded on, its token goes with every call."""
        request = encode_device_question(logon_id)
        message = await self._line.ask(
            lambda channel, timeout, metadata: self_service_pb2_grpc.SelfServiceStub(channel).AskDevice(
                request, timeout=timeout, metadata=metadata
            )
        )
        outcome = decode_device_reply(message)
        if isinstance(outcome, DeviceWaits):
            return outcome
        self._line.token.keep(outcome.token, holder=True)
        return outcome.session

    async def cancel_device(self, logon_id: UUID) -> None:
        """Say that nobody waits for it any more."""
        request = encode_device_question(logon_id)
        await self._line.ask(
            lambda channel, timeout, metadata: self_service_pb2_grpc.SelfServiceStub(channel).CancelDevice(
                request, timeout=timeout, metadata=metadata
            )
        )

    async def log_off(self) -> None:
        """Tell the server, then forget the token."""
        try:
            await self._line.ask(
                lambda channel, timeout, metadata: self_service_pb2_grpc.SelfServiceStub(channel).LogOff(
                    pb.HolderLogOffRequest(), timeout=timeout, metadata=metadata
                )
            )
        finally:
            self._line.token.forget()

    async def who_is(self) -> HolderView:
        """Return who is logged on; `LogonNeeded` where nobody is."""
        reply = await self._line.ask(
            lambda channel, timeout, metadata: self_service_pb2_grpc.SelfServiceStub(channel).WhoIs(
                pb.HolderWhoIsRequest(), timeout=timeout, metadata=metadata
            )
        )
        return decode_holder(reply)
