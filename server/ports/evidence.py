"""The canonical form of an audit record, and its place in a hash tree.

Pure: the store hashes a record when it appends it, a verifier hashes it again when it reads it. The index is not
part of the form: the tree itself binds it.

Sources: [RFC 6962] section 2.1 (hash of a leaf); [RFC 8785] for the form of the JSON, of which only objects of
strings and integers occur here.
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Final

from server.ports.store import AuditRecord
from shared.errors import Fact

LEAF_PREFIX: Final = b"\x00"
_VERSION: Final = 1


def canonical(at: datetime, record: AuditRecord) -> bytes:
    """Return the one encoding of a record that happened `at`: JSON in UTF-8, keys in order, no blanks.

    `at` counts in microseconds since 1970 in UTC; it must be aware.
    """
    return _json(
        {
            "v": _VERSION,
            "at": microseconds(at),
            "kind": record.kind.value,
            "event": record.event,
            "actor": record.actor,
            "subject": record.subject,
            "facts": record.facts,
        }
    )


def canonical_facts(facts: dict[str, Fact]) -> str:
    """Return facts as the text in which they are kept."""
    return _json(facts).decode()


def leaf_hash(at: datetime, record: AuditRecord) -> bytes:
    """Return the hash of the record's leaf: SHA-256 over 00 and the canonical form.

    Source: [RFC 6962] section 2.1.
    """
    return hashlib.sha256(LEAF_PREFIX + canonical(at, record)).digest()


def microseconds(at: datetime) -> int:
    """Return the whole microseconds from 1970-01-01T00:00Z to `at`, exactly."""
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
