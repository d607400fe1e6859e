"""A directory or a certificate authority that is down, refuses, or answers nonsense: nothing is lost by it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from server.connectors.ca.builtin import BuiltinAuthority
from server.operations.tasks import attempt
from server.ports.ca import Abilities, Issued, Outcome, Pending, Reason, Refused, SignRequest
from shared import errors
from shared.credential.model import CertificateState, HolderId, Person, State
from shared.piv.ids import ObjectId, Slot
from tests.scenario.judging import SLOTS, WatchedCard, issue, judge, kept, nothing_changes, put, said
from tests.scenario.lab import BOB, Lab

CERTIFICATES = {slot.certificate_object for slot in SLOTS} | {ObjectId.SECURITY}


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    made = await Lab.start()
    yield made
    await made.close()


class Down:
    """A directory that does not answer."""

    async def search(self, text: str, limit: int) -> Sequence[Person]:
        raise errors.ConnectorUnreachable(connection="people", reason="connection refused")

    async def get(self, holder: HolderId) -> Person | None:
        raise errors.ConnectorUnreachable(connection="people", reason="connection refused")


async def test_a_directory_that_is_down(lab: Lab) -> None:
    card = await put(lab, WatchedCard.fresh())
    up = lab.services.directories["people"]
    replace_directory(lab, Down())
    async with nothing_changes(lab):
        assert said(await issue(lab), "connector-unreachable") == (
            "The connection “people” does not answer: connection refused. Try again."
        )
        with pytest.raises(errors.ConnectorUnreachable):
            await lab.station.find_people("bob")
    assert card.writes == []
    replace_directory(lab, up)
    assert (await issue(lab)).state == State.ISSUED
    replace_directory(lab, Down())
    seen = await lab.station.refresh("Reader 1")
    assert seen.record is not None
    assert seen.record.holder is not None
    assert seen.record.holder.name == "Bob Smith", "the record keeps a copy of the name"


def replace_directory(lab: Lab, directory: object) -> None:
    lab.services.directories["people"] = directory  # type: ignore[index]  # a dict, really


@dataclass
class Beside:
    """The built-in certificate authority with something wrong: what `issue` does is up to the test."""

    real: BuiltinAuthority
    asked: int = 0

    @property
    def abilities(self) -> Abilities:
        return self.real.abilities

    async def issue(self, requests: Sequence[SignRequest]) -> Sequence[Outcome]:
        self.asked += 1
        return await self.real.issue(requests)

    async def find(self, request: SignRequest) -> Outcome | None:
        return await self.real.find(request)

    async def trust(self) -> Sequence[bytes]:
        return await self.real.trust()

    async def revoke(self, certificate: bytes, reason: Reason) -> None:
        await self.real.revoke(certificate, reason)


def connect(lab: Lab, authority: object) -> None:
    lab.services.authorities["built-in"] = authority  # type: ignore[index]  # a dict, really


class Unreachable(Beside):
    async def issue(self, requests: Sequence[SignRequest]) -> Sequence[Outcome]:
        raise errors.ConnectorUnreachable(connection="built-in", reason="timed out")


class AnswerLost(Beside):
    async def issue(self, requests: Sequence[SignRequest]) -> Sequence[Outcome]:
        await super().issue(requests)
        raise errors.ConnectorUnreachable(connection="built-in", reason="timed out")


class Refusing(Beside):
    async def issue(self, requests: Sequence[SignRequest]) -> Sequence[Outcome]:
        return [Refused("the quota is used up") for _ in requests]


class Waiting(Beside):
    async def issue(self, requests: Sequence[SignRequest]) -> Sequence[Outcome]:
        return [Pending("42") for _ in requests]


@pytest.mark.parametrize(
    ("kind", "code", "sentence"),
    [
        (
            Unreachable,
            "connector-unreachable",
            "The connection “built-in” does not answer: timed out. Try again.",
        ),
        (
            AnswerLost,
            "connector-unreachable",
            "The connection “built-in” does not answer: timed out. Try again.",
        ),
        (
            Refusing,
            "connector-refused",
            "The connection “built-in” refused: the quota is used up. Call an administrator.",
        ),
        (
            Waiting,
            "certificate-pending",
            (
                "The connection “built-in” lets the request wait: somebody there has to agree to it. Nothing failed. "
                "Insert the card again when it was agreed to; the work is continued where it stopped."
            ),
        ),
    ],
)
async def test_an_authority_that_does_not_issue(
    lab: Lab, kind: type[Beside], code: str, sentence: str
) -> None:
    card = await put(lab, WatchedCard.fresh())
    connect(lab, kind(lab.ca))
    for _ in range(1 if kind is AnswerLost else 2):
        outcome = await issue(lab)
        assert said(outcome, code) == sentence
        assert outcome.state == State.REGISTERED
        assert CERTIFICATES.isdisjoint(card.memory.objects), "no certificate on the card"
    again = Beside(lab.ca)
    connect(lab, again)
    keys = dict(card.memory.keys)
    assert (await issue(lab)).state == State.ISSUED
    assert card.memory.keys == keys, "the keys that were made are used"
    assert again.asked == (0 if kind is AnswerLost else 1)
    await judge(lab)
    issued = [entry for entry in lab.store._book.state.ledger.values() if entry.request_id is not None]
    assert len(issued) == 4, "nothing was signed twice"


@dataclass
class Approving(Beside):
    """It has the first requests wait for an approval; that for a signature goes on waiting until it is `approved`."""

    waiting: list[SignRequest] = field(default_factory=list)
    approved: bool = False

    async def issue(self, requests: Sequence[SignRequest]) -> Sequence[Outcome]:
        if self.waiting:
            return await super().issue(requests)
        self.waiting += [request for request in requests if request.profile == "signature"]
        return [Pending("42") for _ in requests]

    async def find(self, request: SignRequest) -> Outcome | None:
        first = next((each for each in self.waiting if each.request_id == request.request_id), None)
        if first is None:
            return await super().find(request)
        return (await self.real.issue([first]))[0] if self.approved else Pending("42")


async def test_a_request_that_is_approved_after_its_key_is_gone_is_revoked(lab: Lab) -> None:
    card = await put(lab, WatchedCard.fresh())
    authority = Approving(lab.ca)
    connect(lab, authority)
    said(await issue(lab), "certificate-pending")
    memory = card.memory
    card.alter(memory.with_key(Slot.SIGNATURE, memory.keys[Slot.AUTHENTICATION]))
    assert (await issue(lab)).state == State.ISSUED
    (record,) = await lab.store.credentials.of_holder(BOB.holder)
    (task,) = record.tasks
    assert task.request_id == authority.waiting[0].request_id
    assert await attempt(lab.services, [task]) == 1, "it still waits"
    authority.approved = True
    assert await attempt(lab.services, [task]) == 0
    signed = [entry for entry in lab.store._book.state.ledger.values() if entry.request_id is not None]
    revoked = [entry.request_id for entry in signed if entry.revoked_at is not None]
    assert (len(signed), revoked) == (5, [task.request_id])
    await judge(lab)


# --- a certificate that is not what was asked for -------------------------------------------------------


class OtherKey(Beside):
    """Somebody else's certificate: the same subject, another key."""

    async def issue(self, requests: Sequence[SignRequest]) -> Sequence[Outcome]:
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return await super().issue(
            [replace(each, public_key=public, request=sign_request(key, each)) for each in requests]
        )

    async def find(self, request: SignRequest) -> Outcome | None:
        return None


