import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.ports.evidence import canonical, leaf_hash, microseconds
from server.ports.store import AuditKind, AuditRecord
from tests.server.store.examples import NOON

RECORD = AuditRecord(
    kind=AuditKind.KEY_USED, event="derived", actor="server", subject="Ü\n", facts={"b": 2, "a": 'é"'}
)


def test_the_canonical_form_is_what_others_can_make_too() -> None:
    wanted = (
        '{"actor":"server","at":1772366400123456,"event":"derived","facts":{"a":"é\\"","b":2},'
        '"kind":"key-used","subject":"Ü\\n","v":1}'
    )
    assert canonical(NOON, RECORD).decode() == wanted
    # RFC 6962, section 2.1: MTH({d(0)}) = SHA-256(0x00 || d(0))
    assert leaf_hash(NOON, RECORD) == hashlib.sha256(b"\x00" + wanted.encode()).digest()


def test_a_moment_has_one_form_in_every_zone() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=-7)))
    assert canonical(elsewhere, RECORD) == canonical(NOON, RECORD)


def test_the_order_of_facts_means_nothing() -> None:
    turned = replace(RECORD, facts=dict(reversed(RECORD.facts.items())))
    assert canonical(NOON, turned) == canonical(NOON, RECORD)


@pytest.mark.parametrize(
    "other",
    [
        replace(RECORD, kind=AuditKind.REFUSED),
        replace(RECORD, event="signed"),
        replace(RECORD, actor="admin"),
        replace(RECORD, subject=""),
        replace(RECORD, facts={"b": "2", "a": 'é"'}),
    ],
)
def test_whatever_differs_shows_in_the_hash(other: AuditRecord) -> None:
    assert leaf_hash(NOON, other) != leaf_hash(NOON, RECORD)
    assert leaf_hash(NOON + timedelta(microseconds=1), RECORD) != leaf_hash(NOON, RECORD)


@given(st.integers(min_value=0, max_value=4_102_444_800_000_000))
def test_microseconds_are_exact(since: int) -> None:
    assert microseconds(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=since)) == since
