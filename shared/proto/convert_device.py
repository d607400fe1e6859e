"""Log-ons of holders on another device: message ↔ value."""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from shared import errors
from shared.proto import self_service_pb2 as pb
from shared.proto.convert_facts import bounded
from shared.proto.convert_items import MAX_TEXT
from shared.proto.convert_self_service import ID_LENGTH, MAX_NAME, decode_holder_reply, encode_holder_reply
from shared.self_service import DeviceCode, DeviceWaits, HolderReply

MAX_ADDRESS: Final = 512
MAX_INTERVAL_S: Final = 120


def encode_device_name(name: str) -> pb.HolderDeviceRequest:
    """Turn who somebody says they are into a message."""
    return pb.HolderDeviceRequest(name=name)


def decode_device_name(message: pb.HolderDeviceRequest) -> str:
    """Read who somebody says they are; `Invalid` for a name that is too long."""
    return bounded(message.name, MAX_NAME, "name")


def encode_device_question(logon_id: UUID) -> pb.HolderDeviceQuestion:
    """Turn which log-on is meant into a message."""
    return pb.HolderDeviceQuestion(logon_id=logon_id.bytes)


def decode_device_question(message: pb.HolderDeviceQuestion) -> UUID:
    """Read which log-on is meant; `Garbled` for an id of another length."""
    return _id(message.logon_id)


def encode_device(code: DeviceCode) -> pb.HolderDeviceCode:
    """Turn what somebody does on another device into a message."""
    return pb.HolderDeviceCode(
        logon_id=code.logon_id.bytes,
        code=code.code,
        address=code.address,
        whole_address=code.whole_address,
        ends_at=code.ends_at.isoformat(),
        interval_s=code.interval_s,
    )


def decode_device(message: pb.HolderDeviceCode) -> DeviceCode:
    """Read what somebody does on another device.

    Raises:
        Garbled: no code, no address, an id of another length, a time that is none, or an interval that is out of all reason.
        Invalid: a text that is too long.
    """
    try:
        ends_at = datetime.fromisoformat(bounded(message.ends_at, MAX_TEXT, "time"))
    except ValueError as cause:
        raise errors.Garbled(why="not a time") from cause
    if not (message.code and message.address) or ends_at.tzinfo is None:
        raise errors.Garbled(why="a log-on on another device without a code, an address or an end")
    return DeviceCode(
        logon_id=_id(message.logon_id),
        code=bounded(message.code, MAX_TEXT, "code"),
        address=bounded(message.address, MAX_ADDRESS, "address"),
        whole_address=bounded(message.whole_address, MAX_ADDRESS, "address"),
        ends_at=ends_at.astimezone(UTC),
        interval_s=_interval(message.interval_s),
    )


def encode_device_reply(outcome: HolderReply | DeviceWaits) -> pb.HolderDeviceReply:
    """Turn what became of a log-on into a message."""
    if isinstance(outcome, DeviceWaits):
        return pb.HolderDeviceReply(waits_s=outcome.interval_s)
    return pb.HolderDeviceReply(logged_on=encode_holder_reply(outcome))


def decode_device_reply(message: pb.HolderDeviceReply) -> HolderReply | DeviceWaits:
    """Read what became of a log-on; `Garbled` where it says nothing, else as `decode_holder_reply`."""
    match message.WhichOneof("outcome"):
        case "waits_s":
            return DeviceWaits(interval_s=_interval(message.waits_s))
        case "logged_on":
            return decode_holder_reply(message.logged_on)
        case _:
            raise errors.Garbled(why="nothing became of a log-on on another device")


def _interval(seconds: int) -> int:
    if not 0 < seconds <= MAX_INTERVAL_S:
        raise errors.Garbled(why=f"an interval has 1 to {MAX_INTERVAL_S} seconds")
    return seconds


def _id(raw: bytes) -> UUID:
    if len(raw) != ID_LENGTH:
        raise errors.Garbled(why=f"an id has {ID_LENGTH} bytes")
    return UUID(bytes=raw)
