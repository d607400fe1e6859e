"""Credentials whose cards are not here: message ↔ value."""

from typing import Final
from uuid import UUID

from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.credentials import CodeView, CredentialView, DecisionView, FoundCredentials
from shared.proto import credentials_pb2 as pb
from shared.proto import operations_pb2
from shared.proto.convert_console import MAX_SEARCH, STATE_OF, STATES
from shared.proto.convert_facts import bounded, member, put_facts, take_facts
from shared.proto.convert_items import MAX_TEXT
from shared.proto.convert_turns import OPERATION_OF, OPERATIONS
from shared.secret import Secret

MAX_FOUND: Final = 200
ID_LENGTH: Final = 16


def encode_find(text: str, limit: int) -> pb.FindCredentialsRequest:
    """Turn a search into a message."""
    return pb.FindCredentialsRequest(text=text, limit=limit)


def decode_find(message: pb.FindCredentialsRequest) -> tuple[str, int]:
    """Read a search.

    Raises:
        Invalid: a text that is too long, or a limit that is none.
    """
    if not 0 < message.limit <= MAX_FOUND:
        raise errors.Invalid(field="limit", why=f"1 to {MAX_FOUND}")
    return bounded(message.text, MAX_SEARCH, "text"), message.limit


def encode_credential(view: CredentialView) -> pb.CredentialView:
    """Turn a credential into a message."""
    return pb.CredentialView(
        record_id=view.record_id.bytes,
        credential_id=view.credential_id.bytes if view.credential_id else b"",
        state=STATES[view.state],
        holder=view.holder,
        holder_name=view.holder_name,
        template=view.template,
        template_title=view.template_title,
        template_version=view.template_version,
        profile=view.profile,
        serial=view.serial,
        issued_at=view.issued_at,
        since=view.since,
        ends_at=view.ends_at,
        reason=view.reason,
        reachable=[OPERATIONS[operation] for operation in view.reachable],
        interrupted=(
            OPERATIONS[view.interrupted]
            if view.interrupted is not None
            else operations_pb2.OPERATION_KIND_UNSPECIFIED
        ),
        waits_for_card=view.waits_for_card,
        waiting=view.waiting,
        replaces=view.replaces.bytes if view.replaces else b"",
        primary=view.primary.bytes if view.primary else b"",
    )


def decode_credential(message: pb.CredentialView) -> CredentialView:
    """Read a credential.

    Raises:
        Garbled: an id of another length, or an unknown state or operation.
        Invalid: a text that is too long.
    """
    return CredentialView(
        record_id=_id(message.record_id),
        credential_id=_id(message.credential_id) if message.credential_id else None,
        state=member(STATE_OF, message.state, "state"),
        holder=bounded(message.holder, MAX_TEXT, "holder"),
        holder_name=bounded(message.holder_name, MAX_TEXT, "holder_name"),
        template=bounded(message.template, MAX_TEXT, "template"),
        template_title=bounded(message.template_title, MAX_TEXT, "template_title"),
        template_version=message.template_version,
        profile=bounded(message.profile, MAX_TEXT, "profile"),
        serial=message.serial if message.HasField("serial") else None,
        issued_at=bounded(message.issued_at, MAX_TEXT, "issued_at"),
        since=bounded(message.since, MAX_TEXT, "since"),
        ends_at=bounded(message.ends_at, MAX_TEXT, "ends_at"),
        reason=bounded(message.reason, MAX_TEXT, "reason"),
        reachable=tuple(member(OPERATION_OF, each, "reachable") for each in message.reachable),
        interrupted=member(OPERATION_OF, message.interrupted, "interrupted") if message.interrupted else None,
        waits_for_card=message.waits_for_card,
        waiting=message.waiting,
        replaces=_id(message.replaces) if message.replaces else None,
        primary=_id(message.primary) if message.primary else None,
    )


def encode_found_credentials(found: FoundCredentials) -> pb.FindCredentialsReply:
    """Turn what a search found into a message."""
    return pb.FindCredentialsReply(
        credentials=[encode_credential(each) for each in found.credentials], more=found.more
    )


def decode_found_credentials(message: pb.FindCredentialsReply) -> FoundCredentials:
    """Read what a search found; raises as `decode_credential`."""
    if len(message.credentials) > MAX_FOUND:
        raise errors.Garbled(why=f"more than {MAX_FOUND} credentials")
    return FoundCredentials(
        credentials=tuple(decode_credential(each) for each in message.credentials), more=message.more
    )


def encode_decision(record_id: UUID, operation: OperationKind, reason: str) -> pb.DecideRequest:
    """Turn a decision that is asked for into a message."""
    return pb.DecideRequest(record_id=record_id.bytes, operation=OPERATIONS[operation], reason=reason)


def decode_decision(message: pb.DecideRequest) -> tuple[UUID, OperationKind, str]:
    """Read a decision that is asked for; raises as `decode_credential`."""
    operation = member(OPERATION_OF, message.operation, "operation")
    return _id(message.record_id), operation, bounded(message.reason, MAX_TEXT, "reason")


def encode_decided(decided: DecisionView) -> pb.DecideReply:
    """Turn what came of a decision into a message."""
    message = pb.DecideReply(state=STATES[decided.state])
    put_facts(decided.facts, message.facts)
    return message


def decode_decided(message: pb.DecideReply) -> DecisionView:
    """Read what came of a decision; raises as `decode_credential`."""
    return DecisionView(state=member(STATE_OF, message.state, "state"), facts=take_facts(message.facts))


def encode_help(record_id: UUID) -> pb.HelpRequest:
    """Turn the question for a code into a message."""
    return pb.HelpRequest(record_id=record_id.bytes)


def decode_help(message: pb.HelpRequest) -> UUID:
    """Read the question for a code; `Garbled` for an id of another length."""
    return _id(message.record_id)


def encode_read_out(code: CodeView) -> pb.ReadOutReply:
    """Turn a read-out code into a message."""
    return pb.ReadOutReply(code=code.code.reveal().decode())


def decode_read_out(message: pb.ReadOutReply) -> CodeView:
    """Read a read-out code; `Invalid` for a text that is too long."""
    return CodeView(code=Secret.from_text(bounded(message.code, MAX_TEXT, "code")))


def encode_unblock_code(code: CodeView) -> pb.UnblockCodeReply:
    """Turn an unblock code into a message."""
    return pb.UnblockCodeReply(code=code.code.reveal().decode(), expires_at=code.expires_at)


def decode_unblock_code(message: pb.UnblockCodeReply) -> CodeView:
    """Read an unblock code; `Invalid` for a text that is too long."""
    return CodeView(
        code=Secret.from_text(bounded(message.code, MAX_TEXT, "code")),
        expires_at=bounded(message.expires_at, MAX_TEXT, "expires_at"),
    )


def _id(raw: bytes) -> UUID:
    if len(raw) != ID_LENGTH:
        raise errors.Garbled(why=f"an id has {ID_LENGTH} bytes")
    return UUID(bytes=raw)
