"""Connections: message ↔ value. Secrets are read from messages, and never written into one that leaves the server."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from server.authority.connection_views import ConnectionView, Source
from server.ports.connection import Ability, Aspect, Finding, Port, Value, Verdict
from server.ports.line import Circuit, LineState
from server.rpc.admin_messages import moment, timestamp
from shared import errors
from shared.proto import connections_pb2 as pb
from shared.proto.convert_facts import MAX_NAME, bounded, inverse, member, put_error, take_error
from shared.secret import Secret

MAX_VALUES: Final = 100
"""Of one connection."""

_PORTS: Final = {Port.CA: pb.CONNECTION_PORT_CA, Port.DIRECTORY: pb.CONNECTION_PORT_DIRECTORY}
_PORT_OF: Final = inverse(_PORTS)
_SOURCES: Final = {
    Source.SERVER: pb.CONNECTION_SOURCE_SERVER,
    Source.SETTINGS: pb.CONNECTION_SOURCE_SETTINGS,
    Source.RECORD: pb.CONNECTION_SOURCE_RECORD,
}
_SOURCE_OF: Final = inverse(_SOURCES)
_CIRCUITS: Final = {
    Circuit.CLOSED: pb.CONNECTION_CIRCUIT_CLOSED,
    Circuit.OPEN: pb.CONNECTION_CIRCUIT_OPEN,
    Circuit.HALF_OPEN: pb.CONNECTION_CIRCUIT_HALF_OPEN,
}
_CIRCUIT_OF: Final = inverse(_CIRCUITS)
_VERDICTS: Final = {
    Verdict.WORKS: pb.CONNECTION_VERDICT_WORKS,
    Verdict.FAILS: pb.CONNECTION_VERDICT_FAILS,
    Verdict.UNKNOWN: pb.CONNECTION_VERDICT_UNKNOWN,
    Verdict.NOT_THERE: pb.CONNECTION_VERDICT_NOT_THERE,
    Verdict.SKIPPED: pb.CONNECTION_VERDICT_SKIPPED,
}
_VERDICT_OF: Final = inverse(_VERDICTS)


def encode_values(values: Mapping[str, Value]) -> list[pb.ConnectionValue]:
    """Turn values into messages, for the server alone where there are secrets among them."""
    return [_encode_value(name, value) for name, value in sorted(values.items())]


def _encode_value(name: str, value: Value) -> pb.ConnectionValue:
    match value:
        case bool():
            return pb.ConnectionValue(name=name, flag=value)
        case int():
            return pb.ConnectionValue(name=name, number=value)
        case str():
            return pb.ConnectionValue(name=name, text=value)
        case tuple():
            return pb.ConnectionValue(name=name, texts=pb.ConnectionTexts(texts=value))
        case Secret():
            return pb.ConnectionValue(name=name, secret=value.reveal())
        case _:
            return pb.ConnectionValue(name=name, table=pb.ConnectionTable(entries=value))


def decode_values(messages: Sequence[pb.ConnectionValue]) -> dict[str, Value]:
    """Read values; `Garbled` for one without a value, `Invalid` for too many, or two of one name."""
    if len(messages) > MAX_VALUES:
        raise errors.Invalid(field="values", why=f"more than {MAX_VALUES}")
    found: dict[str, Value] = {}
    for message in messages:
        name = bounded(message.name, MAX_NAME, "values")
        if name in found:
            raise errors.Invalid(field=name, why="it is given twice")
        found[name] = _decode_value(message)
    return found


def _decode_value(message: pb.ConnectionValue) -> Value:
    match message.WhichOneof("value"):
        case "text":
            return message.text
        case "number":
            return message.number
        case "flag":
            return message.flag
        case "texts":
            return tuple(message.texts.texts)
        case "table":
            return dict(message.table.entries)
        case "secret":
            return Secret(message.secret)
        case _:
            raise errors.Garbled(why="a value of no kind")


def encode_connection(view: ConnectionView) -> pb.Connection:
    """Turn a connection into a message."""
    message = pb.Connection(
        name=view.name,
        kind=view.kind,
        port=_PORTS[view.port],
        source=_SOURCES[view.source],
        abilities=[each.value for each in view.abilities],
        version=view.version,
        changed_at=_at(view.changed_at),
        changed_by=view.changed_by,
        values=encode_values(
            {name: value for name, value in view.values.items() if not isinstance(value, Secret)}
        ),
        secrets=view.secrets,
        templates=view.templates,
        line=None if view.line is None else _encode_line(view.line),
        credential_ends=_at(view.credential_ends),
    )
    if view.problem is not None:
        put_error(view.problem, message.problem)
    return message


def decode_connection(message: pb.Connection) -> ConnectionView:
    """Read a connection; `Garbled` for a port or a source that nobody knows. Unknown abilities are left out."""
    known = {each.value: each for each in Ability}
    return ConnectionView(
        name=message.name,
        kind=message.kind,
        port=member(_PORT_OF, message.port, "port"),
        source=member(_SOURCE_OF, message.source, "source"),
        abilities=tuple(known[each] for each in message.abilities if each in known),
        version=message.version,
        changed_at=_moment(message, "changed_at"),
        changed_by=message.changed_by,
        values=decode_values(message.values),
        secrets=tuple(message.secrets),
        templates=tuple(message.templates),
        line=_decode_line(message.line) if message.HasField("line") else None,
        credential_ends=_moment(message, "credential_ends"),
        problem=take_error(message.problem) if message.HasField("problem") else None,
    )


def _encode_line(state: LineState) -> pb.ConnectionLine:
    return pb.ConnectionLine(
        circuit=_CIRCUITS[state.circuit],
        retry_at=_at(state.retry_at),
        running=state.running,
        answered=state.answered,
        failed=state.failed,
        repeated_calls=state.repeated,
        refused_here=state.refused_here,
        busy_ms=state.busy_ms,
        last_answer_at=_at(state.last_answer_at),
        last_failure_at=_at(state.last_failure_at),
        reason=state.reason,
    )


def _decode_line(message: pb.ConnectionLine) -> LineState:
    return LineState(
        circuit=member(_CIRCUIT_OF, message.circuit, "circuit"),
        retry_at=_moment(message, "retry_at"),
        running=message.running,
        answered=message.answered,
        failed=message.failed,
        repeated=message.repeated_calls,
        refused_here=message.refused_here,
        busy_ms=message.busy_ms,
        last_answer_at=_moment(message, "last_answer_at"),
        last_failure_at=_moment(message, "last_failure_at"),
        reason=message.reason,
    )


def encode_finding(finding: Finding) -> pb.ConnectionFinding:
    """Turn a line of a test into a message."""
    return pb.ConnectionFinding(
        aspect=finding.aspect.value, verdict=_VERDICTS[finding.verdict], detail=finding.detail
    )


def decode_finding(message: pb.ConnectionFinding) -> Finding:
    """Read a line of a test; `Garbled` for an aspect or a verdict that nobody knows."""
    aspects = {each.value: each for each in Aspect}
    return Finding(
        aspect=member(aspects, message.aspect, "aspect"),
        verdict=member(_VERDICT_OF, message.verdict, "verdict"),
        detail=message.detail,
    )


def _at(at: datetime | None) -> Timestamp | None:
    return None if at is None else timestamp(at)


def _moment(message: pb.Connection | pb.ConnectionLine, field: str) -> datetime | None:
    return moment(getattr(message, field)) if message.HasField(field) else None  # type: ignore[arg-type]  # a name of one of them
