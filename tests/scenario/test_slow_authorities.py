"""Certificate authorities that let requests wait, lose answers, or cannot be searched: no orphan, no double, nothing too long."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TypeVar

import pytest
from cryptography import x509

from server.connectors.ca.builtin import BuiltinAuthority
from server.operations.tasks import UNCONFIRMED, attempt
from server.ports.ca import (
    Abilities,
    Issued,
    Outcome,
    Pending,
    Reason,
    Refused,
    SignRequest,
    Unanswered,
    Unfit,
)
from shared.credential.model import CertificateState, State
from tests.scenario.judging import SLOTS, WatchedCard, issue, judge, put, said
from tests.scenario.lab import BOB, Lab
from tests.scenario.templates import EMPLOYEE


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    made = await Lab.start()
    yield made
    await made.close()


Authority = TypeVar("Authority", bound="Outside")


@dataclass
class Outside:
    """The built-in certificate authority as if it were elsewhere; it signs a request twice where it is asked twice."""

    real: BuiltinAuthority
    finds: bool = True
    keys: Counter[bytes] = field(default_factory=Counter)
    """How often each public key was sent."""

    @property
    def abilities(self) -> Abilities:
        return replace(self.real.abilities, find=self.finds, knows_at_once=False)

    async def issue(self, requests: Sequence[SignRequest]) -> Sequence[Outcome]:
        self.keys.update(request.public_key for request in requests)
        return [await self.answer(request) for request in requests]

    async def answer(self, request: SignRequest) -> Outcome:
        (outcome,) = await self.real.issue([request])
        return outcome

    async def find(self, request: SignRequest) -> Outcome | None:
        assert self.finds or request.reference, "it cannot be searched"
        return await self.real.find(request)

    async def trust(self) -> Sequence[bytes]:
        return await self.real.trust()

    async def revoke(self, certificate: bytes, reason: Reason) -> None:
        await self.real.revoke(certificate, reason)


def connect(lab: Lab, authority: Authority) -> Authority:
    lab.services.authorities["built-in"] = authority  # type: ignore[index]  # a dict, really
    return authority


def issued_here(lab: Lab) -> int:
    return sum(entry.request_id is not None for entry in lab.store._book.state.ledger.values())


@dataclass
class Approving(Outside):
    """Every request waits under a number; only by the number it is found."""

    waiting: dict[str, SignRequest] = field(default_factory=dict)
    approved: bool = False

    async def answer(self, request: SignRequest) -> Outcome:
        number = f"ticket {len(self.waiting)}"
        self.waiting[number] = request
        return Pending(number)

    async def find(self, request: SignRequest) -> Outcome | None:
        if not self.approved:
            return Pending(request.reference)
        return (await self.real.issue([self.waiting[request.reference]]))[0]


@pytest.mark.parametrize("finds", [True, False])
async def test_what_waits_is_gone_on_with_at_the_next_contact(lab: Lab, *, finds: bool) -> None:
    card = await put(lab, WatchedCard.fresh())
    first = connect(lab, Approving(lab.ca, finds=finds))
    assert "lets the request wait" in said(await issue(lab), "certificate-pending")
    keys = dict(card.memory.keys)
    again = connect(lab, Approving(lab.ca, finds=finds, waiting=first.waiting))  # as after a restart
    assert "lets the request wait" in said(await issue(lab), "certificate-pending")
    again.approved = True
    assert (await issue(lab)).state == State.ISSUED
    assert card.memory.keys == keys, "no key was made anew"
    assert (first.keys.total(), again.keys.total(), issued_here(lab)) == (4, 0, 4)
    await judge(lab)


@dataclass
class Losing(Outside):
    """It signs, and the answers to some requests are lost on the way."""

    lost: frozenset[str] = frozenset()

    async def answer(self, request: SignRequest) -> Outcome:
        outcome = await super().answer(request)
        return Unanswered("issue: no answer in time") if request.profile in self.lost else outcome


async def test_one_lost_answer_takes_nothing_from_the_others(lab: Lab) -> None:
    await put(lab, WatchedCard.fresh())
    authority = connect(lab, Losing(lab.ca, lost=frozenset({"signature"})))
    assert "no answer in time" in said(await issue(lab), "connector-unreachable")
    (record,) = lab.store._book.state.cards.values()
    states = Counter(each.state for each in record.certificates)
    assert states == {CertificateState.ISSUED: 3, CertificateState.REQUESTED: 1}
    assert (await issue(lab)).state == State.ISSUED
    assert max(authority.keys.values()) == 1, "found, not asked for again"
    assert issued_here(lab) == 4
    await judge(lab)


async def test_a_key_is_never_sent_again_where_nobody_can_look_for_it(lab: Lab) -> None:
    card = await put(lab, WatchedCard.fresh())
    authority = connect(lab, Losing(lab.ca, finds=False, lost=frozenset({"signature", "key-management"})))
    said(await issue(lab), "connector-unreachable")
    before = dict(card.memory.keys)
    authority.lost = frozenset()
    assert (await issue(lab)).state == State.ISSUED
    assert max(authority.keys.values()) == 1
    changed = {slot for slot, key in card.memory.keys.items() if key != before[slot]}
    assert len(changed) == 2, "the others were kept"
    (credential,) = await lab.store.credentials.of_holder(BOB.holder)
    assert {task.connection for task in credential.tasks} == {"built-in"}
    assert await attempt(lab.services, credential.tasks) == 2, "an administrator has to look"
    (credential,) = await lab.store.credentials.of_holder(BOB.holder)
    assert {task.failure for task in credential.tasks} == {UNCONFIRMED}
    unconfirmed = {task.request_id for task in credential.tasks}
    signed = {
        entry.request_id
        for entry in lab.store._book.state.ledger.values()
        if entry.request_id is not None and entry.revoked_at is None
    }
    assert unconfirmed < signed, "they are there, as an administrator will find"


@dataclass
class Generous(Outside):
    """It lets certificates live longer than was asked."""

    by: timedelta = timedelta()

    async def answer(self, request: SignRequest) -> Outcome:
        assert request.not_after is not None
        return await super().answer(replace(request, not_after=request.not_after + self.by))


async def test_nothing_lives_longer_than_was_asked(lab: Lab) -> None:
    await put(lab, WatchedCard.fresh())
    authority = connect(lab, Generous(lab.ca, by=timedelta(days=2)))
    sentence = said(await issue(lab), "certificate-rejected")
    assert "built-in" in sentence
    assert "longer than the" in sentence
    book = [entry for entry in lab.store._book.state.ledger.values() if entry.request_id is not None]
    assert all(entry.revoked_at is not None for entry in book), "what is for our keys is revoked"
    authority.by = timedelta(hours=23)
    assert (await issue(lab)).state == State.ISSUED, "whole days are rounded up"
    await judge(lab)


@dataclass
class Muddled(Outside):
    """What comes back cannot be read, or is somebody else's."""

    why: str = "it cannot be read"
    finds_it: bool = False

    async def answer(self, request: SignRequest) -> Outcome:
        outcome = await super().answer(request)
        assert isinstance(outcome, Issued | Refused)
        return Unfit(self.why)

    async def find(self, request: SignRequest) -> Outcome | None:
        return await super().find(request) if self.finds_it else Unfit(self.why)


