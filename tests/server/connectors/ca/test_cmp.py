"""What is particular to CMP: who a message is from, our names with our word for the key, and OpenSSL's server as a peer."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from server.connectors.ca.cmp.connector import KIND
from server.connectors.ca.cmp.protection import PasswordProtection
from server.ports.ca import Issued, Refused, Unanswered
from server.ports.connection import Value
from shared import errors
from shared.secret import Secret
from tests.contract.ca.bench import ANNA, connect, request_for
from tests.contract.ca.cmp import Cmp, values
from tests.contract.ca.signer import Signer, make
from tests.peers.ports import accepts, free_ports
from tests.peers.programs import need, running, wait_until

REFERENCE: Final = "kiosk"
PASSWORD: Final = "of the test"


@pytest.fixture
async def double(tmp_path: Path) -> AsyncIterator[Cmp]:
    double = Cmp(tmp_path)
    await double.start()
    yield double
    await double.stop()


def a_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


async def ask(chosen: dict[str, Value], profile: str = "log-on", **changed: Any) -> Any:
    authority = connect(KIND, chosen)
    try:
        (outcome,) = await authority.issue([request_for(a_key(), profile, **changed)])
    finally:
        await authority.close()
    return outcome


def by_password(double: Cmp, password: str = PASSWORD) -> dict[str, Value]:
    """Let both ends know a password; `password` is the one that we send."""
    double.protection = PasswordProtection(REFERENCE, Secret(PASSWORD.encode()))
    chosen = {name: value for name, value in values(double).items() if name not in {"certificate", "key"}}
    return {**chosen, "reference": REFERENCE, "password": Secret(password.encode())}


async def test_a_password_protects_both_directions(double: Cmp) -> None:
    assert isinstance(await ask(by_password(double)), Issued)
    wrong = await ask(by_password(double, "another"))
    assert isinstance(wrong, Unanswered)
    assert "another password" in wrong.reason
    assert len(double.signer.book) == 1


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        ({"unprotected": True}, "not protected"),
        ({"forget_nonce": True}, "something else"),
        ({"spoil": lambda _: b"\x30\x03\x02\x01\x02"}, "no CMP message"),
        (
            {"spoil": lambda answer: answer.replace(b"\x02\x01\x02\xa4", b"\x02\x01\x03\xa4", 1)},
            "does not verify",
        ),
    ],
    ids=["unprotected", "another nonce", "nonsense", "changed header"],
)
async def test_an_answer_that_is_not_theirs_is_none(double: Cmp, trouble: dict[str, Any], why: str) -> None:
    for name, value in trouble.items():
        setattr(double, name, value)
    outcome = await ask(values(double))
    assert isinstance(outcome, Unanswered), outcome
    assert why in outcome.reason


async def test_who_signs_answers_has_to_lead_to_a_configured_root(double: Cmp) -> None:
    outcome = await ask(values(double, signers=make("CN=Somebody,O=Else", ca=True).pem))
    assert isinstance(outcome, Unanswered)
    assert "configured root" in outcome.reason
    assert isinstance(await ask(values(double, signers=double.signer.root.pem)), Issued)


async def test_our_names_and_our_word_for_the_key(double: Cmp) -> None:
    key = x25519.X25519PrivateKey.generate().public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    authority = connect(KIND, values(double, request="crmf"))
    assert authority.abilities.proof_by_server
    names = replace(ANNA, subject="CN=Another Name,O=Example", sid="S-1-5-21-1-2-3-1001")
    (outcome,) = await authority.issue([request_for(a_key(), "log-on", names, request=b"", public_key=spki)])
    await authority.close()
    assert isinstance(outcome, Issued), outcome
    certificate = x509.load_der_x509_certificate(outcome.certificate)
    assert certificate.subject.rfc4514_string() == "CN=Another Name,O=Example"
    san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert ANNA.mail in san.get_values_for_type(x509.RFC822Name)
    assert any(each.oid.dotted_string == "1.3.6.1.4.1.311.25.2" for each in certificate.extensions)


async def test_a_certificate_is_confirmed_where_it_has_to_be(double: Cmp) -> None:
    assert isinstance(await ask(values(double)), Issued)
    assert double.confirmed == set()
    double.wants_confirmation = True
    outcome = await ask(values(double))
    assert isinstance(outcome, Issued)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(outcome.certificate)
    assert double.confirmed == {digest.finalize()}


async def test_one_number_is_one_request(double: Cmp) -> None:
    authority = connect(KIND, values(double))
    request = request_for(a_key(), "log-on")
    (first,) = await authority.issue([request])
    (second,) = await authority.issue([request])
    await authority.close()
    assert isinstance(first, Issued)
    assert isinstance(second, Refused)
    assert "transactionIdInUse" in second.reason


async def test_one_that_must_not_revoke_cannot(double: Cmp) -> None:
    authority = connect(KIND, values(double, revokes=False))
    assert not authority.abilities.revoke
    assert not hasattr(authority, "revoke")
    await authority.close()


@pytest.mark.parametrize(
    "changed",
    [
        {"certificate": "", "key": None},
        {"password": Secret(b"x"), "reference": "y"},
        {"certificate": "", "key": None, "password": Secret(b"x")},
        {"key": Secret(b"no key")},
        {"key": Secret(make("CN=x").key_pem.encode())},
        {"url": "ftp://127.0.0.1/pkix"},
    ],
)
async def test_what_cannot_work_is_refused(double: Cmp, changed: dict[str, Any]) -> None:
    chosen = {name: value for name, value in {**values(double), **changed}.items() if value is not None}
    with pytest.raises(errors.Invalid):
        connect(KIND, chosen)


# --- OpenSSL's server -------------------------------------------------------------------------------------


@contextmanager
def openssl_server(folder: Path, signer: Signer, certificate: bytes, *more: str) -> Iterator[int]:
    """Run OpenSSL's mock server, which answers every request with the same certificate."""
    (folder / "given.pem").write_bytes(x509.load_der_x509_certificate(certificate).public_bytes(Encoding.PEM))
    (folder / "root.pem").write_text(signer.chain_pem)
    port = free_ports()
    argv = [
        *(need("openssl", "openssl"), "cmp", "-config", "", "-port", str(port)),
        *("-srv_ref", REFERENCE, "-srv_secret", f"pass:{PASSWORD}"),
        *("-rsp_cert", str(folder / "given.pem"), "-rsp_capubs", str(folder / "root.pem"), *more),
    ]
    log = folder / "openssl.log"
    with running(argv, log=log):
        wait_until(lambda: "ACCEPT" in log.read_text(), "openssl cmp")
        assert accepts(port)
        yield port


@pytest.mark.parametrize("more", [(), ("-grant_implicitconf",), ("-poll_count", "1")])
async def test_openssl_issues_to_us(tmp_path: Path, more: tuple[str, ...]) -> None:
    signer, key = Signer(), a_key()
    request = request_for(key, "default")
    given = signer.sign(signer.read(request.request)).der
    with openssl_server(tmp_path, signer, given, *more) as port:
        authority = connect(
            KIND,
            {
                "url": f"http://127.0.0.1:{port}",
                "issuers": signer.chain_pem,
                "profiles": ("default",),
                "revokes": True,
                "reference": REFERENCE,
                "password": Secret(PASSWORD.encode()),
            },
        )
        (outcome,) = await authority.issue([request])
        if "-poll_count" in more:
            for _ in range(3):
                if isinstance(outcome, Issued):
                    break
                outcome = await authority.find(replace(request, reference=outcome.reference))
        assert isinstance(outcome, Issued), outcome
        assert outcome.certificate == given
        await authority.close()
