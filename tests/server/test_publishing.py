"""What the built-in certificate authority publishes over HTTP, judged by OpenSSL's clients and by hand."""

import asyncio
import base64
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from server.connectors.ca.ocsp import FRESH
from server.connectors.ca.publication import BuiltinPublication
from server.ports.ca import Reason
from server.publication_watch import published_list
from server.publishing import MAX_QUESTION, OCSP_REQUEST, Publishing
from shared import errors
from shared.clock import SystemClock
from shared.config import Address
from tests.server.connectors.ca.test_builtin import OPENSSL, Bench, make_bench, one, request


@dataclass
class Site:
    bench: Bench
    publication: BuiltinPublication
    publishing: Publishing
    http: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.publishing.port}"

    @property
    def issuing(self) -> x509.Certificate:
        return x509.load_der_x509_certificate(self.bench.issuers.issuing)

    async def issued(self) -> x509.Certificate:
        return one(await self.bench.authority.issue([request("smart-card-logon")]))

    async def ask(self, question: bytes, content_type: str = OCSP_REQUEST) -> ocsp.OCSPResponse:
        headers = {"Content-Type": content_type}
        async with self.http.post(f"{self.url}/ocsp", data=question, headers=headers) as answer:
            assert answer.status == 200
            assert answer.content_type == "application/ocsp-response"
            return ocsp.load_der_ocsp_response(await answer.read())


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    bench = await make_bench()
    publication = BuiltinPublication(
        bench.authority,
        issuers=bench.issuers,
        keystore=bench.keystore,
        ledger=bench.store.ledger,
        audit=bench.store.audit,
        clock=bench.clock,
    )
    publishing = Publishing(publication, Address("127.0.0.1", 0), bench.clock)
    await publishing.start()
    async with aiohttp.ClientSession() as http:
        yield Site(bench, publication, publishing, http)
    await publishing.stop()


def question(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    algorithm: hashes.HashAlgorithm | None = None,
    nonce: bytes | None = None,
) -> bytes:
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, algorithm or hashes.SHA1())
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)


async def openssl(*arguments: str) -> str:
    assert OPENSSL is not None
    done = await asyncio.to_thread(
        subprocess.run, [OPENSSL, *arguments], capture_output=True, text=True, check=False, timeout=20
    )
    return done.stdout + done.stderr


def as_pem(path: Path, certificate: x509.Certificate) -> str:
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    return str(path)


async def test_openssl_believes_the_answers(site: Site, tmp_path: Path) -> None:
    good, held, bad = [await site.issued() for _ in range(3)]
    await site.bench.authority.hold(held.public_bytes(Encoding.DER))
    await site.bench.authority.revoke(bad.public_bytes(Encoding.DER), Reason.KEY_COMPROMISE)
    root = as_pem(tmp_path / "root.pem", x509.load_der_x509_certificate(site.bench.issuers.root))
    issuing = as_pem(tmp_path / "issuing.pem", site.issuing)
    said = {}
    for name, certificate in (("good", good), ("held", held), ("bad", bad)):
        path = as_pem(tmp_path / f"{name}.pem", certificate)
        said[name] = await openssl(
            *("ocsp", "-sha256", "-issuer", issuing, "-cert", path, "-url", f"{site.url}/ocsp"),
            *("-CAfile", root, "-timeout", "10"),
        )
        assert "Response verify OK" in said[name], said[name]
    assert "good.pem: good" in said["good"]
    assert "held.pem: revoked" in said["held"]
    assert "Reason: certificateHold" in said["held"]
    assert "Reason: keyCompromise" in said["bad"]


