"""The terminal faces."""
