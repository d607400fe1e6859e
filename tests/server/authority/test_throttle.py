"""Limits on attempts."""

from datetime import timedelta

import pytest

from server.authority import throttle
from server.authority.throttle import Limit, Throttle
from shared import errors
from tests.server.rpc.world import MovableClock


def test_a_burst_then_one_by_one() -> None:
    clock = MovableClock()
    limit = Throttle(per_peer=Limit(burst=3, seconds=10), overall=Limit(burst=100, seconds=1), clock=clock)
    for _ in range(3):
        limit.attempt("a")
    with pytest.raises(errors.TooManyAttempts) as caught:
        limit.attempt("a")
    assert caught.value.facts == {"seconds": 10}
    limit.attempt("b")
    clock.later = timedelta(seconds=10)
    limit.attempt("a")
    with pytest.raises(errors.TooManyAttempts):
        limit.attempt("a")


def test_all_together_have_a_limit() -> None:
    limit = Throttle(
        per_peer=Limit(burst=3, seconds=10), overall=Limit(burst=5, seconds=10), clock=MovableClock()
    )
    for number in range(5):
        limit.attempt(str(number))
    with pytest.raises(errors.TooManyAttempts):
        limit.attempt("new")


def test_peers_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MAX_PEERS", 10)
    limit = Throttle(
        per_peer=Limit(burst=1, seconds=10), overall=Limit(burst=1000, seconds=1), clock=MovableClock()
    )
    for number in range(50):
        limit.attempt(str(number))
    assert len(limit._peers) == 10
