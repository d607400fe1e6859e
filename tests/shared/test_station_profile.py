"""What a station may be used for, as it is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.station_profile import (
    EVERYTHING,
    MAX_TEMPLATES,
    Face,
    StationProfile,
    from_document,
    to_document,
)

NAMES = st.text("abcdefghijklmnopqrstuvwxyzäß0123456789", min_size=1, max_size=20)


@given(
    faces=st.none() | st.frozensets(st.sampled_from(Face)),
    operations=st.none() | st.frozensets(st.sampled_from(OperationKind)),
    templates=st.none() | st.frozensets(NAMES, max_size=5),
)
def test_what_is_kept_is_read_again(
    faces: frozenset[Face] | None,
    operations: frozenset[OperationKind] | None,
    templates: frozenset[str] | None,
) -> None:
    profile = StationProfile(
        faces=faces,
        operations=operations,
        templates=templates,
        default_template=min(templates) if templates else "",
    )
    assert from_document(to_document(profile)) == profile


def test_everything_is_allowed_unless_somebody_says_otherwise() -> None:
    assert to_document(EVERYTHING) == "{}"
    assert EVERYTHING.for_operators
    assert EVERYTHING.allows_face(None)
    assert all(EVERYTHING.allows(operation) for operation in OperationKind)
    assert EVERYTHING.allows_template("any")


def test_nothing_is_not_everything() -> None:
    shut = StationProfile(faces=frozenset(), operations=frozenset(), templates=frozenset())
    assert from_document(to_document(shut)) == shut
    assert not shut.for_operators
    assert not any(shut.allows(operation) for operation in OperationKind)
    assert not shut.allows_template("any")


def test_a_kiosk_of_holders_does_no_work_of_operators() -> None:
    kiosk = StationProfile(faces=frozenset({Face.SELF_SERVICE}))
    assert not kiosk.for_operators
    assert not kiosk.allows_face(None)
    assert not kiosk.allows_face(Face.DESK)
    assert kiosk.allows_face(Face.SELF_SERVICE)
    assert StationProfile(faces=frozenset({Face.SELF_SERVICE, Face.CLI})).for_operators


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "null", '{"faces": "desk"}', '{"faces": ["window"]}', '{"operations": [1]}'),
        *('{"default-template": 3}', '{"more": []}', '{"templates": null}'),
        '{"templates": ["a"], "default-template": "b"}',
    ],
)
def test_what_cannot_be_read_is_not_guessed(text: str) -> None:
    with pytest.raises(errors.Invalid):
        from_document(text)


def test_a_profile_has_limits() -> None:
    with pytest.raises(errors.Invalid):
        StationProfile(templates=frozenset(str(number) for number in range(MAX_TEMPLATES + 1)))
    with pytest.raises(errors.Invalid):
        StationProfile(templates=frozenset({"a\x1b[31m"}))