async def test_what_cannot_be_read_is_told_with_the_authority_and_the_reason(lab: Lab) -> None:
    card = await put(lab, WatchedCard.fresh())
    authority = connect(lab, Muddled(lab.ca))
    for _ in range(2):
        sentence = said(await issue(lab), "certificate-rejected")
        assert "The certificate from built-in" in sentence
        assert "it cannot be read" in sentence
        assert not any(slot.certificate_object in card.memory.objects for slot in SLOTS)
    authority.finds_it = True
    assert (await issue(lab)).state == State.ISSUED, "what it signed is found, and fits"
    (credential,) = await lab.store.credentials.of_holder(BOB.holder)
    assert len(credential.tasks) == 8, "two times four that nobody has seen"
    assert await attempt(lab.services, credential.tasks) == 0
    assert max(authority.keys.values()) == 1
    await judge(lab)


@dataclass
class Selective(Outside):
    """Its certificates carry log-on names and mail addresses, and nothing of a card."""

    asked: list[SignRequest] = field(default_factory=list)

    @property
    def abilities(self) -> Abilities:
        return replace(super().abilities, names=("upn", "mail", "sid"))

    async def answer(self, request: SignRequest) -> Outcome:
        self.asked.append(request)
        return await super().answer(request)


async def test_a_card_is_not_named_where_its_name_is_not_carried(lab: Lab) -> None:
    await lab.apply(EMPLOYEE.replace("card-authentication", "signature"), version=2)
    await put(lab, WatchedCard.fresh())
    authority = connect(lab, Selective(lab.ca))
    await issue(lab)
    assert authority.asked
    for request in authority.asked:
        assert (request.names.card, request.names.fascn) == ("", b"")
        if request.request:
            asked = x509.load_der_x509_csr(request.request).extensions
            names = asked.get_extension_for_class(x509.SubjectAlternativeName).value if list(asked) else ()
            assert not any(isinstance(name, x509.UniformResourceIdentifier) for name in names)
