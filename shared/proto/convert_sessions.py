"""Log-ons of operators: message ↔ value."""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from shared import errors
from shared.logon import LogonPurpose
from shared.proto import sessions_pb2 as pb
from shared.proto.convert_facts import bounded, inverse, member
from shared.proto.convert_items import MAX_TEXT
from shared.roles import SUBJECTS, TEMPLATES_MAX, Grant, level_of, subject_of
from shared.secret import Secret
from shared.sessions import (
    TOKEN_LENGTH,
    AgentProof,
    Leaving,
    LogonMethod,
    LogonProof,
    LogonReply,
    Proof,
    RoleName,
    SessionView,
)
from shared.ssh.sshsig import MAX_SIGNATURE as MAX_AGENT_SIGNATURE

ID_LENGTH: Final = 16
MAX_CHALLENGE: Final = 1024
"""Bytes of a text to sign."""
MAX_CERTIFICATE: Final = 32 * 1024
MAX_SIGNATURE: Final = 1024
MAX_ROLES: Final = 100
MAX_GRANTS: Final = 2 * len(SUBJECTS)

PURPOSES: Final = {
    LogonPurpose.LOG_ON: pb.LOGON_PURPOSE_LOG_ON,
    LogonPurpose.STEP_UP: pb.LOGON_PURPOSE_STEP_UP,
}
PURPOSE_OF: Final = inverse(PURPOSES)
METHODS: Final = {
    LogonMethod.CARD: pb.LOGON_METHOD_CARD,
    LogonMethod.AGENT: pb.LOGON_METHOD_AGENT,
    LogonMethod.CERTIFICATE: pb.LOGON_METHOD_CERTIFICATE,
}
METHOD_OF: Final = inverse(METHODS)
LEAVINGS: Final = {
    Leaving.LOGGED_OFF: pb.LEAVING_LOGGED_OFF,
    Leaving.CARD_REMOVED: pb.LEAVING_CARD_REMOVED,
    Leaving.DETACHED: pb.LEAVING_DETACHED,
}
LEAVING_OF: Final = inverse(LEAVINGS)


def encode_question(purpose: LogonPurpose, server: str) -> pb.ChallengeRequest:
    """Turn the question for a challenge into a message."""
    return pb.ChallengeRequest(purpose=PURPOSES[purpose], server=server)


def decode_question(message: pb.ChallengeRequest) -> tuple[LogonPurpose, str]:
    """Read the question for a challenge.

    Raises:
        Garbled: an unknown purpose.
        Invalid: a name that is too long.
    """
    return member(PURPOSE_OF, message.purpose, "purpose"), bounded(message.server, MAX_TEXT, "server")


def decode_challenge(message: pb.ChallengeReply) -> bytes:
    """Read a challenge; `Garbled` where it is too long."""
    return _bytes(message.text, MAX_CHALLENGE, "text")


def encode_proof(proof: Proof) -> pb.LogonProof:
    """Turn a proof into a message."""
    if isinstance(proof, AgentProof):
        return pb.LogonProof(text=proof.text, agent_signature=proof.signature)
    return pb.LogonProof(text=proof.text, certificate=proof.certificate, signature=proof.signature)


def decode_proof(message: pb.LogonProof) -> Proof:
    """Read a proof; `Garbled` for a field that is empty or too long, or for a proof by a card and an agent at once."""
    text = _bytes(message.text, MAX_CHALLENGE, "text")
    if message.agent_signature:
        if message.certificate or message.signature:
            raise errors.Garbled(why="proven by a card or by an ssh-agent")
        signature = _bytes(message.agent_signature, MAX_AGENT_SIGNATURE, "agent signature")
        return AgentProof(text=text, signature=signature)
    return LogonProof(
        text=text,
        certificate=_bytes(message.certificate, MAX_CERTIFICATE, "certificate"),
        signature=_bytes(message.signature, MAX_SIGNATURE, "signature"),
    )


def encode_leaving(why: Leaving) -> pb.LogOffRequest:
    """Turn the end of a session into a message."""
    return pb.LogOffRequest(why=LEAVINGS[why])


def decode_leaving(message: pb.LogOffRequest) -> Leaving:
    """Read why a session ends. It ends for a reason, too, that this version does not know: as if somebody asked."""
    return LEAVING_OF.get(message.why, Leaving.LOGGED_OFF)


