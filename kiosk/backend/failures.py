"""What gRPC says when a call fails, as errors of ours with plain reasons."""

from enum import StrEnum, unique
from typing import Final

import grpc
import grpc.aio

from shared import errors
from shared.errors import KioskError
from shared.proto.status import from_trailer


@unique
class Reason(StrEnum):
    """Why a server cannot be reached, in words for people."""

    REFUSED = "connection refused: nothing listens there"
    NAME = "name not found"
    ROUTE = "no route to it"
    TIMEOUT = "no answer in time"
    EXPIRED = "its certificate has expired"
    OTHER_SERVER = "its certificate is not from the server that this station joined"
    OTHER_NAME = "its certificate is for another name"
    NOT_ACCEPTED = "it does not accept this station's certificate"
    HUNG_UP = "it hung up at once: it may not accept this station's certificate"
    """In TLS 1.3 a client learns no more: its certificate is judged after its side of the handshake is over."""
    HANDSHAKE = "the TLS handshake failed"
    CLOSED = "it closed the line"
    NO_ANSWER = "no answer"


_SIGNS: Final = (
    ("certificate has expired", Reason.EXPIRED),
    ("Hostname Verification Check failed", Reason.OTHER_NAME),
    ("is not in peer certificate", Reason.OTHER_NAME),
    ("TLSV1_ALERT_UNKNOWN_CA", Reason.NOT_ACCEPTED),
    ("ALERT_CERTIFICATE", Reason.NOT_ACCEPTED),
    ("ALERT_BAD_CERTIFICATE", Reason.NOT_ACCEPTED),
    ("CERTIFICATE_VERIFY_FAILED", Reason.OTHER_SERVER),
    ("certificate signature failure", Reason.OTHER_SERVER),
    ("andshake failed", Reason.HANDSHAKE),
    ("Connection refused", Reason.REFUSED),
    ("DNS", Reason.NAME),
    ("Domain name not found", Reason.NAME),
    ("Name or service not known", Reason.NAME),
    ("unreachable", Reason.ROUTE),
    ("No route to host", Reason.ROUTE),
    ("timed out", Reason.TIMEOUT),
    ("Timeout", Reason.TIMEOUT),
    ("closed", Reason.CLOSED),
    ("reset by peer", Reason.CLOSED),
    ("Broken pipe", Reason.CLOSED),
    ("GOAWAY", Reason.CLOSED),
    ("EOF", Reason.CLOSED),
    ("Cancelling", Reason.CLOSED),
    ("Internal error from Core", Reason.CLOSED),
)
"""What stands in gRPC's details, the more telling first: they are the only place where it says why."""

_WROTE_TO_NOBODY: Final = "Internal error from Core"
"""What grpcio's asyncio client says when it was writing while the stream ended."""

_GONE: Final = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
)


def reason_of(error: grpc.aio.AioRpcError) -> Reason:
    """Return why the server cannot be reached."""
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Reason.TIMEOUT
    details = error.details() or ""
    reason = next((reason for sign, reason in _SIGNS if sign in details), Reason.NO_ANSWER)
    if reason is Reason.CLOSED and details.startswith("failed to connect"):
        return Reason.HUNG_UP
    return reason


def failure_of(error: grpc.aio.AioRpcError, server: str) -> KioskError:
    """Return the error that a failed call stands for: the server's own one, or why there was no answer."""
    known = from_trailer(error.trailing_metadata())
    if known is not None:
        return known
    if error.code() in _GONE or error.details() == _WROTE_TO_NOBODY:
        return errors.ServerUnreachable(server=server, reason=str(reason_of(error)))
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return errors.Garbled(why="a message that is too large")
    return errors.UnknownFailure(reported=error.code().name)
