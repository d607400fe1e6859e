"""Dry runs: message ↔ value."""

from typing import Final

from shared import errors
from shared.proto import rehearsals_pb2 as pb
from shared.proto.convert_console import decode_hints, encode_hints
from shared.proto.convert_facts import bounded, put_facts, take_facts
from shared.proto.convert_items import MAX_TEXT
from shared.rehearsal import Rehearsal, RehearsalRequest, RehearsedCommand, RehearsedStep, RoundTrip
from shared.relay import StepLine

HEADER_LENGTHS: Final = frozenset({0, 4})


def encode_request(request: RehearsalRequest) -> pb.RehearsalRequest:
    """Turn a question into a message."""
    return pb.RehearsalRequest(
        holder=request.holder, template=request.template, card=encode_hints(request.card)
    )


def decode_request(message: pb.RehearsalRequest) -> RehearsalRequest:
    """Read a question.

    Raises:
        Garbled, Invalid: a text that is too long, or hints that no card gives.
    """
    return RehearsalRequest(
        holder=bounded(message.holder, MAX_TEXT, "holder"),
        template=bounded(message.template, MAX_TEXT, "template"),
        card=decode_hints(message.card),
    )


def encode_rehearsal(rehearsal: Rehearsal) -> pb.Rehearsal:
    """Turn a dry run into a message."""
    message = pb.Rehearsal(
        profile=rehearsal.profile,
        product=rehearsal.product,
        new=rehearsal.new,
        holder=rehearsal.holder,
        holder_name=rehearsal.holder_name,
        template=rehearsal.template,
        template_title=rehearsal.template_title,
        template_version=rehearsal.template_version,
        round_trips=[_round_trip(trip) for trip in rehearsal.round_trips],
        figures=[pb.Figure(name=name, milliseconds=ms) for name, ms in rehearsal.figures.items()],
    )
    for step in rehearsal.steps:
        into = message.steps.add(expected_ms=step.expected_ms)
        into.line.key = step.line.key
        put_facts(step.line.facts, into.line.facts)
    return message


def _round_trip(trip: RoundTrip) -> pb.RoundTrip:
    return pb.RoundTrip(
        commands=[
            pb.RehearsedCommand(
                header=command.header,
                label=command.label,
                data_max=command.data_max,
                response_max=command.response_max,
                expected_ms=command.expected_ms,
            )
            for command in trip.commands
        ],
        expected_ms=trip.expected_ms,
    )


def decode_rehearsal(message: pb.Rehearsal) -> Rehearsal:
    """Read a dry run.

    Raises:
        Garbled: a command whose header has not four bytes.
    """
    return Rehearsal(
        profile=message.profile,
        product=message.product,
        new=message.new,
        holder=message.holder,
        holder_name=message.holder_name,
        template=message.template,
        template_title=message.template_title,
        template_version=message.template_version,
        steps=tuple(
            RehearsedStep(
                line=StepLine(key=step.line.key, facts=take_facts(step.line.facts)),
                expected_ms=step.expected_ms,
            )
            for step in message.steps
        ),
        round_trips=tuple(
            RoundTrip(
                commands=tuple(_command(command) for command in trip.commands), expected_ms=trip.expected_ms
            )
            for trip in message.round_trips
        ),
        figures={figure.name: figure.milliseconds for figure in message.figures},
    )


def _command(message: pb.RehearsedCommand) -> RehearsedCommand:
    if len(message.header) not in HEADER_LENGTHS:
        raise errors.Garbled(why="a command's header has four bytes")
    return RehearsedCommand(
        header=message.header,
        label=message.label,
        data_max=message.data_max,
        response_max=message.response_max,
        expected_ms=message.expected_ms,
    )
