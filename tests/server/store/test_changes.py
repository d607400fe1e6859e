from typing import get_args

from server.ports.store import ApprovalSpent, AuditRecord, Change, SecretsCarried
from server.store.changes import EXECUTORS
from server.store.memory_cards import apply_change


def test_every_change_has_an_executor() -> None:
    assert set(EXECUTORS) == set(get_args(Change))


def test_every_change_has_one_in_memory() -> None:
    # evidence is appended by the book itself, which has the clock; it also knows when a secret was carried, or an
    # approval spent
    by_the_book = {AuditRecord, SecretsCarried, ApprovalSpent}
    assert set(apply_change.registry) - {object} == set(get_args(Change)) - by_the_book
