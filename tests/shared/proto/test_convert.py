"""Every value survives the wire; what no value could have made is refused."""

from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st

from shared import errors
from shared.console import CardHints, CardView, Found, ServerView, TemplateView
from shared.credential.model import State
from shared.credential.pins import Characters, PinPolicy
from shared.errors import KioskError
from shared.iso7816.apdu import ColdReset, Command, Digest, Hole
from shared.proto import console_pb2, convert_console, convert_facts, convert_items, convert_turns, facts_pb2
from shared.proto import operations_pb2 as pb
from shared.relay import (
    Ask,
    Exchange,
    Failed,
    OperationKind,
    Purpose,
    Question,
    Refusal,
    ServerTurn,
    StationTurn,
)
from tests.shared.proto import values


def same_error(one: KioskError, other: KioskError) -> bool:
    return type(one) is type(other) and one.facts == other.facts


def same(one: Any, other: Any) -> bool:
    """Compare turns; errors have no equality of their own."""
    if isinstance(one, Refusal | Failed) and isinstance(other, type(one)):
        return same_error(one.error, other.error) and replace(one, error=other.error) == other
    return bool(one == other)


def over_the_wire(message: Message) -> Any:
    copy = type(message)()
    copy.ParseFromString(message.SerializeToString())
    return copy


@given(values.station_turns)
def test_station_turns_survive(turn: StationTurn) -> None:
    message = over_the_wire(convert_turns.encode_station_turn(turn))
    assert same(convert_turns.decode_station_turn(message), turn)


@given(values.server_turns)
def test_server_turns_survive(turn: ServerTurn) -> None:
    message = over_the_wire(convert_turns.encode_server_turn(turn))
    assert same(convert_turns.decode_server_turn(message), turn)


@given(values.policies, st.none() | st.integers(0, 15))
def test_policies_survive(policy: PinPolicy, tries_left: int | None) -> None:
    turn = Ask(
        number=1,
        question=Question.NEW_PIN,
        purpose=Purpose.ACTIVATE,
        hole="new",
        uses=2,
        policy=policy,
        tries_left=tries_left,
    )
    assert convert_turns.decode_server_turn(over_the_wire(convert_turns.encode_server_turn(turn))) == turn


@given(values.hints)
def test_hints_survive(hints: CardHints) -> None:
    assert convert_console.decode_hints(over_the_wire(convert_console.encode_hints(hints))) == hints


@given(values.cards)
def test_cards_survive(card: CardView) -> None:
    assert convert_console.decode_card(over_the_wire(convert_console.encode_card(card))) == card


@given(values.found)
def test_people_survive(found: Found) -> None:
    assert convert_console.decode_found(over_the_wire(convert_console.encode_found(found))) == found


@given(values.templates)
def test_templates_survive(templates: tuple[TemplateView, ...]) -> None:
    message = over_the_wire(convert_console.encode_templates(templates))
    assert convert_console.decode_templates(message) == templates


@given(values.servers)
def test_server_view_survives(server: ServerView) -> None:
    assert convert_console.decode_server(over_the_wire(convert_console.encode_server(server))) == server


@given(values.TEXT, st.integers(1, 500))
def test_searches_survive(text: str, limit: int) -> None:
    message = over_the_wire(convert_console.encode_search(text, limit, "staff"))
    assert convert_console.decode_search(message) == (text, limit, "staff")


@pytest.mark.parametrize("kind", errors.BY_CODE.values(), ids=errors.BY_CODE.keys())
def test_every_error_survives_in_a_turn(kind: type[KioskError]) -> None:
    turn = Refusal(number=1, error=kind(sw="6A82", tries_left=2))
    back = convert_turns.decode_station_turn(over_the_wire(convert_turns.encode_station_turn(turn)))
    assert same(back, turn)


def test_every_enum_has_a_number() -> None:
    tables: list[tuple[Any, Any]] = [
        (OperationKind, convert_turns.OPERATIONS),
        (Question, convert_turns.QUESTIONS),
        (Purpose, convert_turns.PURPOSES),
        (Digest, convert_items.DIGESTS),
        (Characters, convert_turns.CHARACTERS),
        (State, convert_console.STATES),
    ]
    for kind, table in tables:
        assert set(kind) == set(table)
        assert 0 not in table.values()


def test_facts_keep_their_order() -> None:
    message = facts_pb2.Error()
    convert_facts.put_error(errors.TemplateInvalid(why="b", line=3, nearest="a"), message)
    assert list(convert_facts.take_error(over_the_wire(message)).facts) == ["why", "line", "nearest"]


