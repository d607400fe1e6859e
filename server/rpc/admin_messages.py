"""Administration: message ↔ value."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from server.authority.presence import Presence
from server.authority.services import (
    CarriedCard,
    Check,
    CompromisedStation,
    KeyGeneration,
    ServerStatus,
    StationView,
    TemplateAction,
    TemplateLine,
    TemplateText,
)
from server.ports.store import StationRecord, StationState
from shared import errors
from shared.credential.model import RecordId, State, StationId
from shared.proto import admin_pb2 as pb
from shared.proto.convert_facts import bounded, inverse, member, put_error, put_facts, take_error, take_facts
from shared.station_profile import Face, from_document, to_document

MAX_TEXTS: Final = 500
MAX_SOURCE: Final = 4096
MAX_WHY: Final = 4096
MAX_TEMPLATE: Final = 262_144
"""Characters of one template."""

_STATES: Final = {
    StationState.ACTIVE: pb.STATION_STATE_ACTIVE,
    StationState.BLOCKED: pb.STATION_STATE_BLOCKED,
    StationState.COMPROMISED: pb.STATION_STATE_COMPROMISED,
}
_STATE_OF: Final = inverse(_STATES)
_FACES: Final = {face.value: face for face in Face}
_CARD_STATES: Final = {state.value: state for state in State}
_ACTIONS: Final = {
    TemplateAction.CREATE: pb.TEMPLATE_ACTION_CREATE,
    TemplateAction.UPDATE: pb.TEMPLATE_ACTION_UPDATE,
    TemplateAction.KEEP: pb.TEMPLATE_ACTION_KEEP,
    TemplateAction.REFUSE: pb.TEMPLATE_ACTION_REFUSE,
}
_ACTION_OF: Final = inverse(_ACTIONS)


def encode_stations(stations: Sequence[StationView]) -> pb.ListStationsReply:
    """Turn stations into a message."""
    return pb.ListStationsReply(stations=[encode_view(view) for view in stations])


def encode_view(view: StationView) -> pb.StationEntry:
    """Turn a station, and what is known of its presence, into a message."""
    seen = view.presence
    entry = encode_station(view.station)
    entry.version, entry.readers = seen.version, seen.readers
    entry.faces.extend(sorted(seen.faces))
    if seen.last_seen_at is not None:
        entry.last_seen_at.FromDatetime(seen.last_seen_at)
    return entry


def decode_view(message: pb.StationEntry) -> StationView:
    """Read a station with its presence; `Garbled` as below."""
    return StationView(
        station=decode_station(message),
        presence=Presence(
            last_seen_at=moment(message.last_seen_at) if message.HasField("last_seen_at") else None,
            version=message.version,
            readers=message.readers,
            faces=frozenset(member(_FACES, face, "face") for face in message.faces),
        ),
    )


def encode_station(station: StationRecord) -> pb.StationEntry:
    """Turn a station into a message."""
    return pb.StationEntry(
        profile=to_document(station.profile),
        station_id=station.station_id.bytes,
        name=station.name,
        fingerprint=station.fingerprint,
        lab=station.lab,
        state=_STATES[station.state],
        joined_at=timestamp(station.joined_at),
        not_after=timestamp(station.not_after),
    )


def decode_stations(message: pb.ListStationsReply) -> tuple[StationView, ...]:
    """Read stations; `Garbled` as below."""
    return tuple(decode_view(station) for station in message.stations)


def decode_station(message: pb.StationEntry) -> StationRecord:
    """Read a station; `Garbled` for a state that nobody knows or an id of another length."""
    return StationRecord(
        station_id=StationId(decode_id(message.station_id)),
        name=message.name,
        fingerprint=message.fingerprint,
        lab=message.lab,
        state=member(_STATE_OF, message.state, "station's state"),
        joined_at=moment(message.joined_at),
        not_after=moment(message.not_after),
        profile=from_document(message.profile),
    )


def encode_compromised(compromised: CompromisedStation) -> pb.CompromisedStation:
    """Turn a compromised station into a message."""
    return pb.CompromisedStation(
        station=encode_station(compromised.station),
        cards=[
            pb.CarriedCard(
                record_id=card.record_id.bytes,
                at=timestamp(card.at),
                serial=card.serial,
                state=card.state.value,
                holder=card.holder,
                rotates_puk=card.rotates_puk,
                rekeys=card.rekeys,
            )
            for card in compromised.cards
        ],
    )


def decode_compromised(message: pb.CompromisedStation) -> CompromisedStation:
    """Read a compromised station; `Garbled` for a state that nobody knows or an id of another length."""
    return CompromisedStation(
        station=decode_station(message.station),
        cards=tuple(
            CarriedCard(
                record_id=RecordId(decode_id(card.record_id)),
                at=moment(card.at),
                serial=card.serial if card.HasField("serial") else None,
                state=member(_CARD_STATES, card.state, "card's state"),
                holder=card.holder,
                rotates_puk=card.rotates_puk,
                rekeys=card.rekeys,
            )
            for card in message.cards
        ),
    )


def encode_texts(texts: Sequence[TemplateText]) -> pb.TemplateTexts:
    """Turn texts of templates into a message."""
    return pb.TemplateTexts(texts=[pb.TemplateText(source=text.source, text=text.text) for text in texts])


def decode_texts(message: pb.TemplateTexts) -> tuple[TemplateText, ...]:
    """Read texts of templates; `Invalid` for too many or too long ones."""
    if not 0 < len(message.texts) <= MAX_TEXTS:
        raise errors.Invalid(field="texts", why=f"not 1 to {MAX_TEXTS}")
    return tuple(
        TemplateText(
            source=bounded(text.source, MAX_SOURCE, "source"), text=bounded(text.text, MAX_TEMPLATE, "text")
        )
        for text in message.texts
    )


def encode_lines(lines: Sequence[TemplateLine]) -> pb.TemplateLines:
    """Turn what becomes of templates into a message."""
    message = pb.TemplateLines()
    for line in lines:
        entry = message.lines.add(
            source=line.source,
            name=line.name,
            action=_ACTIONS[line.action],
            from_version=line.from_version,
            to_version=line.to_version,
            changes=line.changes,
            warnings=line.warnings,
        )
        for problem in line.problems:
            put_error(problem, entry.problems.add())
    return message


def decode_lines(message: pb.TemplateLines) -> tuple[TemplateLine, ...]:
    """Read what becomes of templates; `Garbled` for an action that nobody knows."""
    return tuple(
        TemplateLine(
            source=line.source,
            name=line.name,
            action=member(_ACTION_OF, line.action, "action"),
            from_version=line.from_version,
            to_version=line.to_version,
            changes=tuple(line.changes),
            problems=tuple(take_error(problem) for problem in line.problems),
            warnings=tuple(line.warnings),
        )
        for line in message.lines
    )


def encode_status(status: ServerStatus) -> pb.ServerStatusReply:
    """Turn the server's status into a message."""
    message = pb.ServerStatusReply(
        server=status.server, version=status.version, started_at=timestamp(status.started_at)
    )
    for check in status.checks:
        entry = message.checks.add(subject=check.subject)
        if check.error is not None:
            put_error(check.error, entry.error)
        put_facts(check.facts, entry.facts)
    return message


