"""Errors cross a call whole, and nothing else does."""

import grpc
import pytest

from shared import errors
from shared.errors import KioskError
from shared.proto.status import ERROR_KEY, MAX_TRAILER_TEXT, STATUS, from_trailer, status_of, to_trailer


@pytest.mark.parametrize("kind", errors.BY_CODE.values(), ids=errors.BY_CODE.keys())
def test_every_error_survives(kind: type[KioskError]) -> None:
    sent = kind(what="täxt", tries_left=-1)
    back = from_trailer(to_trailer(sent))
    assert type(back) is kind
    assert back.facts == sent.facts
    assert status_of(sent) is not grpc.StatusCode.OK


def test_every_branch_has_a_status() -> None:
    assert set(STATUS) == set(KioskError.__subclasses__())


def test_causes_stay() -> None:
    error = errors.StoreUnavailable(why="locked")
    error.__cause__ = OSError("/srv/secret/path")
    ((_, raw),) = to_trailer(error)
    assert b"secret" not in raw


def test_long_texts_are_cut_so_that_metadata_holds_them() -> None:
    ((_, raw),) = to_trailer(errors.ConnectorRefused(connection="c", reason="ä" * 100_000))
    assert len(raw) < 2 * MAX_TRAILER_TEXT + 200
    assert isinstance(from_trailer([(ERROR_KEY, raw)]), errors.ConnectorRefused)


def test_noise_is_garbled_and_nothing_is_nothing() -> None:
    assert isinstance(from_trailer([(ERROR_KEY, b"\xff\xff\xff")]), errors.Garbled)
    assert isinstance(from_trailer([(ERROR_KEY, b"")]), errors.Garbled)
    assert from_trailer([("other", "x")]) is None
    assert from_trailer(None) is None
