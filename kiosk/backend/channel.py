"""The channel to the server: how it is opened, and how soon a dead line is noticed."""

from collections.abc import Sequence
from typing import Any, Final

import grpc
import grpc.aio

from kiosk.backend.identity import StationIdentity

MAX_MESSAGE: Final = 4_194_304
"""Bytes."""

OPTIONS: Final[Sequence[tuple[str, Any]]] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    # a dead line is noticed within half a minute, also while a person thinks; without the ping's own time-out
    # (a minute) the one of the keepalive has no effect
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # a counter must not wait for a back-off of minutes
    ("grpc.initial_reconnect_backoff_ms", 250),
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 3_000),
    # a proxy of the environment would be shown the line, and would usually cut it
    ("grpc.enable_http_proxy", 0),
)


def open_channel(identity: StationIdentity, server: str) -> grpc.aio.Channel:
    """Open a channel to `server` (host:port), both ends shown by certificates. Nothing is sent before the first call."""
    credentials = grpc.ssl_channel_credentials(
        root_certificates=identity.server_root,
        private_key=identity.key.reveal(),
        certificate_chain=identity.certificate,
    )
    return grpc.aio.secure_channel(server, credentials, options=OPTIONS)
