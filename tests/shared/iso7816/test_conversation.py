from collections.abc import Sequence

import pytest

from shared import errors
from shared.iso7816.apdu import ANY_STATUS, ColdReset, Command, Item, Response
from shared.iso7816.conversation import Conversation, drive, nothing, send, send_all, together
from shared.iso7816.status import SW


def ask(number: int, *, expect: frozenset[int] | None = ANY_STATUS) -> Command:
    return Command(ins=number, label=f"command {number}", expect=expect)


class Card:
    """Answers with the instruction as data; `refuses` answers 6A80, `lost_at` is gone."""

    def __init__(self, *, refuses: int = -1, lost_at: int = -1) -> None:
        self.seen: list[int] = []
        self.refuses = refuses
        self.lost_at = lost_at

    def __call__(self, item: Item) -> Response:
        if isinstance(item, ColdReset):
            self.seen.append(-1)
            return Response(b"", SW.OK)
        if item.ins == self.lost_at:
            raise errors.CardLost
        self.seen.append(item.ins)
        return Response(bytes([item.ins]), SW.INCORRECT_DATA if item.ins == self.refuses else SW.OK)


def two(first: int, second: int) -> Conversation[tuple[bytes, bytes]]:
    one = yield from send(ask(first, expect=frozenset({0x9000})))
    other = yield from send(ask(second, expect=frozenset({0x9000})))
    return one.data, other.data


def test_a_conversation_is_driven_to_its_value() -> None:
    assert drive(two(1, 2), Card()) == (b"\x01", b"\x02")


def test_together_joins_batches_whole_and_in_order() -> None:
    card = Card()
    batches: list[int] = []

    def counted(talk: Conversation[tuple[object, ...]]) -> Conversation[tuple[object, ...]]:
        responses: Sequence[Response] = []
        try:
            batch = next(talk)
            while True:
                batches.append(len(batch))
                responses = yield batch
                batch = talk.send(responses)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    value = drive(counted(together(two(1, 2), nothing(), two(3, 4), send_all(ask(5), ask(6)))), card)
    assert batches == [4, 2]
    assert card.seen == [1, 3, 5, 6, 2, 4]
    assert value[:3] == ((b"\x01", b"\x02"), None, (b"\x03", b"\x04"))


def test_together_tells_the_conversation_that_the_card_stopped() -> None:
    card = Card(refuses=3)
    with pytest.raises(errors.UnexpectedStatus, match="command 3"):
        drive(together(two(1, 2), two(3, 4), two(5, 6)), card)
    assert card.seen == [1, 3]


def test_a_lost_card_ends_the_conversation() -> None:
    told: list[str] = []

    def talk() -> Conversation[None]:
        try:
            yield from send(ask(1))
        except errors.CardLost:
            told.append("lost")
            raise

    with pytest.raises(errors.CardLost):
        drive(talk(), Card(lost_at=1))
    assert told == ["lost"]


def test_another_answer_than_expected_is_another_card() -> None:
    command = Command(ins=7, label="identify", answer=b"mine")
    with pytest.raises(errors.CardChanged):
        drive(send_all(command, ask(8)), Card())


def test_an_empty_batch_is_not_sent() -> None:
    assert drive(send_all(), Card()) == ()


def test_a_batch_that_ends_without_reason_is_garbled() -> None:
    talk = send_all(ask(1), ask(2))
    next(talk)
    with pytest.raises(errors.Garbled):
        talk.send([Response(b"", SW.OK)])


def test_together_notices_a_batch_that_ends_without_reason() -> None:
    talk = together(send_all(ask(1)), send_all(ask(2)))
    next(talk)
    with pytest.raises(errors.Garbled):
        talk.send([Response(b"", SW.OK)])
