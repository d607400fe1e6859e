"""Derive keys from a master key.

Sources: [SP 800-108r1] 4.1 (KDF in counter mode), [SP 800-38B] (CMAC).
"""

from typing import Final

from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFCMAC, CounterLocation, Mode

COUNTER_LENGTH: Final = 4
"""Bytes of the counter *i* (the standard's r, 32 bits)."""

LENGTH_LENGTH: Final = 4
"""Bytes of *L*, the number of bits that are derived."""

MASTER_KEY_LENGTH: Final = 32


def fixed_input(label: bytes, context: bytes, length: int) -> bytes:
    """Join what names a derived key: Label || 00 || Context || L.

    `length` is in bytes; L is in bits, so that values of different lengths share nothing.

    Raises:
        ValueError: the label holds a zero byte and could be taken for another one.
    """
    if b"\0" in label:
        message = "a label has no zero byte"
        raise ValueError(message)
    return label + b"\0" + context + (length * 8).to_bytes(LENGTH_LENGTH, "big")


def counter_kdf(key: bytes, fixed: bytes, length: int) -> bytes:
    """Derive `length` bytes: CMAC(key, i || fixed) for i = 1, 2, …, with AES-256.

    Source: [SP 800-108r1] 4.1, counter before the fixed input, r = 32.
    """
    return KBKDFCMAC(
        algorithm=AES256,
        mode=Mode.CounterMode,
        length=length,
        rlen=COUNTER_LENGTH,
        llen=None,
        location=CounterLocation.BeforeFixed,
        label=None,
        context=None,
        fixed=fixed,
    ).derive(key)