def encode_logged_on(reply: LogonReply) -> pb.LogOnReply:
    """Turn a log-on that succeeded into a message."""
    return pb.LogOnReply(token=reply.token.reveal(), session=encode_session(reply.session))


def decode_logged_on(message: pb.LogOnReply) -> LogonReply:
    """Read a log-on that succeeded; `Garbled` for a token of another length, else as `decode_session`."""
    if len(message.token) != TOKEN_LENGTH:
        raise errors.Garbled(why=f"a token has {TOKEN_LENGTH} bytes")
    return LogonReply(token=Secret(message.token), session=decode_session(message.session))


def encode_session(view: SessionView) -> pb.SessionView:
    """Turn a session into a message."""
    return pb.SessionView(
        operator_id=view.operator_id.bytes,
        name=view.name,
        began_at=_written(view.began_at),
        ends_at=_written(view.ends_at),
        idle_s=int(view.idle.total_seconds()),
        stepped_up_until=_written(view.stepped_up_until),
        roles=[pb.RoleName(name=role.name, title=role.title) for role in view.roles],
        grants=[encode_grant(grant) for grant in view.grants],
        failed_logons=view.failed_logons,
        last_logon_at=_written(view.last_logon_at),
        method=METHODS[view.method],
        possession_only=view.possession_only,
    )


def decode_session(message: pb.SessionView) -> SessionView:
    """Read a session.

    Raises:
        Garbled: an id of another length, a time that is none, an unknown method, or too many roles or grants.
        Invalid: a text that is too long, or a grant of what this version does not know.
    """
    if len(message.operator_id) != ID_LENGTH:
        raise errors.Garbled(why=f"an id has {ID_LENGTH} bytes")
    if len(message.roles) > MAX_ROLES or len(message.grants) > MAX_GRANTS:
        raise errors.Garbled(why="more roles or grants than there are")
    began_at, ends_at = _read(message.began_at), _read(message.ends_at)
    if began_at is None or ends_at is None:
        raise errors.Garbled(why="a session without begin or end")
    return SessionView(
        operator_id=UUID(bytes=message.operator_id),
        name=bounded(message.name, MAX_TEXT, "name"),
        began_at=began_at,
        ends_at=ends_at,
        idle=timedelta(seconds=message.idle_s),
        stepped_up_until=_read(message.stepped_up_until),
        roles=tuple(
            RoleName(name=bounded(role.name, MAX_TEXT, "role"), title=bounded(role.title, MAX_TEXT, "role"))
            for role in message.roles
        ),
        grants=tuple(decode_grant(grant) for grant in message.grants),
        failed_logons=message.failed_logons,
        last_logon_at=_read(message.last_logon_at),
        method=member(METHOD_OF, message.method, "method"),
        possession_only=message.possession_only,
    )


def encode_grant(grant: Grant) -> pb.Grant:
    """Turn a grant into a message."""
    return pb.Grant(
        subject=grant.subject.value,
        level=grant.level.word,
        templates=sorted(grant.templates or ()),
        all_templates=grant.templates is None,
    )


def decode_grant(message: pb.Grant) -> Grant:
    """Read a grant.

    Raises:
        Garbled: too many templates, or some although it is for all.
        Invalid: a subject or a level that this version does not know.
    """
    if len(message.templates) > TEMPLATES_MAX or (message.all_templates and message.templates):
        raise errors.Garbled(why="the templates of a grant")
    names = frozenset(bounded(name, MAX_TEXT, "template") for name in message.templates)
    return Grant(
        subject=subject_of(message.subject),
        level=level_of(message.level),
        templates=None if message.all_templates else names,
    )


def _bytes(raw: bytes, limit: int, what: str) -> bytes:
    if not 0 < len(raw) <= limit:
        raise errors.Garbled(why=f"{what}: 1 to {limit} bytes")
    return raw


def _written(at: datetime | None) -> str:
    return "" if at is None else at.isoformat()


def _read(text: str) -> datetime | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(bounded(text, MAX_TEXT, "time"))
    except ValueError as cause:
        raise errors.Garbled(why="not a time") from cause
    if at.tzinfo is None:
        raise errors.Garbled(why="a time without its zone")
    return at.astimezone(UTC)
