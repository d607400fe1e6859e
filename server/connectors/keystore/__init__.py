"""Key stores: where issuer keys live."""
