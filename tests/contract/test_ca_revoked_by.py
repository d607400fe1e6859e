"""A connection that cannot revoke, with another one that does it for it; what is configured wrongly is said."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from server.connectors.ca import est, step_ca, vault
from server.connectors.ca.one_time_token import Provisioner
from server.ports.ca import CanHold, CanRevoke, Issued, Reason
from server.ports.connection import Aspect, Value, Verdict
from shared import errors
from shared.secret import Secret
from tests.contract.ca import ejbca
from tests.contract.ca.bench import connect, request_for
from tests.contract.ca.ejbca import Ejbca
from tests.contract.ca.est import Est
from tests.contract.ca.signer import Pair, make
from tests.contract.ca.step_ca import StepCa


@pytest.fixture
async def doubles(tmp_path: Path) -> AsyncIterator[tuple[Est, Ejbca]]:
    """Two ways to one certificate authority."""
    folders = [tmp_path / "est", tmp_path / "ejbca"]
    for folder in folders:
        folder.mkdir()
    one, other = Est(folders[0]), Ejbca(folders[1])
    one.signer = other.signer
    for double in (one, other):
        await double.start()
    yield one, other
    for double in (one, other):
        await double.stop()


def est_values(double: Est, **more: Value) -> dict[str, Value]:
    return {
        "url": f"{double.url}/.well-known/est",
        "roots": double.roots,
        "client-certificate": double.client.pem,
        "client-key": Secret.from_text(double.client.key_pem),
        "issuers": double.signer.chain_pem,
        "profiles": ("default",),
        **more,
    }


async def test_another_connection_revokes(doubles: tuple[Est, Ejbca]) -> None:
    one, other = doubles
    revoker = ejbca.bench(other).build()
    authority = connect(est.KIND, est_values(one, **{"revoked-by": "our-ejbca"}), lambda _: revoker)
    assert authority.abilities.revoke
    assert authority.abilities.hold
    assert all(isinstance(authority, each) for each in (CanRevoke, CanHold))
    (outcome,) = await authority.issue([request_for(ec.generate_private_key(ec.SECP256R1()), "default")])
    assert isinstance(outcome, Issued)
    (entry,) = one.signer.book
    await authority.hold(outcome.certificate)
    assert entry.reason == "CERTIFICATE_HOLD"
    await authority.release(outcome.certificate)
    assert not entry.revoked
    await authority.revoke(outcome.certificate, Reason.SUPERSEDED)
    assert (entry.revoked, entry.reason) == (True, "SUPERSEDED")
    found = {each.aspect: each.verdict for each in await authority.test()}
    assert found[Aspect.REVOKE] is Verdict.UNKNOWN
    await authority.close()
    await revoker.close()


async def test_without_another_connection_it_cannot(doubles: tuple[Est, Ejbca]) -> None:
    alone = connect(est.KIND, est_values(doubles[0]))
    assert not isinstance(alone, CanRevoke)
    assert not alone.abilities.revoke
    with pytest.raises(errors.Invalid, match="cannot revoke"):
        connect(est.KIND, est_values(doubles[0], **{"revoked-by": "est"}), lambda _: alone)
    await alone.close()


async def test_a_provisioner_with_a_certificate(tmp_path: Path) -> None:
    """step-ca knows an X5C provisioner by the chain of its certificate."""
    double = StepCa(tmp_path)
    await double.start()
    known = make("CN=kiosk", double.signer.root, purpose=ExtendedKeyUsageOID.CLIENT_AUTH)
    values: dict[str, Value] = {
        "url": double.url,
        "roots": double.roots,
        "issuers": double.signer.chain_pem,
        "profiles": ("cards",),
        "provisioner": "our certificates",
        "provisioner-key": Secret.from_text(known.key_pem),
        "provisioner-certificate": known.pem + double.signer.root.pem,
    }
    authority = connect(step_ca.KIND, values)
    (outcome,) = await authority.issue([request_for(ec.generate_private_key(ec.SECP256R1()), "cards")])
    assert isinstance(outcome, Issued)
    with pytest.raises(errors.Invalid, match="for another key"):
        connect(step_ca.KIND, {**values, "provisioner-certificate": double.signer.root.pem})
    await authority.close()
    await double.stop()


def test_a_key_that_is_none_is_refused() -> None:
    for wrong in ("no key", Pair(make("CN=x").certificate, ec.generate_private_key(ec.SECP384R1())).key_pem):
        with pytest.raises(errors.Invalid):
            Provisioner(name="kiosk", key=Secret.from_text(wrong))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"issuers": ""}, "no certificate"),
        ({"issuers": make("CN=leaf", make("CN=root", ca=True)).pem}, "to the root"),
        ({"algorithms": ("dsa",)}, "none of"),
        ({"names": ("upn", "phone")}, "none of"),
    ],
)
def test_what_is_configured_wrongly_is_said(changed: dict[str, Value], why: str) -> None:
    values: dict[str, Any] = {
        "url": "https://vault.example.test",
        "issuers": make("CN=root", ca=True).pem,
        "profiles": ("cards",),
        "token": Secret.from_text("token"),
    }
    connect(vault.KIND, values)
    with pytest.raises(errors.Invalid, match=why):
        connect(vault.KIND, {**values, **changed})