def test_a_number_beyond_64_bits_travels_as_text() -> None:
    message = facts_pb2.Error()
    convert_facts.put_error(errors.PinRejected(tries_left=2**63), message)
    assert convert_facts.take_error(message).facts == {"tries_left": str(2**63)}


def test_a_name_that_is_no_utf8_travels_escaped() -> None:
    message = facts_pb2.Error()
    convert_facts.put_error(errors.NoReader(reader="ACR\udc80"), message)
    assert convert_facts.take_error(message).facts == {"reader": "ACR\\udc80"}


def test_an_error_that_nobody_knows() -> None:
    error = convert_facts.take_error(facts_pb2.Error(code="from-the-future"))
    assert isinstance(error, errors.UnknownFailure)
    assert error.facts == {"reported": "from-the-future"}


def command(**fields: Any) -> pb.ServerTurn:
    whole: dict[str, Any] = {"header": bytes(4), "expectation": pb.EXPECTATION_OK} | fields
    return pb.ServerTurn(exchange=pb.Exchange(items=[pb.Item(command=pb.Command(**whole))]))


BAD_SERVER_TURNS = {
    "nothing": pb.ServerTurn(),
    "no items": pb.ServerTurn(exchange=pb.Exchange()),
    "too many items": pb.ServerTurn(exchange=pb.Exchange(items=[pb.Item(cold_reset=pb.ColdReset())] * 257)),
    "empty item": pb.ServerTurn(exchange=pb.Exchange(items=[pb.Item()])),
    "short header": command(header=b"\x00\xa4\x04"),
    "long header": command(header=bytes(5)),
    "unknown expectation": command(expectation=99),
    "unset expectation": command(expectation=0),
    "status of 17 bits": command(expectation=pb.EXPECTATION_LISTED, statuses=[0x10000]),
    "too much expected": command(le=65537),
    "empty part": command(parts=[pb.Part()]),
    "too many parts": command(parts=[pb.Part(plain=b"")] * 65),
    "too much data": command(parts=[pb.Part(plain=bytes(65536))]),
    "hole without name": command(parts=[pb.Part(hole=pb.Hole(length=8))]),
    "hole without length": command(parts=[pb.Part(hole=pb.Hole(name="pin"))]),
    "hole too long": command(parts=[pb.Part(hole=pb.Hole(name="pin", length=256))]),
    "unknown digest": command(parts=[pb.Part(to_be_signed=pb.ToBeSigned(content=b"x"))]),
    "draw without hole": pb.ServerTurn(draw=pb.Draw(uses=1)),
    "draw for ever": pb.ServerTurn(draw=pb.Draw(hole="pin", uses=65)),
    "ask without question": pb.ServerTurn(ask=pb.Ask(purpose=pb.PURPOSE_ISSUE)),
    "ask without purpose": pb.ServerTurn(ask=pb.Ask(question=pb.QUESTION_NEW_PIN)),
    "impossible policy": pb.ServerTurn(
        ask=pb.Ask(
            question=pb.QUESTION_NEW_PIN,
            purpose=pb.PURPOSE_ACTIVATE,
            policy=pb.PinPolicy(min_length=8, max_length=6, characters=pb.CHARACTERS_ANY),
        )
    ),
    "too many steps": pb.ServerTurn(steps=pb.Steps(steps=[pb.StepLine()] * 257)),
    "failed without error": pb.ServerTurn(failed=pb.Failed(state="issued")),
    "fact without value": pb.ServerTurn(done=pb.Done(facts=[facts_pb2.Fact(name="x")])),
    "a fact twice": pb.ServerTurn(done=pb.Done(facts=[facts_pb2.Fact(name="x", number=1)] * 2)),
    "too many facts": pb.ServerTurn(
        done=pb.Done(facts=[facts_pb2.Fact(name=str(index), number=1) for index in range(65)])
    ),
    "error that names self": pb.ServerTurn(
        failed=pb.Failed(error=facts_pb2.Error(code="garbled", facts=[facts_pb2.Fact(name="self", text="x")]))
    ),
    "error with odd names": pb.ServerTurn(
        failed=pb.Failed(error=facts_pb2.Error(code="garbled", facts=[facts_pb2.Fact(name="a b", text="x")]))
    ),
}


@pytest.mark.parametrize("message", BAD_SERVER_TURNS.values(), ids=BAD_SERVER_TURNS.keys())
def test_malformed_server_turns_are_refused(message: pb.ServerTurn) -> None:
    with pytest.raises(errors.Garbled):
        convert_turns.decode_server_turn(message)


