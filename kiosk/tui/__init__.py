"""The terminal faces: what an operator sees. Knows the station, nothing below it."""
