"""What gRPC says, in words for people. The details are what grpcio 1.85 says on Linux."""

import grpc
import grpc.aio
import pytest

from kiosk.backend.failures import Reason, failure_of, reason_of
from shared import errors
from shared.proto.status import to_trailer


def failed(
    code: grpc.StatusCode, details: str = "", trailer: tuple[tuple[str, bytes], ...] = ()
) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailer), details)


CONNECT = "failed to connect to all addresses; last error: "
DETAILS = {
    f"{CONNECT}UNKNOWN: ipv4:127.0.0.1:1: connect: Connection refused (111)": Reason.REFUSED,
    f"{CONNECT}UNAVAILABLE: ipv4:127.0.0.1:38633: Socket closed": Reason.HUNG_UP,
    f"{CONNECT}CERTIFICATE_VERIFY_FAILED: certificate has expired": Reason.EXPIRED,
    f"{CONNECT}CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate": Reason.OTHER_SERVER,
    f"{CONNECT}Tls handshake failed (TSI_PROTOCOL_FAILURE): BAD_SIGNATURE": Reason.HANDSHAKE,
    f"{CONNECT}Hostname Verification Check failed.": Reason.OTHER_NAME,
    f"{CONNECT}connect: Network is unreachable (101)": Reason.ROUTE,
    f"{CONNECT}connect: No route to host (113)": Reason.ROUTE,
    f"{CONNECT}connect: Connection timed out (110)": Reason.TIMEOUT,
    "DNS resolution failed for nowhere.invalid:7443": Reason.NAME,
    "Socket closed": Reason.CLOSED,
    "recvmsg:Connection reset by peer": Reason.CLOSED,
    "Cancelling all calls": Reason.CLOSED,
    "something new": Reason.NO_ANSWER,
    "": Reason.NO_ANSWER,
}


@pytest.mark.parametrize("details", DETAILS)
def test_details_become_reasons(details: str) -> None:
    failure = failure_of(failed(grpc.StatusCode.UNAVAILABLE, details), "server:1")
    assert isinstance(failure, errors.ServerUnreachable)
    assert failure.facts == {"server": "server:1", "reason": DETAILS[details]}


def test_a_deadline_is_a_reason_of_its_own() -> None:
    assert reason_of(failed(grpc.StatusCode.DEADLINE_EXCEEDED, "Socket closed")) is Reason.TIMEOUT


def test_the_servers_own_error_comes_first() -> None:
    sent = errors.ConnectorUnreachable(connection="hr", reason="refused")
    failure = failure_of(failed(grpc.StatusCode.UNAVAILABLE, "x", to_trailer(sent)), "server:1")
    assert type(failure) is errors.ConnectorUnreachable


def test_other_statuses() -> None:
    assert isinstance(
        failure_of(failed(grpc.StatusCode.INTERNAL, "Internal error from Core"), "s"),
        errors.ServerUnreachable,
    )
    assert isinstance(failure_of(failed(grpc.StatusCode.RESOURCE_EXHAUSTED), "s"), errors.Garbled)
    unknown = failure_of(failed(grpc.StatusCode.UNIMPLEMENTED), "s")
    assert isinstance(unknown, errors.UnknownFailure)
    assert unknown.facts == {"reported": "UNIMPLEMENTED"}
