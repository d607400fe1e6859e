"""The first start: message ↔ value."""

from datetime import UTC, datetime
from typing import Final

from shared import errors
from shared.first_start import FirstStartBegun, FirstStartView, OperatorTemplate
from shared.proto import first_start_pb2 as pb
from shared.proto.convert_facts import MAX_NAME, bounded
from shared.secret import Secret
from shared.sessions import TOKEN_LENGTH

MAX_PASSCODE: Final = 1024
MAX_TEMPLATES: Final = 500


def encode_passcode(passcode: Secret) -> pb.BeginFirstStartRequest:
    """Turn a passcode into a message."""
    return pb.BeginFirstStartRequest(passcode=passcode.reveal())


def decode_passcode(message: pb.BeginFirstStartRequest) -> Secret:
    """Read a passcode; `Garbled` for one that is empty or far too long."""
    if not 0 < len(message.passcode) <= MAX_PASSCODE:
        raise errors.Garbled(why="passcode")
    return Secret(message.passcode)


def encode_begun(begun: FirstStartBegun) -> pb.BeginFirstStartReply:
    """Turn a session that was opened into a message."""
    return pb.BeginFirstStartReply(token=begun.token.reveal(), view=encode_view(begun.view))


def decode_begun(message: pb.BeginFirstStartReply) -> FirstStartBegun:
    """Read a session that was opened; `Garbled` for a field that is not as it should be."""
    if len(message.token) != TOKEN_LENGTH:
        raise errors.Garbled(why="token")
    return FirstStartBegun(token=Secret(message.token), view=decode_view(message.view))


def encode_view(view: FirstStartView) -> pb.FirstStartView:
    """Turn how far it is into a message."""
    return pb.FirstStartView(
        ends_at=view.ends_at.astimezone(UTC).isoformat(),
        owner_made=view.owner_made,
        again=view.again,
        templates=[
            pb.OperatorTemplate(
                name=each.name, title=each.title, system_owner=each.system_owner, by_name=each.by_name
            )
            for each in view.templates
        ],
    )


def decode_view(message: pb.FirstStartView) -> FirstStartView:
    """Read how far it is; `Garbled` for a field that is not as it should be."""
    try:
        ends_at = datetime.fromisoformat(message.ends_at)
    except ValueError as cause:
        raise errors.Garbled(why="ends_at") from cause
    if ends_at.tzinfo is None or len(message.templates) > MAX_TEMPLATES:
        raise errors.Garbled(why="first start")
    return FirstStartView(
        ends_at=ends_at,
        owner_made=message.owner_made,
        again=message.again,
        templates=tuple(
            OperatorTemplate(
                name=bounded(each.name, MAX_NAME, "name"),
                title=bounded(each.title, MAX_NAME, "title"),
                system_owner=each.system_owner,
                by_name=each.by_name,
            )
            for each in message.templates
        ),
    )
