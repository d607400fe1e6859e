"""The virtual card: the card's side of ISO 7816-4, PIV and the YubiKey extensions.

Bytes in, bytes out. It does no I/O: its random source, its source of keys, its clock and the way it waits are
handed in. It shares number spaces and APDU framing with the card engine, but neither its parsers nor its
cryptography: a mistake in one is not undone by the same mistake in the other.
"""
