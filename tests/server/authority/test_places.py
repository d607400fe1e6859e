"""A profile only takes away."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from server.authority.places import at_station
from shared.credential.lifecycle import OperationKind
from shared.roles import PRESETS, WITH_TEMPLATE, Act, Area, Grant, Level, Role, union
from shared.station_profile import EVERYTHING, Face, StationProfile

SUBJECTS = (*OperationKind, *Act, *Area)
TEMPLATES = ("badge", "guest", None)
MIXED = Role(
    name="mixed",
    title="Mixed",
    grants=(
        Grant(subject=OperationKind.ISSUE, level=Level.EXECUTE, templates=frozenset({"badge", "guest"})),
        Grant(subject=OperationKind.UNBLOCK, level=Level.VIEW),
        Grant(subject=Act.READ_OUT, level=Level.EXECUTE),
        Grant(subject=Area.STATIONS, level=Level.VIEW),
    ),
)


@given(
    role=st.sampled_from([*PRESETS.values(), MIXED]),
    faces=st.none() | st.frozensets(st.sampled_from(Face)),
    operations=st.none() | st.frozensets(st.sampled_from(OperationKind)),
    templates=st.none() | st.frozensets(st.sampled_from(["badge", "guest"])),
)
def test_nothing_is_given_and_what_is_left_out_is_gone(
    role: Role,
    faces: frozenset[Face] | None,
    operations: frozenset[OperationKind] | None,
    templates: frozenset[str] | None,
) -> None:
    before = union([role])
    profile = StationProfile(faces=faces, operations=operations, templates=templates)
    after = at_station(before, profile)
    for subject, template in product(SUBJECTS, TEMPLATES):
        left, had = after.allowed(subject, template), before.allowed(subject, template)
        assert left <= had
        assert after.anywhere(subject) <= before.anywhere(subject)
        if (
            not profile.for_operators
            or (isinstance(subject, OperationKind) and not profile.allows(subject))
            or (template is not None and subject in WITH_TEMPLATE and not profile.allows_template(template))
        ):
            assert left is Level.HIDDEN
        elif isinstance(subject, OperationKind) and (template is not None or templates is None):
            assert left is had


def test_everything_changes_nothing() -> None:
    permissions = union([MIXED])
    assert at_station(permissions, EVERYTHING) is permissions


def test_codes_go_with_unblocking() -> None:
    permissions = union(PRESETS.values())
    profile = StationProfile(operations=frozenset({OperationKind.ISSUE}))
    left = at_station(permissions, profile)
    assert left.anywhere(Act.READ_OUT) is Level.HIDDEN
    assert left.anywhere(Act.UNBLOCK_CODE) is Level.HIDDEN
    assert left.anywhere(OperationKind.ISSUE) is Level.EXECUTE
