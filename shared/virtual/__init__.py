"""The virtual card: the card's side of ISO 7816 and PIV, bytes in, bytes out."""
