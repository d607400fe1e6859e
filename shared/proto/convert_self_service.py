"""Log-ons of holders: message ↔ value."""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from shared import errors
from shared.credential.self_service import HolderProof
from shared.proto import self_service_pb2 as pb
from shared.proto.convert_facts import bounded
from shared.proto.convert_items import MAX_TEXT
from shared.proto.convert_sessions import MAX_CHALLENGE, decode_proof, encode_proof
from shared.secret import Secret
from shared.self_service import CardShown, CodeGiven, HolderGiven, HolderReply, HolderView, PasswordGiven
from shared.sessions import TOKEN_LENGTH, LogonProof

ID_LENGTH: Final = 16
MAX_NAME: Final = 320
"""Characters of a log-on name: a mail address is the longest."""
MAX_PASSWORD: Final = 1024
"""Bytes."""
MAX_CODE: Final = 64
"""Bytes of a code as it was typed."""


def encode_holder_question(server: str) -> pb.HolderChallengeRequest:
    """Turn the question for a challenge into a message."""
    return pb.HolderChallengeRequest(server=server)


def decode_holder_question(message: pb.HolderChallengeRequest) -> str:
    """Read the question for a challenge; `Invalid` for a name that is too long."""
    return bounded(message.server, MAX_TEXT, "server")


def decode_holder_challenge(message: pb.HolderChallengeReply) -> bytes:
    """Read a challenge; `Garbled` where it is empty or too long."""
    return _bytes(message.text, MAX_CHALLENGE, "text")


def encode_given(given: HolderGiven) -> pb.HolderLogOnRequest:
    """Turn what a holder gives into a message; secrets in it are copies."""
    match given:
        case PasswordGiven(name=name, password=password):
            return pb.HolderLogOnRequest(password=pb.HolderPassword(name=name, password=password.reveal()))
        case CardShown(card=card, proof=proof):
            return pb.HolderLogOnRequest(card=pb.HolderCard(card=card.bytes, proof=encode_proof(proof)))
        case CodeGiven(card=card, code=code):
            return pb.HolderLogOnRequest(code=pb.HolderCode(card=card.bytes, code=code.reveal()))


def decode_given(message: pb.HolderLogOnRequest) -> HolderGiven:
    """Read what a holder gives.

    Raises:
        Garbled: nothing, no proof by a card in a reader, a field that is empty or too long, or an id of another length.
        Invalid: a name that is too long.
    """
    match message.WhichOneof("proof"):
        case "password":
            return PasswordGiven(
                name=bounded(message.password.name, MAX_NAME, "name"),
                password=Secret(_bytes(message.password.password, MAX_PASSWORD, "password")),
            )
        case "card":
            proof = decode_proof(message.card.proof)
            if not isinstance(proof, LogonProof):
                raise errors.Garbled(why="a holder's card is in a reader")
            return CardShown(card=_id(message.card.card), proof=proof)
        case "code":
            return CodeGiven(
                card=_id(message.code.card), code=Secret(_bytes(message.code.code, MAX_CODE, "code"))
            )
        case _:
            raise errors.Garbled(why="a log-on without a proof")


def encode_holder_reply(reply: HolderReply) -> pb.HolderLogOnReply:
    """Turn a log-on that succeeded into a message."""
    return pb.HolderLogOnReply(token=reply.token.reveal(), session=encode_holder(reply.session))


def decode_holder_reply(message: pb.HolderLogOnReply) -> HolderReply:
    """Read a log-on that succeeded; `Garbled` for a token of another length, else as `decode_holder`."""
    if len(message.token) != TOKEN_LENGTH:
        raise errors.Garbled(why=f"a token has {TOKEN_LENGTH} bytes")
    return HolderReply(token=Secret(message.token), session=decode_holder(message.session))


def encode_holder(view: HolderView) -> pb.HolderView:
    """Turn a session into a message."""
    return pb.HolderView(
        holder=view.holder,
        name=view.name,
        proof=view.proof.value,
        began_at=view.began_at.isoformat(),
        ends_at=view.ends_at.isoformat(),
        idle_s=int(view.idle.total_seconds()),
    )


def decode_holder(message: pb.HolderView) -> HolderView:
    """Read a session.

    Raises:
        Garbled: a proof that this version does not know, or a time that is none.
        Invalid: a text that is too long.
    """
    try:
        proof = HolderProof(message.proof)
    except ValueError as cause:
        raise errors.Garbled(why="an unknown proof") from cause
    return HolderView(
        holder=bounded(message.holder, MAX_TEXT, "holder"),
        name=bounded(message.name, MAX_TEXT, "name"),
        proof=proof,
        began_at=_time(message.began_at),
        ends_at=_time(message.ends_at),
        idle=timedelta(seconds=message.idle_s),
    )


def _bytes(raw: bytes, limit: int, what: str) -> bytes:
    if not 0 < len(raw) <= limit:
        raise errors.Garbled(why=f"{what}: 1 to {limit} bytes")
    return raw


def _id(raw: bytes) -> UUID:
    if len(raw) != ID_LENGTH:
        raise errors.Garbled(why=f"an id has {ID_LENGTH} bytes")
    return UUID(bytes=raw)


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(bounded(text, MAX_TEXT, "time"))
    except ValueError as cause:
        raise errors.Garbled(why="not a time") from cause
    if at.tzinfo is None:
        raise errors.Garbled(why="a time without its zone")
    return at.astimezone(UTC)