async def test_openssl_follows_the_lists_to_the_root(site: Site, tmp_path: Path) -> None:
    certificate = await site.issued()
    lists = tmp_path / "lists.pem"
    for name in ("issuing.crl", "root.crl"):
        async with site.http.get(f"{site.url}/{name}") as answer:
            assert answer.content_type == "application/pkix-crl"
            read = x509.load_der_x509_crl(await answer.read())
        with lists.open("ab") as file:
            file.write(read.public_bytes(Encoding.PEM))
    for name in ("issuing.cer", "root.cer"):
        async with site.http.get(f"{site.url}/{name}") as answer:
            assert answer.content_type == "application/pkix-cert"
            as_pem(tmp_path / f"{name}.pem", x509.load_der_x509_certificate(await answer.read()))
    leaf = as_pem(tmp_path / "leaf.pem", certificate)
    verify = (
        *("verify", "-crl_check_all", "-CRLfile", str(lists), "-CAfile", str(tmp_path / "root.cer.pem")),
        *("-untrusted", str(tmp_path / "issuing.cer.pem"), leaf),
    )
    assert "leaf.pem: OK" in await openssl(*verify)


@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA256(), hashes.SHA384()])
async def test_an_answer_is_about_what_was_asked(site: Site, algorithm: hashes.HashAlgorithm) -> None:
    certificate = await site.issued()
    answer = await site.ask(question(certificate, site.issuing, algorithm, nonce=b"once-only"))
    assert answer.response_status is ocsp.OCSPResponseStatus.SUCCESSFUL
    assert answer.certificate_status is ocsp.OCSPCertStatus.GOOD
    assert answer.serial_number == certificate.serial_number
    assert answer.hash_algorithm.name == algorithm.name
    assert answer.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"once-only"
    assert answer.next_update_utc is not None
    assert answer.next_update_utc - answer.this_update_utc == FRESH
    (responder,) = answer.certificates
    responder.verify_directly_issued_by(site.issuing)
    assert responder.extensions.get_extension_for_class(x509.OCSPNoCheck).value == x509.OCSPNoCheck()
    key = responder.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(answer.signature, answer.tbs_response_bytes, ec.ECDSA(hashes.SHA256()))


async def test_what_was_not_signed_here_is_unknown(site: Site) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(
        issuer_name=site.issuing.subject,
        subject_name=x509.Name([]),
        public_key=key.public_key(),
        serial_number=12345,
        not_valid_before=site.bench.clock.now(),
        not_valid_after=site.bench.clock.now() + timedelta(days=1),
    )
    forged = builder.sign(key, hashes.SHA256())
    answer = await site.ask(question(forged, site.issuing))
    assert answer.certificate_status is ocsp.OCSPCertStatus.UNKNOWN


async def test_nothing_is_said_about_another_issuers_certificates(site: Site) -> None:
    root = x509.load_der_x509_certificate(site.bench.issuers.root)
    answer = await site.ask(question(site.issuing, root))
    assert answer.response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED


@pytest.mark.parametrize("nonce", [b"", b"x" * 129])
async def test_a_question_that_cannot_be_read(site: Site, nonce: bytes) -> None:
    certificate = await site.issued()
    for asked in (b"", b"\x30\x03garbage", question(certificate, site.issuing, nonce=nonce)):
        answer = await site.ask(asked)
        assert answer.response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST


async def test_by_get_an_answer_may_be_kept_until_it_ends(site: Site) -> None:
    encoded = base64.b64encode(question(await site.issued(), site.issuing)).decode()
    for path in (encoded, quote(encoded, safe="")):
        async with site.http.get(f"{site.url}/ocsp/{path}") as answer:
            assert answer.status == 200
            read = ocsp.load_der_ocsp_response(await answer.read())
            assert read.certificate_status is ocsp.OCSPCertStatus.GOOD
            assert 0 < int(answer.headers["Cache-Control"].split("max-age=")[1].split(",")[0]) <= 600
    async with site.http.get(f"{site.url}/ocsp/!!!") as answer:
        read = ocsp.load_der_ocsp_response(await answer.read())
        assert read.response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST
        assert answer.headers["Cache-Control"] == "no-store"


