"""Errors that cross a call: error ↔ gRPC status and trailing metadata.

The status is for tools that know nothing of us (load balancers, grpcurl); the truth is the `Error` message in
the trailing metadata. Causes and unexpected exceptions never cross.
"""

from collections.abc import Iterable
from typing import Final

import grpc
from google.protobuf.message import DecodeError

from shared import errors
from shared.errors import KioskError
from shared.proto import facts_pb2 as pb
from shared.proto.convert_facts import printable, put_error, take_error

ERROR_KEY: Final = "kiosk-error-bin"
"""Trailing metadata: a serialised `kiosk.v1.Error`."""

MAX_TRAILER_TEXT: Final = 400
"""Characters of one fact in a trailer: metadata as a whole has 8 KiB in most gRPC implementations."""

STATUS: Final[dict[type[KioskError], grpc.StatusCode]] = {
    errors.CardError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.DeviceError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.PolicyError: grpc.StatusCode.PERMISSION_DENIED,
    errors.RequestError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.ConnectorError: grpc.StatusCode.UNAVAILABLE,
    errors.StoreError: grpc.StatusCode.ABORTED,
    errors.ConfigError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ProtocolError: grpc.StatusCode.INTERNAL,
}
"""Branch of the error tree to status code."""

Metadata = Iterable[tuple[str, str | bytes]]


def status_of(error: KioskError) -> grpc.StatusCode:
    """Return the status code of the error's branch."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def to_trailer(error: KioskError) -> tuple[tuple[str, bytes], ...]:
    """Return the trailing metadata that carries an error. Long texts are cut at 400 characters."""
    message = pb.Error()
    put_error(error, message)
    for fact in message.facts:
        if len(fact.text) > MAX_TRAILER_TEXT:
            fact.text = printable(fact.text[: MAX_TRAILER_TEXT - 1]) + "…"
    return ((ERROR_KEY, message.SerializeToString()),)


def from_trailer(metadata: Metadata | None) -> KioskError | None:
    """Return the error in trailing metadata, or None where there is none.

    Bytes that are no error of ours become `Garbled`, which is then the error.
    """
    for key, value in metadata or ():
        if key == ERROR_KEY and isinstance(value, bytes):
            message = pb.Error()
            try:
                message.ParseFromString(value)
                return take_error(message)
            except (DecodeError, errors.Garbled):
                return errors.Garbled(why="the error in the answer cannot be read")
    return None
