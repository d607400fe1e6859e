"""What is particular to step-ca: two kinds of provisioners, names that its template takes from the request, until when it signs.

Where a real step-ca was built (`tests.optional.step_ca`), it judges the same as the double.
"""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from server.ports.ca import Issued, Names, Reason, Refused
from server.ports.connection import Value
from shared.credential.certificates import check_certificate, check_names, needed_usage
from shared.piv.ids import Slot
from shared.secret import Secret
from tests.contract.ca import real_step_ca, step_ca
from tests.contract.ca.bench import ANNA, connect, request_for
from tests.contract.ca.signer import Pair, make

REAL: Final = "real_step_ca"


class Server:
    """A server, double or real, and what it takes to connect to it."""

    def __init__(
        self, *, url: str, tls_root: str, root: Pair, issuers: str, key: ec.EllipticCurvePrivateKey
    ) -> None:
        self._root, self._key = root, key
        self._values: dict[str, Value] = {
            "url": url,
            "roots": tls_root,
            "issuers": issuers,
            "profiles": ("cards", "signing"),
        }

    def by_key(self) -> Any:
        return self._connect(step_ca.PROVISIONER, Pair(self._root.certificate, self._key).key_pem)

    def by_certificate(self, purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH) -> Any:
        mine = make("CN=kiosk", self._root, purpose=purpose, days=30)
        return self._connect(step_ca.BY_CERTIFICATE, mine.key_pem, mine.pem)

    def _connect(self, name: str, key: str, chain: str = "") -> Any:
        ours: dict[str, Value] = {"provisioner": name, "provisioner-key": Secret.from_text(key)}
        return connect(step_ca.StepCa.KIND, {**self._values, **ours, "provisioner-certificate": chain})


@pytest.fixture(params=["double", *([REAL] if real_step_ca.PROGRAM in os.environ else [])])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    if request.param == REAL:
        program = Path(os.environ[real_step_ca.PROGRAM])
        with real_step_ca.Server(program, tmp_path).running() as real:
            yield Server(
                url=f"https://127.0.0.1:{real.port}",
                tls_root=real.root.pem,
                root=real.root,
                issuers=real.issuers,
                key=real.key,
            )
        return
    double = step_ca.StepCa(tmp_path)
    await double.start()
    signer = double.signer
    yield Server(
        url=double.url, tls_root=double.roots, root=signer.root, issuers=signer.chain_pem, key=double.key
    )
    await double.stop()


@pytest.fixture(params=["by_key", "by_certificate"])
async def authority(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[Any]:
    made = getattr(server, request.param)()
    yield made
    await made.close()


def signed(names: Names = ANNA, **changed: Any) -> Any:
    return request_for(ec.generate_private_key(ec.SECP256R1()), "cards", names, **changed)


async def test_both_kinds_of_provisioners_sign_and_revoke(authority: Any) -> None:
    await authority.greet()
    (outcome,) = await authority.issue([signed()])
    assert isinstance(outcome, Issued), outcome
    await authority.revoke(outcome.certificate, Reason.KEY_COMPROMISE)
    await authority.revoke(outcome.certificate, Reason.SUPERSEDED)


NAMES: Final = {
    "all": Names(
        subject="CN=Anna Berg,OU=Cards,O=Example,C=DE",
        upn="anna@example.test",
        mail="anna.berg@example.test",
        sid="S-1-5-21-1004336348-1177238915-682003330-512",
        card="urn:uuid:6d3b21a5-1f0c-4f0e-8a3e-2f5f2c9c1b7d",
        fascn=bytes(range(25)),
    ),
    "none": Names(subject="CN=Anna Berg,O=Example"),
    "upn": Names(subject="CN=Anna Berg,O=Example", upn="anna@example.test"),
    "letters": Names(subject="CN=Åsa Öberg\\, M.A.,DC=example,DC=test", mail="asa@example.test"),
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
async def test_every_name_is_carried_and_none_besides(authority: Any, names: Names) -> None:
    request = signed(names)
    (outcome,) = await authority.issue([request])
    assert isinstance(outcome, Issued), outcome
    required, allowed = check_names(upn=names.upn, mail=names.mail, card=names.card, fascn=names.fascn)
    check_certificate(
        outcome.certificate,
        connection="step",
        public_key=request.public_key,
        subject=names.subject,
        trust=await authority.trust(),
        now=datetime.now(UTC),
        usage=needed_usage(Slot.AUTHENTICATION, request.public_key),
        required=required,
        allowed=allowed,
        sid=names.sid,
    )
    found = x509.load_der_x509_certificate(outcome.certificate).extensions
    held = [
        name
        for extension in found
        if isinstance(extension.value, x509.SubjectAlternativeName)
        for name in extension.value
    ]
    assert set(held) == set(allowed)


async def test_it_signs_until_the_asked_end(authority: Any) -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=9)
    (outcome,) = await authority.issue([signed(not_after=end)])
    assert isinstance(outcome, Issued), outcome
    assert x509.load_der_x509_certificate(outcome.certificate).not_valid_after_utc == end


async def test_a_certificate_for_another_purpose_is_no_credential(server: Server) -> None:
    stranger = server.by_certificate(ExtendedKeyUsageOID.SERVER_AUTH)
    (outcome,) = await stranger.issue([signed()])
    await stranger.close()
    assert isinstance(outcome, Refused)
    assert "credential" in outcome.reason
