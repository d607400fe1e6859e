"""What a station's profile leaves of somebody's permissions.

A profile only takes away. So every judgement that asks for a permission asks for the station's leave, too.
"""

from typing import Final

from shared.credential.lifecycle import OperationKind
from shared.roles import WITH_TEMPLATE, Act, Level, Permissions, Subject
from shared.station_profile import EVERYTHING, StationProfile

PART_OF: Final = {Act.READ_OUT: OperationKind.UNBLOCK, Act.UNBLOCK_CODE: OperationKind.UNBLOCK}
"""Acts that are done for an operation's sake."""


def at_station(permissions: Permissions, profile: StationProfile) -> Permissions:
    """Return the permissions that count at a station of this profile.

    At one that is not for operators, none do. Where only some templates are allowed, a card that has no template is left alone.
    """
    if profile == EVERYTHING:
        return permissions
    if not profile.for_operators:
        return Permissions(overall={}, single={}, highest={})
    overall: dict[Subject, Level] = {}
    single = {
        (subject, template): level
        for (subject, template), level in permissions.single.items()
        if _allows(profile, subject) and profile.allows_template(template)
    }
    for subject, level in permissions.overall.items():
        if not _allows(profile, subject):
            continue
        if profile.templates is None or subject not in WITH_TEMPLATE:
            overall[subject] = level
            continue
        for template in profile.templates:
            single[subject, template] = max(level, single.get((subject, template), Level.HIDDEN))
    highest = dict(overall)
    for (subject, _), level in single.items():
        highest[subject] = max(level, highest.get(subject, Level.HIDDEN))
    return Permissions(overall=overall, single=single, highest=highest)


def _allows(profile: StationProfile, subject: Subject) -> bool:
    operation = PART_OF.get(subject, subject) if isinstance(subject, Act) else subject
    return not isinstance(operation, OperationKind) or profile.allows(operation)
