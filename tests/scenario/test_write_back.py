"""A directory is told of the certificates on a card, and told to forget them; it keeps nobody waiting, and nothing is lost."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from cryptography.x509 import load_der_x509_certificate

from server.authority.work import Work
from server.connectors.directory.memory import MemoryDirectory
from server.jobs.write_backs import write_backs
from server.operations.lateness import Deadlines
from server.operations.services import Services
from server.ports.connection import Ability
from server.ports.write_back import WriteBackAction
from server.rpc.work_messages import decode_task, encode_task
from shared import errors
from shared.console import CardHints
from shared.credential.model import CertificateState, HolderId, State
from shared.piv.ids import ProfileName
from shared.relay import OperationKind
from tests.scenario.lab import BOB, Holder, Lab
from tests.scenario.rehearsing import rehearse
from tests.scenario.replacing import PIN, record_of, spki
from tests.scenario.templates import EMPLOYEE

WRITTEN = EMPLOYEE.replace("[[certificate]]", "[[certificate]]\nwrite-back = true", 1)


class Entries(MemoryDirectory):
    """A directory that takes certificates, and whose line may be cut before or after it has."""

    def __init__(self) -> None:
        super().__init__([BOB])
        self.kept: dict[HolderId, set[bytes]] = {}
        self.down = False
        self.deaf = False
        """It does as it is told, and says nothing."""
        self.by_key = False
        """It keeps what names the key, as Entra ID does."""

    @property
    def abilities(self) -> frozenset[Ability]:
        return frozenset({Ability.SEARCH, Ability.WRITE_BACK})

    async def publish(self, holder: HolderId, certificate: bytes) -> None:
        self._reached()
        self.kept.setdefault(holder, set()).add(self._value(certificate))
        self._answered()

    async def withdraw(self, holder: HolderId, certificate: bytes) -> None:
        self._reached()
        self.kept.get(holder, set()).discard(self._value(certificate))
        self._answered()

    def _value(self, certificate: bytes) -> bytes:
        if not self.by_key:
            return certificate
        return spki(load_der_x509_certificate(certificate).public_key())

    def _reached(self) -> None:
        if self.down:
            raise errors.ConnectorUnreachable(connection="people", reason="no answer")

    def _answered(self) -> None:
        if self.deaf:
            raise errors.ConnectorUnreachable(connection="people", reason="the answer was lost")


@pytest.fixture
def entries() -> Entries:
    return Entries()


@pytest.fixture
async def lab(entries: Entries) -> AsyncIterator[Lab]:
    def with_entries(services: Services) -> Services:
        return replace(services, directories={"people": entries})

    lab = await Lab.start(adapt=with_entries, template=WRITTEN)
    await lab.insert(ProfileName.YUBIKEY_5_4)
    yield lab
    await lab.close()


async def issued(lab: Lab) -> None:
    outcome = await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")
    assert (outcome.error, outcome.state) == (None, State.ISSUED)


async def on_card(lab: Lab) -> set[bytes]:
    """Return the certificate that the template has written back, as the record has it."""
    record = await record_of(lab)
    slot = record.certificates[0].slot
    return {
        each.certificate
        for each in record.certificates
        if each.slot is slot and each.state is CertificateState.CONFIRMED
    }


async def later(lab: Lab) -> str:
    """Do the job when everything that waits is due."""
    return await write_backs().run(lab.services, lab.services.clock.now() + timedelta(hours=1))


async def test_a_certificate_is_published_when_it_is_on_the_card(lab: Lab, entries: Entries) -> None:
    await issued(lab)
    assert entries.kept == {BOB.holder: await on_card(lab)}
    assert len(entries.kept[BOB.holder]) == 1
    assert not await lab.store.write_backs.waiting()


async def test_it_goes_when_the_credential_is_revoked(lab: Lab, entries: Entries) -> None:
    await issued(lab)
    outcome = await lab.perform(OperationKind.REVOKE, reason="lost")
    assert outcome.error is None
    assert entries.kept == {BOB.holder: set()}
    assert not await lab.store.write_backs.of_card((await record_of(lab)).record_id)


async def test_a_directory_that_is_down_fails_nothing_and_is_told_later(lab: Lab, entries: Entries) -> None:
    entries.down = True
    await issued(lab)
    (waiting,) = await lab.store.write_backs.waiting()
    assert (waiting.action, waiting.failure) == (WriteBackAction.PUBLISH, "no answer")
    assert await later(lab) == "0 done, 1 failed"
    entries.down = False
    assert await later(lab) == "1 done, 0 failed"
    assert entries.kept == {BOB.holder: await on_card(lab)}


async def test_what_was_done_without_an_answer_is_taken_away_again(lab: Lab, entries: Entries) -> None:
    entries.deaf = True
    await issued(lab)
    assert len(entries.kept[BOB.holder]) == 1
    await lab.perform(OperationKind.REVOKE, reason="lost")
    (waiting,) = await lab.store.write_backs.waiting()
    assert waiting.action is WriteBackAction.WITHDRAW
    entries.deaf = False
    await later(lab)
    assert entries.kept == {BOB.holder: set()}
    assert not await lab.store.write_backs.waiting()


async def test_a_revocation_while_the_directory_is_down_is_not_forgotten(lab: Lab, entries: Entries) -> None:
    await issued(lab)
    entries.down = True
    outcome = await lab.perform(OperationKind.REVOKE, reason="lost")
    assert (outcome.error, outcome.state) == (None, State.REVOKED)
    entries.down = False
    await later(lab)
    assert entries.kept == {BOB.holder: set()}


async def test_a_renewed_certificate_takes_the_place_of_the_one_before(lab: Lab, entries: Entries) -> None:
    await issued(lab)
    before = set(entries.kept[BOB.holder])
    assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))).error is None
    renewed = await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]), slots=["9A"])
    assert renewed.error is None, renewed
    assert entries.kept[BOB.holder].isdisjoint(before)
    assert entries.kept == {BOB.holder: await on_card(lab)}
    assert not await lab.store.write_backs.waiting()


async def test_what_maps_a_renewed_certificate_by_its_key_is_there_after_the_old_one_went(
    lab: Lab, entries: Entries
) -> None:
    entries.by_key = True
    await issued(lab)
    before = set(entries.kept[BOB.holder])
    assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))).error is None
    renewed = await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]), slots=["9A"])
    assert renewed.error is None, renewed
    assert entries.kept == {BOB.holder: before}
    await lab.perform(OperationKind.REVOKE, reason="lost")
    assert entries.kept == {BOB.holder: set()}


async def test_side_by_side_is_once_for_each_holder(lab: Lab, entries: Entries) -> None:
    entries.down = True
    await issued(lab)
    entries.down = False
    came = await asyncio.gather(later(lab), later(lab))
    assert set(came) == {"1 done, 0 failed"}
    events = [entry.record.event for entry in await lab.store.audit.page(1, 500)]
    assert events.count("certificate-published") == 1


async def test_a_template_that_wants_it_is_refused_where_the_directory_takes_none() -> None:
    lab = await Lab.start(template=WRITTEN)
    await lab.insert(ProfileName.YUBIKEY_5_4)
    outcome = await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")
    await lab.close()
    assert isinstance(outcome.error, errors.TemplateImpossible)
    assert "takes no certificates" in str(outcome.error.facts["why"])


async def test_a_rehearsal_tells_a_directory_nothing(lab: Lab, entries: Entries) -> None:
    hints = CardHints(profile=ProfileName.YUBIKEY_5_7, serial=7, guid=UUID(int=7))
    rehearsed = await rehearse(lab, hints, services=lab.services)
    assert rehearsed.round_trips
    assert entries.kept == {}


async def test_what_waits_is_listed_tried_again_and_given_up(lab: Lab, entries: Entries) -> None:
    work = Work(lab.services, Deadlines(), {})
    entries.down = True
    await issued(lab)
    (view,) = (await work.tasks()).tasks
    assert (view.task.connection, view.task.action, view.task.failure) == (
        "people",
        WriteBackAction.PUBLISH,
        "no answer",
    )
    assert (view.slot, view.holder) == ("9A", BOB.name)
    assert decode_task(encode_task(view)) == view
    assert (await work.retry("people", "test", given_up=False)).failed == 1
    given_up = await work.give_up(view.task.request_id, "nobody keeps this directory any more", "test")
    assert given_up.task.given_up
    entries.down = False
    assert await later(lab) == "0 done, 0 failed"
    assert (await work.retry("", "test", given_up=True)).done == 1
    assert entries.kept == {BOB.holder: await on_card(lab)}
    assert (await work.tasks()).total == 0
