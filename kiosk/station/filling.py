"""Make of a command what really goes to the card: holes filled, texts digested."""

from typing import Final

from kiosk.ports import Filled
from kiosk.station.pins import HeldPins
from shared.iso7816.apdu import ColdReset, Command, Hole, Item
from shared.piv.digests import encode_text

_MASK: Final = 0x2A


def fill(item: Item, pins: HeldPins) -> Filled | ColdReset:
    """Fill one item; the guard has looked at it before.

    Raises:
        Garbled: a digest does not fit its place.
    """
    if isinstance(item, ColdReset):
        return item
    data, masked = bytearray(), bytearray()
    for part in item.parts:
        if isinstance(part, Hole):
            data += pins.fill(part.name)
            masked += bytes((_MASK,)) * part.length
        else:
            piece = part if isinstance(part, bytes) else encode_text(part)
            data += piece
            masked += piece
    return Filled(command=item, data=data, masked=b"" if item.sensitive else bytes(masked))


def plain(command: Command) -> Filled:
    """Take a command that needs nothing filled in.

    Raises:
        Garbled: there is a hole or a text to sign in it.
    """
    data = command.plain
    return Filled(command=command, data=bytearray(data), masked=b"" if command.sensitive else data)


def wipe(filled: Filled | ColdReset) -> None:
    """Overwrite what went to the card."""
    if isinstance(filled, Filled):
        filled.data[:] = bytes(len(filled.data))
