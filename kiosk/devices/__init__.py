"""Readers: PC/SC and virtual; channels and traces."""
