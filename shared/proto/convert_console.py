"""What faces ask between operations, and what a station is told of itself: message ↔ value."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from shared import errors
from shared.console import CardHints, CardView, Found, ServerView, TemplateView
from shared.credential.lifecycle import AT_SIGHT, OperationKind
from shared.credential.model import HolderId, Person, State
from shared.proto import console_pb2 as pb
from shared.proto import operations_pb2, stations_pb2
from shared.proto.convert_facts import bounded, inverse, member
from shared.proto.convert_items import MAX_TEXT
from shared.proto.convert_sight import decode_drift, decode_sight, encode_drift, encode_sight
from shared.proto.convert_turns import OPERATION_OF, OPERATIONS
from shared.station_profile import EVERYTHING, from_document, to_document

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MAX_PEOPLE: Final = 500
MAX_SEARCH: Final = 200
"""Characters."""

STATES: Final = {
    State.UNREGISTERED: pb.STATE_UNREGISTERED,
    State.REGISTERED: pb.STATE_REGISTERED,
    State.ISSUED: pb.STATE_ISSUED,
    State.ACTIVE: pb.STATE_ACTIVE,
    State.SUSPENDED: pb.STATE_SUSPENDED,
    State.REVOKED: pb.STATE_REVOKED,
    State.RETIRED: pb.STATE_RETIRED,
    State.DELETED: pb.STATE_DELETED,
}
STATE_OF: Final = inverse(STATES)

AT_SIGHT_OF: Final = {OPERATIONS[operation]: operation for operation in AT_SIGHT}
"""Nobody is there to see that a server begins something else: it would choose what becomes of every card that is put in."""


def encode_hints(hints: CardHints) -> pb.CardHints:
    """Turn what a station saw of a card into a message."""
    return pb.CardHints(
        profile=hints.profile,
        serial=hints.serial,
        guid=hints.guid.bytes if hints.guid is not None else b"",
        virtual=hints.virtual,
        sight=encode_sight(hints.sight) if hints.sight is not None else None,
    )


def decode_hints(message: pb.CardHints) -> CardHints:
    """Read what a station saw of a card.

    Raises:
        Garbled: the GUID has not 16 bytes, or the sight is none.
        Invalid: a text that is too long.
    """
    if len(message.guid) not in {0, 16}:
        raise errors.Garbled(why="a GUID has 16 bytes")
    return CardHints(
        profile=bounded(message.profile, MAX_TEXT, "profile"),
        serial=message.serial if message.HasField("serial") else None,
        guid=UUID(bytes=message.guid) if message.guid else None,
        virtual=message.virtual,
        sight=decode_sight(message.sight) if message.HasField("sight") else None,
    )


def encode_question(hints: CardHints, template: str) -> pb.CompareCardRequest:
    """Turn the question how a card differs from a template into a message."""
    return pb.CompareCardRequest(card=encode_hints(hints), template=template)


def decode_question(message: pb.CompareCardRequest) -> tuple[CardHints, str]:
    """Read the question how a card differs from a template; raises as `decode_hints`."""
    return decode_hints(message.card), bounded(message.template, MAX_TEXT, "template")


def encode_card(card: CardView) -> pb.CardView:
    """Turn what the record says of a card into a message."""
    return pb.CardView(
        state=STATES[card.state],
        reachable=[OPERATIONS[operation] for operation in card.reachable],
        interrupted=_number(card.interrupted),
        at_sight=_number(card.at_sight),
        holder=encode_person(card.holder) if card.holder is not None else None,
        template=card.template,
        template_title=card.template_title,
        template_version=card.template_version,
        issued_at=card.issued_at,
        key_generation=card.key_generation,
        notices=card.notices,
        drift=[encode_drift(each) for each in card.drift],
    )


def decode_card(message: pb.CardView) -> CardView:
    """Read what the record says of a card; `Garbled` for a state or operation that nobody knows."""
    return CardView(
        state=member(STATE_OF, message.state, "state"),
        reachable=tuple(member(OPERATION_OF, number, "operation") for number in message.reachable),
        interrupted=member(OPERATION_OF, message.interrupted, "operation") if message.interrupted else None,
        at_sight=member(AT_SIGHT_OF, message.at_sight, "operation at sight") if message.at_sight else None,
        holder=decode_person(message.holder) if message.HasField("holder") else None,
        template=message.template,
        template_title=message.template_title,
        template_version=message.template_version,
        issued_at=message.issued_at,
        key_generation=message.key_generation,
        notices=tuple(message.notices),
        drift=tuple(decode_drift(each) for each in message.drift),
    )


def _number(operation: OperationKind | None) -> "operations_pb2.OperationKind.ValueType":
    return OPERATIONS[operation] if operation is not None else operations_pb2.OPERATION_KIND_UNSPECIFIED


def encode_person(person: Person) -> pb.Person:
    """Turn a person into a message."""
    return pb.Person(
        holder=person.holder,
        name=person.name,
        attributes=person.attributes,
        enabled=person.enabled,
        directory=person.directory,
    )


def decode_person(message: pb.Person) -> Person:
    """Read a person; `Garbled` without an id."""
    if not message.holder:
        raise errors.Garbled(why="a person without id")
    return Person(
        holder=HolderId(message.holder),
        name=message.name,
        attributes=dict(sorted(message.attributes.items())),  # a map's order is anything
        enabled=message.enabled,
        directory=message.directory,
    )


def encode_search(text: str, limit: int, directory: str) -> pb.FindPeopleRequest:
    """Turn a search into a message."""
    return pb.FindPeopleRequest(text=text, limit=limit, directory=directory)


def decode_search(message: pb.FindPeopleRequest) -> tuple[str, int, str]:
    """Read a search: its text, its limit, and the directory that is meant; empty for all of them.

    Raises:
        Invalid: a text is too long, or the limit is not 1 to 500.
    """
    if not 1 <= message.limit <= MAX_PEOPLE:
        raise errors.Invalid(field="limit", why=f"not 1 to {MAX_PEOPLE}")
    directory = bounded(message.directory, MAX_TEXT, "directory")
    return bounded(message.text, MAX_SEARCH, "text"), message.limit, directory


def encode_found(found: Found) -> pb.FindPeopleReply:
    """Turn people that were found into a message."""
    return pb.FindPeopleReply(
        people=[encode_person(person) for person in found.people],
        more=found.more,
        directories=found.directories,
    )


def decode_found(message: pb.FindPeopleReply) -> Found:
    """Read people that were found."""
    return Found(
        people=tuple(decode_person(person) for person in message.people),
        more=message.more,
        directories=tuple(message.directories),
    )


def encode_templates(templates: Sequence[TemplateView]) -> pb.ListTemplatesReply:
    """Turn templates into a message."""
    return pb.ListTemplatesReply(
        templates=[
            pb.TemplateView(
                name=template.name,
                title=template.title,
                version=template.version,
                slots=template.slots,
                needs=template.needs,
                temporary=template.temporary,
                directory=template.directory,
                operator=template.operator,
                unrevocable=template.unrevocable,
            )
            for template in templates
        ]
    )


def decode_templates(message: pb.ListTemplatesReply) -> tuple[TemplateView, ...]:
    """Read templates."""
    return tuple(
        TemplateView(
            name=template.name,
            title=template.title,
            version=template.version,
            slots=tuple(template.slots),
            needs=tuple(template.needs),
            temporary=template.temporary,
            directory=template.directory,
            operator=template.operator,
            unrevocable=tuple(template.unrevocable),
        )
        for template in message.templates
    )


def encode_server(server: ServerView) -> stations_pb2.ServerView:
    """Turn what a station is told of itself into a message."""
    return stations_pb2.ServerView(
        server=server.server,
        version=server.version,
        station=server.station,
        lab=server.lab,
        time_us=0 if server.time is None else (server.time - EPOCH) // timedelta(microseconds=1),
        profile=to_document(server.profile),
        first_start=server.first_start,
    )


def decode_server(message: stations_pb2.ServerView) -> ServerView:
    """Read what a station is told of itself; raises `Garbled` for a time that no calendar has."""
    try:
        time = EPOCH + timedelta(microseconds=message.time_us) if message.time_us else None
    except OverflowError as cause:
        raise errors.Garbled(why="the server's time is out of range") from cause
    return ServerView(
        server=message.server,
        version=message.version,
        station=message.station,
        lab=message.lab,
        time=time,
        profile=from_document(message.profile) if message.profile else EVERYTHING,
        first_start=message.first_start,
    )
