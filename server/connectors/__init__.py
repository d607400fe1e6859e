"""Clients of outside systems, one folder per port."""
