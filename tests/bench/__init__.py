"""Benchmarks: `python -m tests.bench NAME [--json]`. Not part of the test run: they measure, they do not judge."""
