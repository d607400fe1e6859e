"""Commands with their holes and texts to sign, and cold resets: message ↔ value.

What arrives is judged as in `convert_turns`: a number or a length that no card takes is refused here.
"""

from typing import Final

from shared import errors
from shared.iso7816.apdu import (
    ANY_STATUS,
    EXTENDED_DATA_MAX,
    EXTENDED_LE_MAX,
    ONLY_OK,
    ColdReset,
    Command,
    Digest,
    Hole,
    Item,
    Part,
    ToBeSigned,
)
from shared.proto import operations_pb2 as pb
from shared.proto.convert_facts import bounded, inverse, member

MAX_PARTS: Final = 64
MAX_STATUSES: Final = 64
MAX_TEXT: Final = 256
"""Characters of a name or label."""
MAX_FIELD: Final = 255
"""Bytes of a hole."""
SW_MAX: Final = 0xFFFF

DIGESTS: Final = {
    Digest.SHA256: pb.DIGEST_SHA256,
    Digest.SHA384: pb.DIGEST_SHA384,
    Digest.PKCS1_SHA256: pb.DIGEST_PKCS1_SHA256,
    Digest.NONE: pb.DIGEST_NONE,
}
_DIGEST_OF: Final = inverse(DIGESTS)


def put_item(item: Item, into: pb.Item) -> None:
    """Write a command or a reset into a message."""
    if isinstance(item, ColdReset):
        into.cold_reset.SetInParent()
        into.cold_reset.label = item.label
        return
    command = into.command
    command.header = bytes((item.cla, item.ins, item.p1, item.p2))
    command.label = item.label
    for part in item.parts:
        _put_part(part, command.parts.add())
    if item.le is not None:
        command.le = item.le
    if item.expect is None:
        command.expectation = pb.EXPECTATION_ANY
    elif item.expect == ONLY_OK:
        command.expectation = pb.EXPECTATION_OK
    else:
        command.expectation = pb.EXPECTATION_LISTED
        command.statuses.extend(sorted(item.expect))
    if item.answer is not None:
        command.answer = item.answer
    command.sensitive = item.sensitive


def _put_part(part: Part, into: pb.Part) -> None:
    match part:
        case bytes():
            into.plain = part
        case Hole():
            into.hole.name = part.name
            into.hole.length = part.length
        case ToBeSigned():
            into.to_be_signed.content = part.content
            into.to_be_signed.digest = DIGESTS[part.digest]
            into.to_be_signed.length = part.length


def take_item(message: pb.Item) -> Item:
    """Read a command or a reset.

    Raises:
        Garbled: malformed, or of a kind that this version does not know.
        Invalid: a text that is too long.
    """
    kind = message.WhichOneof("item")
    if kind == "cold_reset":
        return ColdReset(label=bounded(message.cold_reset.label, MAX_TEXT, "label"))
    if kind is None:
        raise errors.Garbled(why="an item of unknown kind")
    sent = message.command
    header = sent.header
    if len(header) != 4 or len(sent.parts) > MAX_PARTS or (sent.HasField("le") and sent.le > EXTENDED_LE_MAX):
        raise errors.Garbled(why="a command that no card takes")
    command = Command(
        cla=header[0],
        ins=header[1],
        p1=header[2],
        p2=header[3],
        label=bounded(sent.label, MAX_TEXT, "label"),
        parts=tuple([_take_part(part) for part in sent.parts]),
        le=sent.le if sent.HasField("le") else None,
        expect=_take_expectation(sent),
        answer=sent.answer if sent.HasField("answer") else None,
        sensitive=sent.sensitive,
    )
    if command.length > EXTENDED_DATA_MAX:
        raise errors.Garbled(why="a command that no card takes")
    return command


def _take_part(message: pb.Part) -> Part:
    match message.WhichOneof("part"):
        case "plain":
            return message.plain
        case "hole":
            hole = message.hole
            if not 0 < hole.length <= MAX_FIELD:
                raise errors.Garbled(why="a hole without length, or too long")
            return Hole(name=hole_name(hole.name), length=hole.length)
        case "to_be_signed":
            signed = message.to_be_signed
            return ToBeSigned(
                content=signed.content,
                digest=member(_DIGEST_OF, signed.digest, "digest"),
                length=signed.length,
            )
        case _:
            raise errors.Garbled(why="a part of a command of unknown kind")


def _take_expectation(sent: pb.Command) -> frozenset[int] | None:
    match sent.expectation:
        case pb.EXPECTATION_OK:
            return ONLY_OK
        case pb.EXPECTATION_ANY:
            return ANY_STATUS
        case pb.EXPECTATION_LISTED:
            if len(sent.statuses) > MAX_STATUSES or any(status > SW_MAX for status in sent.statuses):
                raise errors.Garbled(why="status words that no card gives")
            return frozenset(sent.statuses)
        case _:
            raise errors.Garbled(why=f"unknown expectation {sent.expectation}")


def hole_name(name: str) -> str:
    """Return the name of a hole; `Garbled` for none."""
    if not name:
        raise errors.Garbled(why="a hole without name")
    return bounded(name, MAX_TEXT, "hole")
