"""A station is declared compromised: it is shut out, and the cards whose secrets it carried get other ones elsewhere."""

from dataclasses import replace

import pytest

from server.authority.fleet import Fleet
from server.authority.lines import Lines
from server.authority.presence import Attendance
from server.ports.store import AuditKind, AuditRecord, StationRecord, StationState
from shared import errors
from shared.credential.model import CardRecord, SecretRecord, SecretVersion
from shared.piv.ids import ProfileName
from shared.relay import OperationKind
from tests.scenario.lab import BOB, Lab
from tests.server.store.examples import a_station


async def station_of(lab: Lab) -> StationRecord:
    """Put the lab's station on record, as joining does."""
    caller = lab.backend._caller
    record = replace(a_station(caller.name), station_id=caller.station_id)
    audit = AuditRecord(kind=AuditKind.STATION, event="station-joined", actor="test")
    await lab.store.stations.add_station(record, audit)
    return record


def fleet_of(lab: Lab) -> Fleet:
    store = lab.store
    return Fleet(
        store.stations,
        store.cards,
        store.templates,
        Lines(),
        Attendance(lab.services.clock),
        (store.sessions, store.holders),
        lab.services.clock,
    )


async def the_card(lab: Lab) -> CardRecord:
    (card,) = lab.store._book.state.cards.values()
    return card


async def test_its_cards_are_named_and_their_puks_replaced_at_another_station() -> None:
    lab = await Lab.start()
    await station_of(lab)
    await lab.insert(ProfileName.YUBIKEY_5_7, serial=1001)
    issued = await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")
    assert issued.error is None
    before = await the_card(lab)

    fleet = fleet_of(lab)
    found = await fleet.compromised("desk", "it was opened at night", "admin")
    assert found.station.state is StationState.COMPROMISED
    (carried,) = found.cards
    assert (carried.record_id, carried.serial) == (before.record_id, 1001)
    assert (carried.holder, carried.rotates_puk, carried.rekeys) == (BOB.name, True, True)
    events = [entry.record.event for entry in await lab.store.audit.about(str(before.record_id))]
    assert "secrets-compromised" in events

    updated = await lab.perform(OperationKind.UPDATE)
    assert updated.error is None
    after = await the_card(lab)
    assert after.puk.proven is not None
    assert before.puk.proven is not None
    assert after.puk.proven > before.puk.proven
    assert not after.puk_disclosed
    assert before.management_key.proven == SecretVersion(1)
    assert after.management_key == SecretRecord(proven=SecretVersion(1, 1))
    assert not after.key_disclosed
    again = await fleet.compromised("desk", "for the list", "admin")
    assert [(each.rotates_puk, each.rekeys) for each in again.cards] == [(False, False)]
    await lab.close()


async def test_it_is_shut_out_for_good() -> None:
    lab = await Lab.start()
    record = await station_of(lab)
    fleet = fleet_of(lab)
    await fleet.compromised("desk", "stolen", "admin")
    with pytest.raises(errors.Invalid):
        await fleet.unblock("desk", "it looks harmless", "admin")
    with pytest.raises(errors.Invalid):
        await fleet.block("desk", "once more", "admin")
    assert (await fleet.compromised(str(record.station_id), "for the list", "admin")).cards == ()
    await lab.close()
