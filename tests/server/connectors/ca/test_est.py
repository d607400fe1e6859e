"""What is particular to EST: labels, log-on by password, the certs-only form; and strongSwan's client judges our double."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from server.connectors.ca.est import KIND
from server.ports.ca import Issued, Pending, Refused
from shared import errors
from shared.secret import Secret
from tests.contract.ca.bench import connect, request_for
from tests.contract.ca.est import BASE, PASSWORD, USER, Est, values
from tests.contract.ca.signer import Signer
from tests.contract.ca.web import Trouble
from tests.peers.programs import need


@pytest.fixture
async def double(tmp_path: Path) -> AsyncIterator[Est]:
    double = Est(tmp_path)
    await double.start()
    yield double
    await double.stop()


def a_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


async def test_strongswan_enrols_at_the_double(double: Est, tmp_path: Path) -> None:
    request = request_for(a_key(), "log-on")
    (tmp_path / "request.der").write_bytes(request.request)
    (tmp_path / "web-root.pem").write_text(double.roots)
    (tmp_path / "root.pem").write_text(double.signer.root.pem)
    argv = [
        *(need("pki", "strongswan-pki"), "--est", "--url", double.url, "--in", "request.der"),
        *("--cacert", "web-root.pem", "--cacert", "root.pem"),
        *("--userpass", f"{USER}:{PASSWORD}", "--outform", "pem", "--debug", "2"),
    ]
    done = await asyncio.to_thread(
        subprocess.run, argv, cwd=tmp_path, capture_output=True, check=False, timeout=30
    )
    assert done.returncode == 0, done.stderr.decode()
    x509.load_pem_x509_certificate(done.stdout).verify_directly_issued_by(double.signer.issuing.certificate)


async def test_a_name_and_a_password_enrol(double: Est) -> None:
    by_name = {
        **values(double, user=USER, password=Secret(PASSWORD.encode())),
        "client-certificate": "",
        "client-key": None,
    }
    chosen = {name: value for name, value in by_name.items() if value is not None}
    authority = connect(KIND, chosen)
    (outcome,) = await authority.issue([request_for(a_key(), "default")])
    assert isinstance(outcome, Issued)
    assert f"POST {BASE}/simpleenroll" in double.seen
    await authority.close()
    chosen["password"] = Secret(b"wrong")
    authority = connect(KIND, chosen)
    (outcome,) = await authority.issue([request_for(a_key(), "default")])
    assert isinstance(outcome, Refused)
    assert "credential" in outcome.reason
    assert "wrong" not in outcome.reason
    await authority.close()


async def test_a_label_is_part_of_the_address(double: Est) -> None:
    authority = connect(KIND, values(double))
    (outcome,) = await authority.issue([request_for(a_key(), "log-on")])
    assert isinstance(outcome, Issued)
    assert double.seen == [f"POST {BASE}/log-on/simpleenroll"]
    await authority.close()


async def test_base64_may_come_in_lines(double: Est) -> None:
    double.lines = True
    authority = connect(KIND, values(double))
    (outcome,) = await authority.issue([request_for(a_key(), "log-on")])
    assert isinstance(outcome, Issued)
    await authority.greet()
    await authority.close()


async def test_a_request_that_waited_is_sent_again_as_it_was(double: Est) -> None:
    authority = connect(KIND, values(double))
    double.trouble = Trouble.PENDING
    request = request_for(a_key(), "log-on")
    (waits,) = await authority.issue([request])
    assert isinstance(waits, Pending)
    double.approved = True
    again = request_for(
        a_key(), "log-on", request=b"", public_key=request.public_key, reference=waits.reference
    )
    found = await authority.find(again)
    assert isinstance(found, Issued)
    assert await authority.find(request) is None  # without a reference nothing is sent again
    await authority.close()


async def test_its_issuers_have_to_be_the_configured_ones(double: Est) -> None:
    authority = connect(KIND, values(double))
    await authority.greet()
    await authority.close()
    authority = connect(KIND, values(double, issuers=Signer().chain_pem))
    with pytest.raises(errors.ConnectorAnswerWrong, match="others"):
        await authority.greet()
    await authority.close()


@pytest.mark.parametrize(
    "changed",
    [
        {"user": USER},
        {"password": Secret(b"x")},
        {"user": "a:b", "password": Secret(b"x")},
    ],
)
async def test_a_log_on_that_cannot_be(double: Est, changed: dict[str, str | Secret]) -> None:
    with pytest.raises(errors.Invalid):
        connect(KIND, {**values(double), **changed})
    without = {name: value for name, value in values(double).items() if not name.startswith("client-")}
    with pytest.raises(errors.Invalid, match="know us"):
        connect(KIND, without)
