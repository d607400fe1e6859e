"""The station's channel: a command as the engine says it becomes what a reader sends.

Below it is one method, "send these bytes and return what the card said"; PC/SC and virtual readers have it.
The channel cuts long data into a chain of short commands, or where the card refuses chains and understands
extended length, sends one extended command; it fetches what 61xx announces and repeats with the length that
6Cxx asks for. Everything is bounded: a card that never stops answering is a lost card.

Sources: [ISO 7816-4] 5.1 to 5.3 and 11.7.1; [ISO 7816-3] 12.2 (61xx and 6Cxx at T=0).
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from kiosk.ports import Filled, Spoken
from shared import errors
from shared.iso7816.apdu import (
    CHAINING_BIT,
    EXTENDED_DATA_MAX,
    SHORT_DATA_MAX,
    ColdReset,
    Response,
    encode,
)
from shared.iso7816.conversation import accepted
from shared.iso7816.status import SW
from shared.piv.ids import Ins

RESPONSE_MAX: Final = 65_536
"""The most that a card may answer to one command, in bytes; far above any certificate or face."""
_CONTINUATIONS_MAX: Final = RESPONSE_MAX // 16
_CHAINS_REFUSED: Final = frozenset({int(SW.CHAINING_NOT_SUPPORTED), int(SW.CLASS_NOT_SUPPORTED)})


class Wire(Protocol):
    """What a reader can do."""

    def transmit(self, apdu: bytes, /) -> bytes:
        """Send one command APDU and return data and status word; fewer than two bytes: the card is gone."""
        ...


class Channel:
    """Commands of any length over a wire that takes one short (or extended) APDU at a time.

    `extended` says that card and reader understand extended length; it is the second choice for long data,
    because every PIV card understands chains ([SP 800-73-5] part 2, section 3) and not every reader passes
    extended APDUs.
    """

    def __init__(self, wire: Wire, *, extended: bool = False) -> None:
        """Speak over `wire`."""
        self._transmit = wire.transmit
        self._extended = extended
        self._chains = True

    def send(self, filled: Filled) -> Response:
        """Send one command and return its whole response.

        Raises:
            CardLost: the card is gone, or never comes to an end.
        """
        command = filled.command
        header = bytes((command.cla, command.ins, command.p1, command.p2))
        data = bytes(filled.data)
        if len(data) <= SHORT_DATA_MAX:
            return self._finish(encode(header=header, data=data, le=command.le), command.le)
        if self._chains or not self._extended or len(data) > EXTENDED_DATA_MAX:
            response = self._chain(header, data, command.le)
            if response.sw not in _CHAINS_REFUSED or not self._extended:
                return response
            self._chains = False
        return self._finish(encode(header=header, data=data, le=command.le, extended=True), command.le)

    def _chain(self, header: bytes, data: bytes, le: int | None) -> Response:
        """Send data in blocks of 255 bytes; a block that is refused ends it, with the card's answer."""
        linked = bytes((header[0] | CHAINING_BIT,)) + header[1:]
        last = (len(data) - 1) // SHORT_DATA_MAX * SHORT_DATA_MAX
        for at in range(0, last, SHORT_DATA_MAX):
            block = self._once(encode(header=linked, data=data[at : at + SHORT_DATA_MAX], le=None))
            if not block.ok:
                return block
        return self._finish(encode(header=header, data=data[last:], le=le), le)

    def _finish(self, apdu: bytes, le: int | None) -> Response:
        """Send a command and collect its response."""
        response = self._once(apdu)
        if response.sw >> 8 == 0x6C:
            # the right length stands where the wrong one stood, or behind the data if there was none
            stem = apdu if le is None else apdu[:-1]
            response = self._once(stem + bytes((response.sw & 0xFF,)))
        if response.sw >> 8 != 0x61:
            return response
        data = bytearray(response.data)
        for _ in range(_CONTINUATIONS_MAX):
            more = self._once(bytes((apdu[0] & 0x03, Ins.GET_RESPONSE, 0x00, 0x00, response.sw & 0xFF)))
            if more.sw >> 8 == 0x6C:
                more = self._once(bytes((apdu[0] & 0x03, Ins.GET_RESPONSE, 0x00, 0x00, more.sw & 0xFF)))
            data += more.data
            response = more
            if response.sw >> 8 != 0x61:
                return Response(bytes(data), response.sw)
            if len(data) > RESPONSE_MAX:
                break
        raise errors.CardLost(reason="the response does not end")

    def _once(self, apdu: bytes) -> Response:
        """Send one physical command.

        A pulled card shows as success with an empty answer at some readers ([PC/SC] part 5 leaves it open).

        Raises:
            CardLost: fewer than two bytes came back.
        """
        answer = self._transmit(apdu)
        if len(answer) < 2:
            raise errors.CardLost
        return Response(answer[:-2], int.from_bytes(answer[-2:], "big"))


def perform(
    items: Sequence[Filled | ColdReset],
    wire: Wire,
    reset: Callable[[], bytes],
    *,
    extended: bool = False,
) -> Spoken:
    """Send a batch in order and stop after the first response that is not accepted.

    `reset` powers the card off and on and returns its ATR (empty: the card is gone). The data of every
    command is wiped when the batch is over.
    """
    channel = Channel(wire, extended=extended)
    responses: list[Response] = []
    try:
        for item in items:
            if isinstance(item, ColdReset):
                atr = reset()
                if not atr:
                    return Spoken(responses=tuple(responses), lost=True)
                response = Response(atr, int(SW.OK))
                stop = False
            else:
                response = channel.send(item)
                stop = not accepted(item.command, response)
            responses.append(response)
            if stop:
                break
    except errors.CardLost:
        return Spoken(responses=tuple(responses), lost=True)
    finally:
        for item in items:
            if isinstance(item, Filled):
                item.data[:] = bytes(len(item.data))
    return Spoken(responses=tuple(responses))
