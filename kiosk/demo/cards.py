"""Virtual readers and cards for the demo."""

import os
import random
from typing import Final

from kiosk.devices.virtual.reader import VirtualReaders
from shared.piv.ids import ProfileName
from shared.virtual.card import VirtualCard

SHOWN: Final = (
    ("YubiKey 5.7", ProfileName.YUBIKEY_5_7),
    ("YubiKey 5.4", ProfileName.YUBIKEY_5_4),
    ("YubiKey 4", ProfileName.YUBIKEY_4),
    ("Unknown make", ProfileName.UNKNOWN),
    ("Plain PIV", ProfileName.PLAIN),
)
"""One card of every kind, so that what each can and cannot do is there to see."""

OPERATORS_READER: Final = "Your own reader"
"""Comes after those with numbers, in the order in which readers are listed."""


def reader_name(number: int) -> str:
    """Return the name of virtual reader `number` (from 1)."""
    return f"Virtual reader {number}"


def desk_readers(count: int, seed: int) -> VirtualReaders:
    """Return the operator's reader and `count` more, with a card of every kind at hand.

    The seed fixes the serial numbers, never a key.
    """
    readers = VirtualReaders([*(reader_name(number) for number in range(1, count + 1)), OPERATORS_READER])
    draw = random.Random(seed)  # noqa: S311  # serial numbers, no secret
    for title, profile in SHOWN:
        serial = draw.randrange(10_000_000, 30_000_000)
        readers.add_card(f"{title} · {serial}", VirtualCard.new(profile, serial=serial, random=os.urandom))
    return readers
