"""The station of a rehearsal: plays the card that is not there, and writes down what it was told.

It speaks the turns of a station. Holes are filled with a made-up PIN; what is written down is each command's header,
label and the most bytes that its data and its answer can have, never a byte of either.
"""

import asyncio
from functools import partial
from typing import Final

from shared import errors
from shared.iso7816.apdu import (
    CHAINING_BIT,
    SHORT_DATA_MAX,
    ColdReset,
    Command,
    Hole,
    Item,
    Part,
    Response,
    encode,
)
from shared.iso7816.conversation import exchange
from shared.iso7816.status import SW
from shared.iso7816.tlv import Tlv, parse
from shared.piv.certificate import CertificateContainer
from shared.piv.digests import encode_text
from shared.piv.ids import Algorithm, Ins, Slot
from shared.rehearsal import RehearsedCommand, RehearsedStep, RoundTrip
from shared.relay import (
    Ask,
    Begin,
    Done,
    Draw,
    Exchange,
    Failed,
    Progress,
    Responses,
    ServerTurn,
    StationTurn,
    StepLine,
    Steps,
)
from shared.virtual.card import VirtualCard

FIGURES: Final = {"round-trip": 50, "command": 30, "elliptic-curve": 200, "rsa": 500}
"""Milliseconds: the line there and back, a command, and the use of a private key of either kind. How long keys take to
make is said by `operation.expected_ms`.

Sources: ECTester's published table for signatures on cards (P-256: 150 to 230 ms); Yubico's word on RSA-2048 signatures
(475 ms). Line and plain command are assumptions.
"""

PIN: Final = b"75319864"
"""In the place of every transport PIN."""

_CONTENT: Final = 0x53
_MORE: Final = 0x61


class Stage:
    """The link of one rehearsal. `end` is the last word; what was written down is for reading after it."""

    def __init__(self, begin: Begin, card: VirtualCard, *, object_max: int) -> None:
        """Play `card` to the operation that begins with `begin`; its objects hold up to `object_max` bytes."""
        self._card = card
        self._object_max = object_max
        self._lines: tuple[StepLine, ...] = ()
        self._expected: dict[int, int] = {}
        self._said: asyncio.Queue[StationTurn] = asyncio.Queue()
        self._said.put_nowait(begin)
        self.round_trips: list[RoundTrip] = []
        self.end: Done | Failed | None = None

    @property
    def steps(self) -> tuple[RehearsedStep, ...]:
        """The plan."""
        return tuple(
            RehearsedStep(line=line, expected_ms=self._expected.get(index, 0))
            for index, line in enumerate(self._lines)
        )

    async def receive(self) -> StationTurn:
        """Return what the station says next.

        Raises:
            ConnectionLost: it was asked for something that it has no answer to.
        """
        if self._said.empty():
            raise errors.ConnectionLost
        return self._said.get_nowait()

    async def send(self, turn: ServerTurn) -> None:
        """Take one turn; the card works in a thread, because making keys takes time."""
        match turn:
            case Exchange():
                responses = await asyncio.to_thread(exchange, turn.items, partial(transmit, self._card))
                self._note(turn.items, responses)
                self._said.put_nowait(Responses(number=turn.number, responses=tuple(responses)))
                if turn.release:
                    self._card.reset()
            case Steps(steps=lines):
                self._lines = lines
                self._expected = {}
            case Progress(steps=changes):
                for change in changes:
                    if not change.done:
                        self._expected[change.index] = change.expected_ms
            case Done() | Failed():
                self.end = turn
            case Draw() | Ask():
                pass  # every hole takes the same PIN; a question stays without an answer

    # --- what is written down ---------------------------------------------------------------------------

    def _note(self, items: tuple[Item, ...], responses: list[Response]) -> None:
        commands = tuple(
            self._rehearsed(item, response) for item, response in zip(items, responses, strict=False)
        )
        way = FIGURES["round-trip"]
        self.round_trips.append(
            RoundTrip(commands=commands, expected_ms=way + sum(command.expected_ms for command in commands))
        )

    def _rehearsed(self, item: Item, response: Response) -> RehearsedCommand:
        if isinstance(item, ColdReset):
            return RehearsedCommand(
                header=b"", label=item.label, data_max=0, response_max=0, expected_ms=FIGURES["command"]
            )
        data_max, response_max = item.length, len(response.data)
        if item.ins == Ins.PUT_DATA:
            data_max = self._largest(item.plain)
        elif item.ins == Ins.GET_DATA:
            response_max = self._largest(response.data)
        return RehearsedCommand(
            header=bytes((item.cla, item.ins, item.p1, item.p2)),
            label=item.label,
            data_max=data_max,
            response_max=response_max,
            expected_ms=self._duration(item),
        )

    def _largest(self, data: bytes) -> int:
        """Return how long the data of PUT DATA, or the response to GET DATA, can be.

        How well a certificate compresses depends on its random parts; a compressed one may fill the whole object.
        """
        elements = [_widest(element, self._object_max) for element in parse(data)] if data else []
        return sum(len(bytes(element)) for element in elements)

    def _duration(self, command: Command) -> int:
        if command.ins == Ins.GENERATE_ASYMMETRIC:
            slot = Slot(command.p2).text
            known = {
                step.line.facts.get("slot"): step.expected_ms for step in self.steps if step.line.key == "key"
            }
            return known.get(slot) or FIGURES["command"]
        if command.ins == Ins.GENERAL_AUTHENTICATE and command.p2 in set(Slot):
            return FIGURES["elliptic-curve" if Algorithm(command.p1).rsa_bits is None else "rsa"]
        return FIGURES["command"]


def transmit(card: VirtualCard, item: Item) -> Response:
    """Send one item to a card that has power, long data in a chain, and fetch the whole response.

    Raises:
        CardLost: it has none.
    """
    if isinstance(item, ColdReset):
        return Response(card.reset(), int(SW.OK))
    data = b"".join(_filled(part) for part in item.parts)
    header = bytes((item.cla, item.ins, item.p1, item.p2))
    while len(data) > SHORT_DATA_MAX:
        link = bytes((item.cla | CHAINING_BIT,)) + header[1:]
        block = _once(card, encode(header=link, data=data[:SHORT_DATA_MAX], le=None))
        if not block.ok:
            return block
        data = data[SHORT_DATA_MAX:]
    response = _once(card, encode(header=header, data=data, le=item.le))
    while response.sw >> 8 == _MORE:
        more = _once(card, bytes((0x00, Ins.GET_RESPONSE, 0x00, 0x00, response.sw & 0xFF)))
        response = Response(response.data + more.data, more.sw)
    return response


def _once(card: VirtualCard, apdu: bytes) -> Response:
    answer = card.transmit(apdu)
    if not answer:
        raise errors.CardLost
    return Response(answer[:-2], int.from_bytes(answer[-2:], "big"))


def _filled(part: Part) -> bytes:
    match part:
        case bytes():
            return part
        case Hole(length=length):
            return PIN.ljust(length, b"\xff")
        case _:
            return encode_text(part)


def _widest(element: Tlv, object_max: int) -> Tlv:
    if element.tag != _CONTENT:
        return element
    try:
        compressed = CertificateContainer.from_bytes(element.value).compressed
    except errors.CardMalformed:
        return element
    return Tlv(element.tag, bytes(object_max)) if compressed else element
