"""One card that cannot be decided about does not keep other temporary credentials in use."""

from datetime import timedelta

import pytest

from server.jobs.temporary import temporary
from server.ports.store import CredentialChanged, OperationClosed, StateChanged
from shared import errors
from shared.credential.model import CardRecord, State
from tests.contract.stores import begin, read
from tests.scenario.lab import Lab
from tests.server.store.examples import a_card, a_credential, with_template


async def lent(lab: Lab, state: State, days: int) -> CardRecord:
    """Return a card in `state` with a temporary credential that ended so many days ago."""
    card = a_card(serial=days)
    employee = await lab.store.templates.latest("employee")
    assert employee is not None
    primary = a_credential(state=State.SUSPENDED)
    await begin(lab.store, a_card(serial=100 + days), CredentialChanged(credential=primary))
    ends_at = lab.services.clock.now() - timedelta(days=days)
    credential = a_credential(
        state=State.ACTIVE, ends_at=ends_at, primary=primary.credential_id, template=employee.ref
    )
    lease = await begin(lab.store, card, CredentialChanged(credential=credential), StateChanged(state=state))
    await lab.store.cards.apply(lease, [OperationClosed(code="done")])
    return card


async def test_the_round_goes_on_and_says_what_was_refused() -> None:
    lab = await Lab.start()
    try:
        await with_template(lab.store)
        odd = await lent(lab, State.REGISTERED, 2)  # its time was over first
        plain = await lent(lab, State.ACTIVE, 1)
        now = lab.services.clock.now()
        assert len(await lab.store.credentials.ending(now)) == 2
        with pytest.raises(errors.TransitionForbidden):
            await temporary().run(lab.services, now)
        assert (await read(lab.store, odd)).state is State.REGISTERED
        assert (await read(lab.store, plain)).state is State.REVOKED
    finally:
        await lab.close()
