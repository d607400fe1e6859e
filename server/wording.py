"""What goes wrong with the server itself, as sentences for whoever runs it.

Codes and facts are `shared.errors`'s; programs read those (`--json`). What a person at a station reads is made in
`kiosk.station.wording`.
"""

from collections.abc import Mapping
from typing import Final

from shared.errors import Fact, KioskError

_SENTENCES: Final[Mapping[str, str]] = {
    "config-invalid": "The configuration is wrong{place}: {why}.",
    "config-missing": "Something is missing in the configuration{place}{what}.",
    "passphrase-rejected": "The key store does not open with this passphrase.",
    "key-store-damaged": "The key store is damaged: {why}.",
    "store-unavailable": "The database cannot be opened: {why}.",
    "store-conflict": "It is there already, or somebody else changed it at the same time: {what}.",
    "server-unreachable": "The server does not answer at {server}: {reason}.",
    "connector-unreachable": "The connection “{connection}” does not answer: {reason}.",
    "connector-refused": "The connection “{connection}” refused: {reason}.",
    "template-impossible": "The template {template} asks for what is not possible: {why}.",
    "template-invalid": "The template is wrong in line {line}: {why}.",
    "invalid-request": "{field}: {why}.",
    "not-allowed": "This is not allowed: {what}.",
    "too-many-attempts": "Too many attempts; wait {seconds} seconds.",
}


def failure(error: KioskError) -> str:
    """Say what was wrong; an error without a sentence of its own says its code and its facts."""
    sentence = _SENTENCES.get(error.code)
    if sentence is None:
        return str(error)
    facts = {**error.facts, "place": _place(error.facts), "what": _what(error)}
    return sentence.format_map(_Known(facts)) + _nearest(error.facts)


def _place(facts: Mapping[str, Fact]) -> str:
    """Return where: file, line and key, as far as they are known."""
    where = str(facts.get("file", ""))
    if where and "line" in facts:
        where += f", line {facts['line']}"
    parts = [part for part in (where, str(facts.get("key", ""))) if part]
    return f" in {': '.join(parts)}" if where else "".join(f": {part}" for part in parts)


def _what(error: KioskError) -> str:
    what = str(error.facts.get("what", ""))
    return f": {what}" if what and error.code == "config-missing" else what


def _nearest(facts: Mapping[str, Fact]) -> str:
    nearest = facts.get("nearest")
    return f" Did you mean “{nearest}”?" if nearest else ""


class _Known(dict[str, Fact]):
    """Facts for a sentence; one that did not come is left out."""

    def __missing__(self, _key: str) -> str:
        return "…"
