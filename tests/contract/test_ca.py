"""What every certificate authority does: certificates as asked, refusals as values, nothing forgotten."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from server.connectors.ca.bootstrap import bootstrap
from server.connectors.ca.builtin import BuiltinAuthority
from server.connectors.keystore.memory import MemoryKeyStore
from server.ports.ca import (
    CanRevoke,
    CertificateAuthority,
    Issued,
    Names,
    PublishesCrl,
    Reason,
    Refused,
    SignRequest,
)
from server.ports.keystore import SigningAlgorithm
from server.ports.store import Store
from server.store.database import create_store
from server.store.memory import MemoryStore
from shared import errors
from shared.credential.certificates import check_certificate, check_names, needed_usage
from shared.credential.model import RequestId
from shared.piv.ids import Slot
from shared.secret import Secret

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

CARD: Final = "urn:uuid:8d6b3a52-9a0e-4b8c-b7a7-0d6a40a1f0d3"
NAMES: Final = Names(
    subject="CN=Anna Berg,O=Example",
    upn="anna@example.test",
    mail="anna.berg@example.test",
    sid="S-1-5-21-1004336348-1177238915-682003330-512",
    card=CARD,
    fascn=bytes.fromhex("D4E739DA739CED39CE739D836858210842108421C84210C3EB"),
)
WITHOUT_SID: Final = replace(NAMES, sid="")
BARE: Final = replace(NAMES, sid="", upn="", mail="")


class FixedClock:
    def __init__(self) -> None:
        self.time = datetime(2031, 5, 17, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()


@dataclass
class Bench:
    authority: BuiltinAuthority
    clock: FixedClock
    store: Store

    async def one(self, request: SignRequest) -> bytes:
        (outcome,) = await self.authority.issue([request])
        assert isinstance(outcome, Issued), outcome
        return outcome.certificate

    async def refusal(self, request: SignRequest) -> str:
        (outcome,) = await self.authority.issue([request])
        assert isinstance(outcome, Refused), outcome
        return outcome.reason


KEYSTORES: Final = {
    algorithm: MemoryKeyStore()
    for algorithm in (
        SigningAlgorithm.P256_SHA256,
        SigningAlgorithm.P384_SHA384,
        SigningAlgorithm.RSA3072_SHA256,
    )
}
"""Kept between tests: an RSA key takes a second to make, and bootstrapping uses a present key again."""


@pytest.fixture(params=[*KEYSTORES, "sqlcipher"], ids=str)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    stored = request.param == "sqlcipher"
    algorithm: SigningAlgorithm = SigningAlgorithm.P256_SHA256 if stored else request.param
    clock, keystore = FixedClock(), KEYSTORES[algorithm]
    store: Store = MemoryStore(clock)
    if stored:
        store = create_store(tmp_path / "store.db", Secret(bytes(32)), clock)
    issuers = await bootstrap(keystore, store.ledger, clock, "Example", algorithm=algorithm)
    authority = BuiltinAuthority(
        connection="built-in",
        keystore=keystore,
        ledger=store.ledger,
        audit=store.audit,
        clock=clock,
        issuers=issuers,
    )
    yield Bench(authority, clock, store)
    await store.close()


RSA_KEY: Final = rsa.generate_private_key(65537, 2048)


def spki(key: Key | x25519.X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def csr(key: Key) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(Encoding.DER)


def ask(
    profile: str = "smart-card-logon",
    names: Names = NAMES,
    key: Key | None = None,
    not_after: datetime | None = None,
) -> SignRequest:
    key = key or ec.generate_private_key(ec.SECP256R1())
    return SignRequest(
        request_id=RequestId(uuid4()),
        profile=profile,
        names=names,
        public_key=spki(key),
        request=csr(key),
        not_after=not_after,
    )


def test_it_is_what_the_ports_say(bench: Bench) -> None:
    port: CertificateAuthority = bench.authority
    assert isinstance(port, CanRevoke)
    assert isinstance(port, PublishesCrl)
    assert port.abilities.revoke


@pytest.mark.parametrize(
    ("profile", "names", "slot"),
    [
        ("smart-card-logon", NAMES, Slot.AUTHENTICATION),
        ("piv-authentication", NAMES, Slot.AUTHENTICATION),
        ("signature", WITHOUT_SID, Slot.SIGNATURE),
        ("key-management", WITHOUT_SID, Slot.KEY_MANAGEMENT),
        ("card-authentication", BARE, Slot.CARD_AUTHENTICATION),
    ],
)
@pytest.mark.parametrize(
    "make",
    [
        lambda: ec.generate_private_key(ec.SECP256R1()),
        lambda: ec.generate_private_key(ec.SECP384R1()),
        lambda: RSA_KEY,
    ],
    ids=["p256", "p384", "rsa"],
)
async def test_what_comes_back_passes_the_check(
    bench: Bench, profile: str, names: Names, slot: Slot, make: Callable[[], Key]
) -> None:
    request = ask(profile, names, make())
    certificate = await bench.one(request)
    required, allowed = check_names(upn=names.upn, mail=names.mail, card=names.card, fascn=names.fascn)
    check_certificate(
        certificate,
        connection="built-in",
        public_key=request.public_key,
        subject=names.subject,
        trust=await bench.authority.trust(),
        now=bench.clock.now(),
        usage=needed_usage(slot, request.public_key),
        required=required,
        allowed=allowed,
        sid=names.sid,
    )


async def test_four_together_keep_their_order(bench: Bench) -> None:
    requests = [
        ask("piv-authentication"),
        ask("signature", WITHOUT_SID),
        ask("key-management", WITHOUT_SID),
        ask("card-authentication", BARE),
    ]
    before = bench.store.commits
    outcomes = await bench.authority.issue(requests)
    assert bench.store.commits == before + 1
    for request, outcome in zip(requests, outcomes, strict=True):
        assert isinstance(outcome, Issued)
        parsed = x509.load_der_x509_certificate(outcome.certificate)
        key = parsed.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert key == request.public_key
        assert outcome.chain == await bench.authority.trust()
        assert await bench.authority.find(request) == outcome


async def test_every_signature_leaves_evidence(bench: Bench) -> None:
    before = len(await bench.store.audit.page(0, 1000))
    await bench.authority.issue([ask(), ask()])
    new = [entry.record for entry in await bench.store.audit.page(before, 1000)]
    assert [(record.kind.value, record.event) for record in new] == [("key-used", "certificate-signed")] * 2
    assert "anna" not in str(new).lower()


async def test_nothing_is_known_of_what_was_never_asked(bench: Bench) -> None:
    assert await bench.authority.find(ask()) is None


async def test_asking_again_returns_the_same_certificate(bench: Bench) -> None:
    first, second = ask(), ask()
    (before,) = await bench.authority.issue([first])
    after, fresh = await bench.authority.issue([first, second])
    assert before == after
    assert isinstance(fresh, Issued)
    assert len(await bench.store.ledger.by_public_key(first.public_key)) == 1
    assert await bench.authority.find(second) == fresh


async def test_the_same_request_twice_in_one_call(bench: Bench) -> None:
    request = ask()
    one, two = await bench.authority.issue([request, request])
    assert one == two
    assert isinstance(one, Issued)


async def test_a_request_id_belongs_to_one_key(bench: Bench) -> None:
    first = ask()
    await bench.one(first)
    other = replace(ask(), request_id=first.request_id)
    assert "another key" in await bench.refusal(other)


async def test_a_bad_request_among_good_ones(bench: Bench) -> None:
    bad = replace(ask(), request=b"\x30\x03\x02\x01\x00")
    good = ask()
    refused, issued = await bench.authority.issue([bad, good])
    assert isinstance(refused, Refused)
    assert isinstance(issued, Issued)
    assert await bench.authority.find(bad) is None


def tampered(request: bytes) -> bytes:
    return request[:-1] + bytes([request[-1] ^ 1])


@pytest.mark.parametrize(
    "break_it",
    [
        lambda request: replace(request, profile="content-signing"),
        lambda request: replace(request, profile=""),
        lambda request: replace(request, request=tampered(request.request)),
        lambda request: replace(request, request=b""),
        lambda request: replace(request, public_key=b"not a key"),
        lambda request: replace(request, public_key=ask().public_key),
        lambda request: replace(request, names=replace(NAMES, subject="")),
        lambda request: replace(request, names=replace(NAMES, subject="CN=a,,O=b")),
        lambda request: replace(request, names=replace(NAMES, subject=f"CN={'a' * 65}")),
        lambda request: replace(request, names=replace(NAMES, upn="")),
        lambda request: replace(request, names=replace(NAMES, upn="anna")),
        lambda request: replace(request, names=replace(NAMES, upn="anna@x\0@y")),
        lambda request: replace(request, names=replace(NAMES, mail="änna@example.test")),
        lambda request: replace(request, names=replace(NAMES, sid="S-1-5-21\n")),
        lambda request: replace(request, names=replace(NAMES, sid="512")),
        lambda request: replace(request, not_after=datetime(2020, 1, 1, tzinfo=UTC)),
        lambda request: replace(request, profile="signature"),  # it does not carry the security identifier
        lambda _: ask("piv-authentication", replace(NAMES, card="")),
        lambda _: ask("piv-authentication", replace(NAMES, card="urn:uuid:1")),
        lambda _: ask("piv-authentication", replace(NAMES, fascn=b"1234")),
        lambda _: ask(key=ec.generate_private_key(ec.SECP521R1())),
        lambda _: ask(key=rsa.generate_private_key(65537, 1024)),
        lambda _: ask(key=rsa.generate_private_key(3, 2048)),
        lambda _: ask("key-management", WITHOUT_SID, ed25519.Ed25519PrivateKey.generate()),
    ],
)
async def test_what_is_wrong_is_refused(bench: Bench, break_it: Callable[[SignRequest], SignRequest]) -> None:
    before = bench.store.commits
    request = break_it(ask())
    assert await bench.refusal(request)
    assert bench.store.commits == before
    assert await bench.authority.find(request) is None


async def test_keys_that_cannot_sign_are_taken_on_the_servers_word(bench: Bench) -> None:
    key = x25519.X25519PrivateKey.generate()
    request = replace(ask("key-management", WITHOUT_SID), public_key=spki(key), request=b"")
    parsed = x509.load_der_x509_certificate(await bench.one(request))
    assert parsed.extensions.get_extension_for_class(x509.KeyUsage).value.key_agreement
    assert "request" in await bench.refusal(replace(request, profile="signature"))


async def test_an_ed25519_key(bench: Bench) -> None:
    parsed = x509.load_der_x509_certificate(
        await bench.one(ask("signature", WITHOUT_SID, ed25519.Ed25519PrivateKey.generate()))
    )
    assert isinstance(parsed.public_key(), ed25519.Ed25519PublicKey)


async def test_the_end_is_as_asked_but_never_after_the_issuers(bench: Bench) -> None:
    now = bench.clock.now()
    asked = x509.load_der_x509_certificate(await bench.one(ask(not_after=now + timedelta(days=30))))
    assert asked.not_valid_after_utc == now + timedelta(days=30)
    assert now - timedelta(hours=1) < asked.not_valid_before_utc <= now
    far = x509.load_der_x509_certificate(await bench.one(ask(not_after=now + timedelta(days=9999))))
    issuing = x509.load_der_x509_certificate((await bench.authority.trust())[0])
    assert far.not_valid_after_utc == issuing.not_valid_after_utc


async def test_serials_are_long_positive_and_different(bench: Bench) -> None:
    outcomes = await bench.authority.issue([ask() for _ in range(8)])
    serials = {
        x509.load_der_x509_certificate(outcome.certificate).serial_number
        for outcome in outcomes
        if isinstance(outcome, Issued)
    }
    assert len(serials) == 8
    assert all(serial > 0 for serial in serials)
    assert max(serials).bit_length() > 112


async def test_revoking(bench: Bench) -> None:
    one, two, three = [ask() for _ in range(3)]
    first, second, _ = [await bench.one(request) for request in (one, two, three)]
    await bench.authority.revoke(first, Reason.KEY_COMPROMISE)
    await bench.authority.revoke(first, Reason.SUPERSEDED)
    await bench.authority.revoke(second, Reason.UNSPECIFIED)
    crl = x509.load_der_x509_crl(await bench.authority.crl())
    serials = {x509.load_der_x509_certificate(each).serial_number for each in (first, second)}
    assert {line.serial_number for line in crl} == serials
    line = crl.get_revoked_certificate_by_serial_number(x509.load_der_x509_certificate(first).serial_number)
    assert line is not None
    reason = line.extensions.get_extension_for_class(x509.CRLReason).value.reason
    assert reason is x509.ReasonFlags.key_compromise
    assert isinstance(await bench.authority.find(one), Refused)
    assert isinstance(await bench.authority.find(three), Issued)


async def test_a_list_is_signed_numbered_and_renewed(bench: Bench) -> None:
    certificate = await bench.one(ask())
    empty = x509.load_der_x509_crl(await bench.authority.crl())
    assert not list(empty)
    await bench.authority.revoke(certificate, Reason.SUPERSEDED)
    second = x509.load_der_x509_crl(await bench.authority.crl())
    bench.clock.time += timedelta(hours=1)
    third = x509.load_der_x509_crl(await bench.authority.crl())
    numbers = [
        crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        for crl in (empty, second, third)
    ]
    assert numbers == sorted(set(numbers))
    assert third.next_update_utc is not None
    assert third.next_update_utc > bench.clock.now()
    issuing = x509.load_der_x509_certificate((await bench.authority.trust())[0])
    public = issuing.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey | rsa.RSAPublicKey)
    assert third.is_signature_valid(public)


async def test_foreign_certificates_are_not_revoked(bench: Bench) -> None:
    for foreign in (b"junk", (await bench.authority.trust())[0]):
        with pytest.raises(errors.ConnectorRefused):
            await bench.authority.revoke(foreign, Reason.SUPERSEDED)
