"""ISO 7816-4: status words, commands and responses, BER-TLV, conversations."""