async def test_nothing_else_is_taken(site: Site) -> None:
    tries = (
        ("GET", "/", None, 404),
        ("GET", "/certificates/server-key.sealed", None, 404),
        ("GET", "/issuing.crl/../root.key", None, 404),
        ("DELETE", "/issuing.crl", None, 405),
        ("POST", "/issuing.crl", b"x", 405),
        ("POST", "/ocsp", b"x" * (MAX_QUESTION + 1), 413),
    )
    for method, path, body, status in tries:
        headers = {"Content-Type": OCSP_REQUEST} if body else {}
        async with site.http.request(method, site.url + path, data=body, headers=headers) as answer:
            assert answer.status == status, path
    async with site.http.post(f"{site.url}/ocsp", data=b"x", headers={"Content-Type": "text/html"}) as answer:
        assert answer.status == 415


async def test_the_responders_certificate_is_made_once_and_is_evidence(site: Site) -> None:
    asked = question(await site.issued(), site.issuing)
    answers = await asyncio.gather(*(site.ask(asked) for _ in range(8)))
    assert len({answer.certificates[0].serial_number for answer in answers}) == 1
    (responder,) = answers[0].certificates[:1]
    entry = await site.bench.store.ledger.by_serial(responder.serial_number)
    assert entry is not None
    (evidence,) = await site.bench.store.audit.about(f"{responder.serial_number:x}")
    assert evidence.record.facts == {"key": site.bench.authority.issuer.key, "profile": "ocsp-signing"}


async def test_a_taken_address_is_told(site: Site) -> None:
    taken = Publishing(site.publication, Address("127.0.0.1", site.publishing.port), site.bench.clock)
    with pytest.raises(errors.ConfigInvalid):
        await taken.start()


async def test_the_root_says_that_the_issuing_one_is_revoked(site: Site) -> None:
    entry = await site.bench.store.ledger.by_serial(site.issuing.serial_number)
    assert entry is not None
    assert entry.audit is None
    evidence = site.bench.authority.issuer.key_used("certificate-revoked", f"{site.issuing.serial_number:x}")
    now = site.bench.clock.now()
    reason = Reason.KEY_COMPROMISE.value
    await site.bench.store.ledger.revoke(site.issuing.serial_number, reason, now, replace(evidence))
    async with site.http.get(f"{site.url}/root.crl") as answer:
        listed = x509.load_der_x509_crl(await answer.read())
    assert [each.serial_number for each in listed] == [site.issuing.serial_number]


# --- is it there for others? ------------------------------------------------------------------------------


class Later(SystemClock):
    """A clock that is ahead."""

    def __init__(self, ahead: timedelta) -> None:
        self.ahead = ahead

    def now(self) -> datetime:
        return super().now() + self.ahead


async def test_the_list_is_watched_where_others_fetch_it(site: Site) -> None:
    issuing, url = site.bench.issuers.issuing, f"{site.url}/issuing.crl"
    facts = await published_list(url, issuing, site.bench.clock)()
    assert facts["revoked"] == 0
    for wrong, why in (
        (f"{site.url}/root.crl", "not a list of our issuer"),
        (f"{site.url}/issuing.cer", "DER"),
    ):
        with pytest.raises(errors.ConnectorRefused) as caught:
            await published_list(wrong, issuing, site.bench.clock)()
        assert why in str(caught.value.facts["reason"])
    with pytest.raises(errors.ConnectorRefused, match="404"):
        await published_list(f"{site.url}/other.crl", issuing, site.bench.clock)()
    for ahead in (timedelta(days=6, hours=1), timedelta(days=30)):
        with pytest.raises(errors.ConnectorRefused, match="publish it anew"):
            await published_list(url, issuing, Later(ahead))()
    await site.publishing.stop()
    with pytest.raises(errors.ConnectorUnreachable):
        await published_list(url, issuing, site.bench.clock)()
