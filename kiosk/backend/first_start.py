"""The first start over gRPC: `kiosk.station.first_start.FirstStartLine`."""

from kiosk.backend.client import GrpcBackend
from shared.first_start import FirstStartView
from shared.proto import first_start_pb2 as pb
from shared.proto import first_start_pb2_grpc
from shared.proto.convert_first_start import decode_begun, decode_view, encode_passcode
from shared.secret import Secret


class GrpcFirstStart:
    """Speaks over a station's line, which keeps the token."""

    def __init__(self, line: GrpcBackend) -> None:
        """Speak over `line`."""
        self._line = line

    async def begin_first_start(self, passcode: Secret) -> FirstStartView:
        """Give the passcode; whoever was logged on here is not any more, and the new session's token goes with every call."""
        self._line.token.forget()
        request = encode_passcode(passcode)
        begun = decode_begun(
            await self._line.ask(
                lambda channel, timeout, metadata: first_start_pb2_grpc.FirstStartStub(channel).Begin(
                    request, timeout=timeout, metadata=metadata
                )
            )
        )
        self._line.token.keep(begun.token)
        return begun.view

    async def view_first_start(self) -> FirstStartView:
        """Return how far it is."""
        return decode_view(
            await self._line.ask(
                lambda channel, timeout, metadata: first_start_pb2_grpc.FirstStartStub(channel).View(
                    pb.ViewFirstStartRequest(), timeout=timeout, metadata=metadata
                )
            )
        )

    async def end_first_start(self) -> None:
        """Tell the server, and forget the token whatever it says."""
        if self._line.token.value is None:
            return
        try:
            await self._line.ask(
                lambda channel, timeout, metadata: first_start_pb2_grpc.FirstStartStub(channel).End(
                    pb.EndFirstStartRequest(), timeout=timeout, metadata=metadata
                )
            )
        finally:
            self._line.token.forget()
