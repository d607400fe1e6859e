"""Strict doubles of certificate authorities, written from their published interfaces, and what the common suite needs."""