def decode_status(message: pb.ServerStatusReply) -> ServerStatus:
    """Read the server's status."""
    return ServerStatus(
        server=message.server,
        version=message.version,
        started_at=moment(message.started_at),
        checks=tuple(
            Check(
                subject=check.subject,
                error=take_error(check.error) if check.HasField("error") else None,
                facts=take_facts(check.facts),
            )
            for check in message.checks
        ),
    )


def encode_generation(generation: KeyGeneration) -> pb.KeyGeneration:
    """Turn a generation of the master key into a message."""
    return pb.KeyGeneration(
        generation=generation.generation,
        created_at=timestamp(generation.created_at),
        cards=generation.cards,
        why=generation.why,
        actor=generation.actor,
    )


def decode_generation(message: pb.KeyGeneration) -> KeyGeneration:
    """Read a generation of the master key."""
    return KeyGeneration(
        generation=message.generation,
        created_at=moment(message.created_at),
        cards=message.cards,
        why=message.why,
        actor=message.actor,
    )


def timestamp(at: datetime) -> Timestamp:
    """Turn a moment into a message."""
    message = Timestamp()
    message.FromDatetime(at)
    return message


def moment(message: Timestamp) -> datetime:
    """Read a moment."""
    return message.ToDatetime(tzinfo=UTC)


def decode_id(raw: bytes) -> UUID:
    """Read an id; `Garbled` for another length."""
    if len(raw) != 16:
        raise errors.Garbled(why="an id has 16 bytes")
    return UUID(bytes=raw)