def sign_request(key: ec.EllipticCurvePrivateKey, wanted: SignRequest) -> bytes:
    subject = x509.Name.from_rfc4514_string(wanted.names.subject)
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, SHA256())
    return request.public_bytes(Encoding.DER)


class OtherSubject(Beside):
    """The right key under another name."""

    async def issue(self, requests: Sequence[SignRequest]) -> Sequence[Outcome]:
        return await super().issue(
            [replace(each, names=replace(each.names, subject="CN=Administrator")) for each in requests]
        )


class OtherUpn(Beside):
    """The right key and subject, and the log-on name of somebody else."""

    async def issue(self, requests: Sequence[SignRequest]) -> Sequence[Outcome]:
        return await super().issue(
            [
                replace(each, names=replace(each.names, upn="administrator@example.test"))
                if each.names.upn
                else each
                for each in requests
            ]
        )


class OtherIssuer(Beside):
    """Signed by an authority that is not the configured one."""

    async def issue(self, requests: Sequence[SignRequest]) -> Sequence[Outcome]:
        stranger = await Lab.start()
        try:
            return await stranger.ca.issue(requests)
        finally:
            await stranger.close()


class Nonsense(Beside):
    async def issue(self, requests: Sequence[SignRequest]) -> Sequence[Outcome]:
        return [Issued(b"\x30\x03\x02\x01\x00") for _ in requests]


@pytest.mark.parametrize("kind", [OtherKey, OtherSubject, OtherUpn, OtherIssuer, Nonsense])
async def test_a_wrong_certificate_never_reaches_the_card(lab: Lab, kind: type[Beside]) -> None:
    card = await put(lab, WatchedCard.fresh())
    connect(lab, kind(lab.ca))
    for _ in range(2):
        outcome = await issue(lab)
        sentence = said(outcome, "certificate-rejected")
        assert sentence.startswith("The certificate from built-in is not the one that was asked for: ")
        assert sentence.endswith("Call an administrator.")
        assert CERTIFICATES.isdisjoint(card.memory.objects)
    (record,) = (await kept(lab)).records
    assert record is not None
    taken = {each.slot for each in record.certificates if each.state is CertificateState.ISSUED}
    assert Slot.AUTHENTICATION not in taken

    connect(lab, lab.ca)
    assert (await issue(lab)).state == State.ISSUED
    if kind is not OtherKey:  # what it signed for other keys is another's, and not ours to revoke
        await judge(lab)
