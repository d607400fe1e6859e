"""What a station is not for is refused before its card is touched, whoever is logged on, and is not offered."""

from dataclasses import replace

import pytest

from server.authority.places import at_station
from server.authority.policy import unrestricted
from shared.console import CardHints
from shared.credential.model import State
from shared.piv.ids import ProfileName
from shared.relay import OperationKind
from shared.station_profile import Face, StationProfile
from tests.scenario.lab import BOB, Lab


async def lab_of(profile: StationProfile) -> Lab:
    """Start an installation whose station is for this alone."""
    lab = await Lab.start()
    permissions = at_station(unrestricted("test").permissions, profile)
    principal = replace(unrestricted("test"), permissions=permissions)
    lab.backend._caller = replace(lab.backend._caller, profile=profile, principal=principal)
    await lab.insert(ProfileName.YUBIKEY_5_7, serial=1001)
    return lab


@pytest.mark.parametrize(
    "profile",
    [
        StationProfile(operations=frozenset({OperationKind.UNBLOCK, OperationKind.ACTIVATE})),
        StationProfile(templates=frozenset({"guest"})),
        StationProfile(faces=frozenset({Face.SELF_SERVICE})),
    ],
    ids=["operation", "template", "holders"],
)
async def test_an_issue_is_refused_before_the_card_is_touched(profile: StationProfile) -> None:
    lab = await lab_of(profile)
    outcome = await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")
    assert outcome.error is not None
    assert outcome.error.code == "not-allowed"
    assert not lab.store._book.state.cards
    await lab.close()


async def test_what_is_allowed_is_done() -> None:
    lab = await lab_of(
        StationProfile(
            faces=frozenset({Face.DESK}),
            operations=frozenset({OperationKind.ISSUE}),
            templates=frozenset({"employee"}),
        )
    )
    outcome = await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")
    assert (outcome.error, outcome.state) == (None, State.ISSUED)
    refused = await lab.perform(OperationKind.REVOKE, reason="lost")
    assert refused.error is not None
    assert refused.error.code == "not-allowed"
    await lab.close()


async def test_only_what_is_allowed_is_offered() -> None:
    lab = await lab_of(
        StationProfile(operations=frozenset({OperationKind.REGISTER}), templates=frozenset({"guest"}))
    )
    view = await lab.backend.look_up(CardHints(profile="yubikey-5.7", serial=7))
    assert view.reachable == (OperationKind.REGISTER,)
    assert await lab.backend.templates() == []
    await lab.close()
