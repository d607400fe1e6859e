"""AD CS by Kerberos: a real key distribution centre, and tickets that are bound to the server's certificate."""

import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from server.connectors.ca.adcs.certsrv import KIND as PAGES
from server.connectors.ca.adcs.kerberos import end_point
from server.connectors.ca.adcs.wstep import KIND
from server.ports.ca import Issued, Refused, Unanswered
from server.ports.connection import Value
from shared import errors
from shared.secret import Secret
from tests.contract.ca import adcs_certsrv as certsrv
from tests.contract.ca import adcs_wstep as wstep
from tests.contract.ca.adcs_kerberos import PRINCIPAL, REALM
from tests.contract.ca.bench import connect, request_for
from tests.contract.ca.signer import make
from tests.contract.test_ca_outside import one
from tests.peers.kerberos import Kdc
from tests.peers.programs import need, run

SERVICE: Final = "HTTP/127.0.0.1"
OTHER: Final = "other"


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the folder of a realm that serves, with a keytab for each principal."""
    folder = tmp_path_factory.mktemp("realm")
    kdc = Kdc(folder, REALM, [make("CN=Root,O=Example", ca=True).certificate], ["kiosk", OTHER, SERVICE])
    for user, keytab in (("kiosk", "kiosk"), (OTHER, OTHER), (SERVICE, "http")):
        query = f"ktadd -k {folder / keytab}.keytab {user}"
        argv = [*kdc._environment, need("kadmin.local", "krb5-admin-server")]
        run([*argv, "-r", REALM, "-q", query])
    with kdc.running([]):
        yield folder


@pytest.fixture
async def double(realm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[wstep.Wstep]:
    monkeypatch.setenv("KRB5_CONFIG", str(realm / "krb5.conf"))
    monkeypatch.setenv("KRB5RCACHENAME", "none:")
    made = wstep.Wstep(tmp_path)
    made.tickets.keytab = realm / "http.keytab"
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def reach(double: wstep.Wstep, realm: Path) -> AsyncIterator[Callable[..., Any]]:
    """Connections by keytab, closed at the end."""
    made: list[Any] = []

    def reaching(user: str = "kiosk", **changed: Value) -> Any:
        principal: dict[str, Value] = {
            "user": f"{user}@{REALM}",
            "keytab": str(realm / f"{user}.keytab"),
        }
        made.append(connect(KIND, wstep.values(double, "Kerberos", **{**principal, **changed})))
        return made[-1]

    yield reaching
    for each in made:
        await each.close()


def asked() -> Any:
    return request_for(ec.generate_private_key(ec.SECP256R1()), wstep.SMART_CARD)


async def test_a_ticket_with_each_message(double: wstep.Wstep, reach: Callable[..., Any]) -> None:
    authority = reach()
    await authority.greet()
    assert wstep.SMART_CARD in await authority.offered_profiles()
    outcomes = await authority.issue([asked() for _ in range(4)])
    assert all(isinstance(each, Issued) for each in outcomes), outcomes
    assert double.tickets.logged_on == [PRINCIPAL] * 7


@pytest.mark.usefixtures("double")
async def test_the_pages_for_people_take_tickets_too(realm: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    folder.mkdir()
    pages = certsrv.Certsrv(folder)
    pages.tickets.keytab = realm / "http.keytab"
    await pages.start()
    values = certsrv.values(pages, user=PRINCIPAL, keytab=str(realm / "kiosk.keytab"))
    del values["password"]
    authority = connect(PAGES, values)
    await authority.greet()
    outcome = await one(authority, request_for(ec.generate_private_key(ec.SECP256R1()), certsrv.TEMPLATES[0]))
    assert isinstance(outcome, Issued)
    assert pages.tickets.logged_on == [PRINCIPAL] * 4
    await authority.close()
    await pages.stop()


async def test_a_ticket_is_worth_nothing_elsewhere(double: wstep.Wstep, reach: Callable[..., Any]) -> None:
    """Somebody in between shows a certificate of their own, and hands the ticket on: it is bound to theirs."""
    double.tickets.bound_to = double.stranger.der
    outcome = await one(reach(), asked())
    assert isinstance(outcome, Refused)
    assert "credential" in outcome.reason
    assert double.tickets.logged_on == []


async def test_a_principal_without_rights(double: wstep.Wstep, reach: Callable[..., Any]) -> None:
    with pytest.raises(errors.ConnectorRefused, match="credential"):
        await reach(OTHER).greet()
    assert double.tickets.logged_on == [f"{OTHER}@{REALM}"]


async def test_a_keytab_of_somebody_else(double: wstep.Wstep, reach: Callable[..., Any], realm: Path) -> None:
    outcome = await one(reach(keytab=str(realm / f"{OTHER}.keytab")), asked())
    assert isinstance(outcome, Refused)
    assert "Kerberos refuses" in outcome.reason
    assert double.seen == [], "no message went without a ticket"


async def test_a_keytab_that_is_not_there(double: wstep.Wstep, reach: Callable[..., Any]) -> None:
    with pytest.raises(errors.ConnectorRefused, match="Kerberos refuses"):
        await reach(keytab="/nowhere/kiosk.keytab").greet()
    assert double.seen == []


async def test_a_service_that_is_not_there(double: wstep.Wstep, reach: Callable[..., Any]) -> None:
    await double.stop()
    outcome = await one(reach(), asked())
    assert isinstance(outcome, Unanswered)
    assert "no connection" in outcome.reason


async def test_a_service_that_nobody_vouches_for(double: wstep.Wstep, reach: Callable[..., Any]) -> None:
    authority = reach(roots=make("CN=Other Root,O=Example", ca=True).pem)
    with pytest.raises(errors.ConnectorRefused, match="not trusted"):
        await authority.greet()
    assert double.seen == []


def test_one_way_to_log_on(double: wstep.Wstep) -> None:
    values = wstep.values(double, "Kerberos")
    both: dict[str, Value] = {"user": "kiosk", "keytab": "/x", "password": Secret.from_text("secret")}
    wrongs: tuple[dict[str, Value], ...] = (both, {"keytab": "/x"}, {"user": "kiosk"})
    for wrong in wrongs:
        with pytest.raises(errors.Invalid, match="password"):
            connect(KIND, {**values, **wrong})
    with pytest.raises(errors.Invalid, match="proxy"):
        connect(KIND, {**values, "user": "kiosk", "keytab": "/x", "proxy": "http://127.0.0.1:1"})


@pytest.mark.parametrize(
    ("digest", "length"), [(hashes.SHA256(), 32), (hashes.SHA384(), 48), (hashes.SHA512(), 64)]
)
def test_the_end_of_a_channel(tmp_path: Path, digest: Any, length: int) -> None:
    """By the digest of the certificate's own signature, as OpenSSL computes it."""
    key = ec.generate_private_key(ec.SECP384R1())
    plain = make("CN=Server,O=Example").certificate
    builder = x509.CertificateBuilder(
        issuer_name=plain.issuer,
        subject_name=plain.subject,
        public_key=key.public_key(),
        serial_number=1,
        not_valid_before=plain.not_valid_before_utc,
        not_valid_after=plain.not_valid_after_utc,
    )
    from cryptography.hazmat.primitives.serialization import Encoding

    file = tmp_path / "certificate"
    file.write_bytes(builder.sign(key, digest).public_bytes(Encoding.DER))
    found = end_point(file.read_bytes())
    assert len(found) == length
    judged = subprocess.run(
        ["openssl", "dgst", f"-{digest.name}", "-binary", str(file)], check=True, capture_output=True
    )
    assert judged.stdout == found