BAD_STATION_TURNS = {
    "nothing": pb.StationTurn(),
    "no operation": pb.StationTurn(begin=pb.Begin(reader="x")),
    "unknown operation": pb.StationTurn(begin=pb.Begin(operation=77)),  # type: ignore[arg-type]  # the point
    "status of 17 bits": pb.StationTurn(responses=pb.Responses(responses=[pb.Response(sw=0x10000)])),
    "too many responses": pb.StationTurn(responses=pb.Responses(responses=[pb.Response(sw=0x9000)] * 257)),
    "response too long": pb.StationTurn(
        card_gone=pb.CardGone(responses=[pb.Response(data=bytes(65537), sw=0x9000)])
    ),
    "refusal without error": pb.StationTurn(refusal=pb.Refusal(number=1)),
}


@pytest.mark.parametrize("message", BAD_STATION_TURNS.values(), ids=BAD_STATION_TURNS.keys())
def test_malformed_station_turns_are_refused(message: pb.StationTurn) -> None:
    with pytest.raises(errors.Garbled):
        convert_turns.decode_station_turn(message)


@given(st.binary(max_size=200))
def test_noise_is_a_turn_or_refused(raw: bytes) -> None:
    message = pb.StationTurn()
    try:
        message.ParseFromString(raw)
    except DecodeError:
        return
    try:
        turn = convert_turns.decode_station_turn(message)
    except (errors.Garbled, errors.Invalid):
        return
    assert same(convert_turns.decode_station_turn(convert_turns.encode_station_turn(turn)), turn)


def test_texts_have_limits() -> None:
    with pytest.raises(errors.Invalid) as caught:
        convert_turns.decode_station_turn(
            pb.StationTurn(begin=pb.Begin(operation=pb.OPERATION_KIND_ISSUE, holder="x" * 257))
        )
    assert caught.value.facts["field"] == "holder"
    for limit in (0, 501):
        with pytest.raises(errors.Invalid):
            convert_console.decode_search(console_pb2.FindPeopleRequest(text="x", limit=limit))


def test_malformed_answers_are_refused() -> None:
    with pytest.raises(errors.Garbled):
        convert_console.decode_hints(console_pb2.CardHints(guid=bytes(15)))
    with pytest.raises(errors.Garbled):
        convert_console.decode_card(console_pb2.CardView())
    begun = console_pb2.CardView(state=console_pb2.STATE_ACTIVE, at_sight=pb.OPERATION_KIND_UNREGISTER)
    with pytest.raises(errors.Garbled, match="at sight"):
        convert_console.decode_card(begun)
    with pytest.raises(errors.Garbled):
        convert_console.decode_person(console_pb2.Person(name="x"))


def test_a_pin_has_no_place_in_any_message() -> None:
    """A hole travels as its name and length; no field of a station's turn could take a PIN."""
    turn = Exchange(
        number=1,
        epoch=1,
        items=(ColdReset(), Command(ins=0x20, p2=0x80, label="verify", parts=(Hole(name="pin"),))),
    )
    hole = convert_turns.encode_server_turn(turn).exchange.items[1].command.parts[0].hole
    assert {field.name for field, _ in hole.ListFields()} == {"name", "length"}
    assert {field.name for field in pb.Answer.DESCRIPTOR.fields} == {"number", "given"}


def test_two_values_with_one_number_are_noticed() -> None:
    with pytest.raises(ValueError, match="share"):
        convert_facts.inverse({"a": 1, "b": 1})


def test_questions_with_an_empty_or_long_policy() -> None:
    ask = pb.Ask(question=pb.QUESTION_NEW_PIN, purpose=pb.PURPOSE_ACTIVATE, policy=pb.PinPolicy())
    with pytest.raises(errors.Garbled):
        convert_turns.decode_server_turn(pb.ServerTurn(ask=ask))
    ask.policy.characters = pb.CHARACTERS_ANY
    ask.policy.forbidden.extend(["x"] * 1001)
    with pytest.raises(errors.Garbled):
        convert_turns.decode_server_turn(pb.ServerTurn(ask=ask))


@pytest.mark.parametrize(("texts", "kind"), [(["x"] * 101, errors.Garbled), (["x" * 257], errors.Invalid)])
def test_nobody_has_so_much_data_of_their_own(texts: list[str], kind: type[errors.KioskError]) -> None:
    policy = pb.PinPolicy(characters=pb.CHARACTERS_DIGITS, personal=texts)
    ask = pb.Ask(question=pb.QUESTION_NEW_PIN, purpose=pb.PURPOSE_ACTIVATE, policy=policy)
    with pytest.raises(kind) as caught:
        convert_turns.decode_server_turn(pb.ServerTurn(ask=ask))
    assert "xx" not in str(caught.value.facts)
