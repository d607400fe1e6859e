"""Evidence says who it was, also of what was refused and of codes: the operator, and at which station."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from server.ports.store import AuditKind, AuditRecord, Opening
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.credential.model import OperationId, StationId
from shared.credential.reasons import Cause
from shared.piv.ids import ProfileName
from tests.scenario.approving import Second, logged_on
from tests.scenario.lab import BOB, Holder, Lab


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    made = await Lab.start()
    await made.insert(ProfileName.YUBIKEY_5_7)
    assert (await made.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")).error is None
    yield made
    await made.close()


async def last(lab: Lab) -> AuditRecord:
    return list(await lab.store.audit.page(0, 1000))[-1].record


async def test_who_was_refused(lab: Lab) -> None:
    carol = await Second.hired(lab)
    logged_on(lab, carol)
    refused = (await lab.perform(OperationKind.UNBLOCK, Holder(new_pins=["824650"]))).error
    assert isinstance(refused, errors.TransitionForbidden)
    said = await last(lab)
    assert (said.kind, said.event, said.actor) == (
        AuditKind.REFUSED,
        refused.code,
        str(carol.operator.operator_id),
    )
    assert said.facts == {"operation": "unblock", "station": str(lab.backend._caller.station_id)}


async def test_what_was_not_decided_is_no_evidence(lab: Lab) -> None:
    """Another station works on the card: nothing is revoked, and nobody reads that it was."""
    (record,) = await lab.store.credentials.of_holder(BOB.holder)
    lease = await lab.store.cards.open(
        Opening(
            operation_id=OperationId(uuid4()),
            kind=OperationKind.ACTIVATE.value,
            record_id=record.record_id,
            station=StationId(uuid4()),
            seen=record,
        )
    )
    await lab.store.cards.extend(lease, proven=True)
    refused = (await lab.perform(OperationKind.REVOKE, reason=Cause.STOLEN.value)).error
    assert isinstance(refused, errors.CardLeased | errors.StoreConflict), refused
    said = [each.record.event for each in await lab.store.audit.page(0, 1000)]
    assert "revoked" not in said
    assert said[-1] == refused.code


async def test_who_made_a_code(lab: Lab) -> None:
    carol = await Second.hired(lab)
    logged_on(lab, carol)
    await lab.backend.make_unblock_code(await carol.record_id(BOB.holder))
    said = await last(lab)
    assert (said.event, said.actor) == ("unblock code made", str(carol.operator.operator_id))
    assert said.facts["station"] == str(lab.backend._caller.station_id)
