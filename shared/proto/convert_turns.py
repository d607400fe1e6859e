"""The turns of an operation: message ↔ value.

What arrives is judged here once: an unknown turn or enum, a missing part, a number or a length that nothing
real has. Whether a turn makes sense now is judged by the engine and by the relay.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from shared import errors
from shared.credential.pins import Characters, PinPolicy
from shared.iso7816.apdu import EXTENDED_LE_MAX, Response
from shared.proto import operations_pb2 as pb
from shared.proto.convert_facts import bounded, inverse, member, put_error, put_facts, take_error, take_facts
from shared.proto.convert_items import MAX_FIELD, MAX_TEXT, SW_MAX, hole_name, put_item, take_item
from shared.relay import (
    Answer,
    Ask,
    Begin,
    Cancel,
    CardGone,
    Done,
    Draw,
    Exchange,
    Failed,
    OperationKind,
    Progress,
    Purpose,
    Question,
    Refusal,
    Responses,
    ServerTurn,
    StationTurn,
    StepChange,
    StepLine,
    Steps,
    Working,
)
from shared.secret import Secret

MAX_ITEMS: Final = 256
MAX_STEPS: Final = 256
MAX_SLOTS: Final = 32
MAX_ROLES: Final = 100
MAX_USES: Final = 64
MAX_FORBIDDEN: Final = 1000
MAX_PERSONAL: Final = 100

OPERATIONS: Final = {
    OperationKind.ISSUE: pb.OPERATION_KIND_ISSUE,
    OperationKind.ACTIVATE: pb.OPERATION_KIND_ACTIVATE,
    OperationKind.CHANGE_PIN: pb.OPERATION_KIND_CHANGE_PIN,
    OperationKind.UNBLOCK: pb.OPERATION_KIND_UNBLOCK,
    OperationKind.REVOKE: pb.OPERATION_KIND_REVOKE,
    OperationKind.RETIRE: pb.OPERATION_KIND_RETIRE,
    OperationKind.UPDATE: pb.OPERATION_KIND_UPDATE,
    OperationKind.REGISTER: pb.OPERATION_KIND_REGISTER,
    OperationKind.RENEW: pb.OPERATION_KIND_RENEW,
    OperationKind.REISSUE: pb.OPERATION_KIND_REISSUE,
    OperationKind.SUSPEND: pb.OPERATION_KIND_SUSPEND,
    OperationKind.RESUME: pb.OPERATION_KIND_RESUME,
    OperationKind.UNREGISTER: pb.OPERATION_KIND_UNREGISTER,
    OperationKind.DELETE: pb.OPERATION_KIND_DELETE,
}
QUESTIONS: Final = {
    Question.CURRENT_PIN: pb.QUESTION_CURRENT_PIN,
    Question.NEW_PIN: pb.QUESTION_NEW_PIN,
    Question.CONFIRM: pb.QUESTION_CONFIRM,
    Question.NEW_CODE: pb.QUESTION_NEW_CODE,
    Question.PRESENT_CODE: pb.QUESTION_PRESENT_CODE,
}
PURPOSES: Final = {
    Purpose.ISSUE: pb.PURPOSE_ISSUE,
    Purpose.ACTIVATE: pb.PURPOSE_ACTIVATE,
    Purpose.CHANGE_PIN: pb.PURPOSE_CHANGE_PIN,
    Purpose.UNBLOCK: pb.PURPOSE_UNBLOCK,
    Purpose.END: pb.PURPOSE_END,
    Purpose.PROVE: pb.PURPOSE_PROVE,
}
CHARACTERS: Final = {
    Characters.DIGITS: pb.CHARACTERS_DIGITS,
    Characters.ALPHANUMERIC: pb.CHARACTERS_ALPHANUMERIC,
    Characters.ANY: pb.CHARACTERS_ANY,
}
OPERATION_OF: Final = inverse(OPERATIONS)
_QUESTION_OF: Final = inverse(QUESTIONS)
_PURPOSE_OF: Final = inverse(PURPOSES)
_CHARACTERS_OF: Final = inverse(CHARACTERS)

# --- the station speaks ---------------------------------------------------------------------------------


def encode_station_turn(turn: StationTurn) -> pb.StationTurn:
    """Turn what a station says into a message."""
    message = pb.StationTurn()
    match turn:
        case Responses():
            message.responses.number = turn.number
            _put_responses(turn.responses, message.responses)
        case Begin():
            message.begin.operation = OPERATIONS[turn.operation]
            message.begin.reader = turn.reader
            message.begin.virtual = turn.virtual
            message.begin.holder = turn.holder
            message.begin.template = turn.template
            message.begin.reason = turn.reason
            message.begin.replaces = turn.replaces
            message.begin.primary = turn.primary
            message.begin.slots.extend(turn.slots)
            message.begin.roles.extend(turn.roles)
            message.begin.temporary_pin = turn.temporary_pin
            if turn.code is not None:
                message.begin.code = turn.code.reveal().decode()
        case Working():
            message.working.SetInParent()
            message.working.number = turn.number
        case CardGone():
            message.card_gone.number = turn.number
            _put_responses(turn.responses, message.card_gone)
        case Refusal():
            message.refusal.number = turn.number
            put_error(turn.error, message.refusal.error)
        case Answer():
            message.answer.number = turn.number
            message.answer.given = turn.given
        case Cancel():
            message.cancel.SetInParent()
    return message


def decode_station_turn(message: pb.StationTurn) -> StationTurn:  # noqa: PLR0911  # one return per kind
    """Read what a station says.

    Raises:
        Garbled: malformed, or of a kind that this version does not know.
        Invalid: a text that is too long.
    """
    match message.WhichOneof("turn"):
        case "responses":
            return Responses(
                number=message.responses.number, responses=_take_responses(message.responses.responses)
            )
        case "begin":
            begin = message.begin
            return Begin(
                operation=member(OPERATION_OF, begin.operation, "operation"),
                reader=bounded(begin.reader, MAX_TEXT, "reader"),
                virtual=begin.virtual,
                holder=bounded(begin.holder, MAX_TEXT, "holder"),
                template=bounded(begin.template, MAX_TEXT, "template"),
                reason=bounded(begin.reason, MAX_TEXT, "reason"),
                replaces=bounded(begin.replaces, MAX_TEXT, "replaces"),
                primary=bounded(begin.primary, MAX_TEXT, "primary"),
                slots=_take_texts(begin.slots, MAX_SLOTS, "slots"),
                temporary_pin=begin.temporary_pin,
                code=Secret.from_text(bounded(begin.code, MAX_TEXT, "code")) if begin.code else None,
                roles=_take_texts(begin.roles, MAX_ROLES, "roles"),
            )
        case "working":
            return Working(number=message.working.number)
        case "card_gone":
            gone = message.card_gone
            return CardGone(number=gone.number, responses=_take_responses(gone.responses))
        case "refusal":
            return Refusal(number=message.refusal.number, error=take_error(message.refusal.error))
        case "answer":
            return Answer(number=message.answer.number, given=message.answer.given)
        case "cancel":
            return Cancel()
        case _:
            raise errors.Garbled(why="a station's turn of unknown kind")


def _take_texts(texts: Sequence[str], most: int, field: str) -> tuple[str, ...]:
    if len(texts) > most:
        raise errors.Garbled(why=f"more than {most} {field}")
    return tuple(bounded(text, MAX_TEXT, field) for text in texts)


def _put_responses(responses: Iterable[Response], into: pb.Responses | pb.CardGone) -> None:
    into.SetInParent()
    add = into.responses.add
    for response in responses:
        add(data=response.data, sw=response.sw)


def _take_responses(messages: Sequence[pb.Response]) -> tuple[Response, ...]:
    if len(messages) > MAX_ITEMS:
        raise errors.Garbled(why=f"more than {MAX_ITEMS} responses")
    responses = tuple(Response(message.data, message.sw) for message in messages)
    for response in responses:
        if response.sw > SW_MAX or len(response.data) > EXTENDED_LE_MAX:
            raise errors.Garbled(why="a response that no card gives")
    return responses


# --- the server speaks ----------------------------------------------------------------------------------


def encode_server_turn(turn: ServerTurn) -> pb.ServerTurn:  # noqa: C901  # one case per kind
    """Turn what the server says into a message."""
    message = pb.ServerTurn()
    match turn:
        case Exchange():
            exchange = message.exchange
            exchange.SetInParent()
            exchange.number = turn.number
            exchange.epoch = turn.epoch
            exchange.release = turn.release
            for item in turn.items:
                put_item(item, exchange.items.add())
        case Progress():
            message.progress.SetInParent()
            for step in turn.steps:
                message.progress.steps.add(index=step.index, done=step.done, expected_ms=step.expected_ms)
        case Draw():
            message.draw.SetInParent()
            message.draw.hole = turn.hole
            message.draw.uses = turn.uses
            message.draw.length = turn.length
        case Ask():
            _put_ask(turn, message.ask)
        case Steps():
            message.steps.SetInParent()
            for line in turn.steps:
                put_facts(line.facts, message.steps.steps.add(key=line.key).facts)
        case Done():
            message.done.SetInParent()
            message.done.state = turn.state
            put_facts(turn.facts, message.done.facts)
        case Failed():
            put_error(turn.error, message.failed.error)
            message.failed.state = turn.state
            message.failed.next_action = turn.next_action
            put_facts(turn.facts, message.failed.facts)
    return message


def decode_server_turn(message: pb.ServerTurn) -> ServerTurn:  # noqa: PLR0911  # one return per kind
    """Read what the server says.

    Raises:
        Garbled: malformed, or of a kind that this version does not know.
        Invalid: a text that is too long.
    """
    match message.WhichOneof("turn"):
        case "exchange":
            exchange = message.exchange
            if not 0 < len(exchange.items) <= MAX_ITEMS:
                raise errors.Garbled(why=f"an exchange has 1 to {MAX_ITEMS} items")
            return Exchange(
                number=exchange.number,
                items=tuple([take_item(item) for item in exchange.items]),
                epoch=exchange.epoch,
                release=exchange.release,
            )
        case "progress":
            return Progress(
                steps=tuple(
                    [
                        StepChange(index=step.index, done=step.done, expected_ms=step.expected_ms)
                        for step in message.progress.steps
                    ]
                )
            )
        case "draw":
            draw = message.draw
            return Draw(hole=hole_name(draw.hole), uses=_uses(draw.uses), length=draw.length)
        case "ask":
            return _take_ask(message.ask)
        case "steps":
            lines = message.steps.steps
            if len(lines) > MAX_STEPS:
                raise errors.Garbled(why=f"more than {MAX_STEPS} steps")
            return Steps(steps=tuple([_take_line(line) for line in lines]))
        case "done":
            done = message.done
            return Done(state=bounded(done.state, MAX_TEXT, "state"), facts=take_facts(done.facts))
        case "failed":
            failed = message.failed
            return Failed(
                error=take_error(failed.error),
                state=bounded(failed.state, MAX_TEXT, "state"),
                next_action=bounded(failed.next_action, MAX_TEXT, "next_action"),
                facts=take_facts(failed.facts),
            )
        case _:
            raise errors.Garbled(why="a server's turn of unknown kind")


def _uses(uses: int) -> int:
    if uses > MAX_USES:
        raise errors.Garbled(why=f"a value for more than {MAX_USES} uses")
    return uses


def _put_ask(ask: Ask, into: pb.Ask) -> None:
    into.number = ask.number
    into.question = QUESTIONS[ask.question]
    into.purpose = PURPOSES[ask.purpose]
    into.hole = ask.hole
    into.uses = ask.uses
    if ask.policy is not None:
        policy = into.policy
        policy.min_length = ask.policy.min_length
        policy.max_length = ask.policy.max_length
        policy.characters = CHARACTERS[ask.policy.characters]
        policy.allow_sequences = ask.policy.allow_sequences
        policy.allow_repeats = ask.policy.allow_repeats
        policy.forbidden.extend(ask.policy.forbidden)
        policy.personal.extend(ask.policy.personal)
    if ask.tries_left is not None:
        into.tries_left = ask.tries_left
    put_facts(ask.facts, into.facts)


def _take_ask(message: pb.Ask) -> Ask:
    return Ask(
        number=message.number,
        question=member(_QUESTION_OF, message.question, "question"),
        purpose=member(_PURPOSE_OF, message.purpose, "purpose"),
        hole=bounded(message.hole, MAX_TEXT, "hole"),
        uses=_uses(message.uses),
        policy=_take_policy(message.policy) if message.HasField("policy") else None,
        tries_left=message.tries_left if message.HasField("tries_left") else None,
        facts=take_facts(message.facts),
    )


def _take_policy(message: pb.PinPolicy) -> PinPolicy:
    if not message.min_length <= message.max_length <= MAX_FIELD or len(message.forbidden) > MAX_FORBIDDEN:
        raise errors.Garbled(why="a PIN policy that no PIN can meet")
    if len(message.personal) > MAX_PERSONAL:
        raise errors.Garbled(why="more data of the holder's own than anybody has")
    return PinPolicy(
        min_length=message.min_length,
        max_length=message.max_length,
        characters=member(_CHARACTERS_OF, message.characters, "kind of characters"),
        allow_sequences=message.allow_sequences,
        allow_repeats=message.allow_repeats,
        forbidden=tuple(message.forbidden),
        personal=tuple([bounded(text, MAX_TEXT, "personal") for text in message.personal]),
    )


def _take_line(message: pb.StepLine) -> StepLine:
    return StepLine(key=bounded(message.key, MAX_TEXT, "key"), facts=take_facts(message.facts))
