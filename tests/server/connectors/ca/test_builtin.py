"""The built-in certificate authority: what its certificates say, judged by OpenSSL as well."""

import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from server.connectors.ca.bootstrap import Issuers, bootstrap, bootstrap_stations, certify_content_signer
from server.connectors.ca.builtin import BuiltinAuthority
from server.connectors.ca.issuing import Publication
from server.connectors.ca.profiles import PIV_CARD_AUTH, PIV_CONTENT_SIGNING, PKINIT_CLIENT
from server.connectors.ca.stations import StationAuthority
from server.connectors.keystore.memory import MemoryKeyStore
from server.ports.ca import Issued, Names, Outcome, Reason, SignRequest
from server.ports.keystore import SigningAlgorithm
from server.ports.store import LedgerEntry
from server.store.memory import MemoryStore
from shared import errors
from shared.clock import SystemClock
from shared.credential.model import RequestId, StationId
from shared.credential.names import SECURITY_EXTENSION

OPENSSL = shutil.which("openssl")
CRL_URL = "http://ca.example.test/issuing.crl"
ISSUER_URL = "http://ca.example.test/issuing.cer"
CARD = "urn:uuid:8d6b3a52-9a0e-4b8c-b7a7-0d6a40a1f0d3"
NAMES = Names(subject="CN=Anna Berg,O=Example", upn="anna@example.test", card=CARD)


@dataclass
class Bench:
    keystore: MemoryKeyStore
    store: MemoryStore
    clock: SystemClock
    issuers: Issuers
    authority: BuiltinAuthority


@pytest.fixture
async def bench() -> Bench:
    return await make_bench()


async def make_bench(**settings: object) -> Bench:
    clock, keystore = SystemClock(), MemoryKeyStore()
    store = MemoryStore(clock)
    issuers = await bootstrap(keystore, store.ledger, clock, "Example")
    authority = BuiltinAuthority(
        connection="built-in",
        keystore=keystore,
        ledger=store.ledger,
        audit=store.audit,
        clock=clock,
        issuers=issuers,
        publication=Publication(crl_url=CRL_URL, issuer_url=ISSUER_URL),
        **settings,  # type: ignore[arg-type]  # a test's shorthand
    )
    return Bench(keystore, store, clock, issuers, authority)


def request(profile: str, names: Names = NAMES) -> SignRequest:
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return SignRequest(
        request_id=RequestId(uuid4()),
        profile=profile,
        names=names,
        public_key=key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        request=csr.public_bytes(Encoding.DER),
    )


def one(outcomes: Sequence[Outcome]) -> x509.Certificate:
    (outcome,) = outcomes
    assert isinstance(outcome, Issued), outcome
    return x509.load_der_x509_certificate(outcome.certificate)


def purposes(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def usages(certificate: x509.Certificate) -> set[str]:
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    names = ("digital_signature", "content_commitment", "key_encipherment", "key_agreement", "crl_sign")
    return {name for name in names if getattr(usage.value, name)}


async def test_a_log_on_certificate(bench: Bench) -> None:
    sid = "S-1-5-21-" + "-".join(["4294967295"] * 12)
    names = replace(NAMES, sid=sid, upn="ä" * 100 + "@example.test")
    certificate = one(await bench.authority.issue([request("smart-card-logon", names)]))
    assert usages(certificate) == {"digital_signature"}
    assert purposes(certificate) == [
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.SMARTCARD_LOGON,
        PKINIT_CLIENT,
    ]
    security = certificate.extensions.get_extension_for_oid(SECURITY_EXTENSION)
    assert not security.critical
    assert isinstance(security.value, x509.UnrecognizedExtension)
    assert sid.encode() in security.value.value
    assert len(sid) > 127
    alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    (upn,) = alternatives
    assert isinstance(upn, x509.OtherName)
    assert upn.value == b"\x0c\x81\xd5" + ("ä" * 100 + "@example.test").encode()


async def test_a_card_authentication_certificate(bench: Bench) -> None:
    names = Names(subject="CN=8d6b3a52", card=CARD)
    certificate = one(await bench.authority.issue([request("card-authentication", names)]))
    assert purposes(certificate) == [PIV_CARD_AUTH]
    assert certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).critical
    alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(alternatives) == [x509.UniformResourceIdentifier(CARD)]


async def test_a_signature_and_a_key_management_certificate(bench: Bench) -> None:
    signature, management = await bench.authority.issue([request("signature"), request("key-management")])
    assert usages(one([signature])) == {"digital_signature", "content_commitment"}
    assert usages(one([management])) == {"key_agreement"}


async def test_what_every_certificate_says(bench: Bench) -> None:
    certificate = one(await bench.authority.issue([request("smart-card-logon")]))
    issuing = x509.load_der_x509_certificate(bench.issuers.issuing)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert not constraints.value.ca
    own = issuing.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    above = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert above.key_identifier == own
    points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert points[0].full_name == [x509.UniformResourceIdentifier(CRL_URL)]
    access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    assert access[0].access_location == x509.UniformResourceIdentifier(ISSUER_URL)
    assert certificate.version is x509.Version.v3


async def test_a_policy_where_one_is_configured() -> None:
    bench = await make_bench(policies={"piv-authentication": "2.16.840.1.101.3.2.1.48.11"})
    names = replace(NAMES, fascn=bytes(25))
    asserted, silent = await bench.authority.issue(
        [request("piv-authentication", names), request("smart-card-logon")]
    )
    policies = one([asserted]).extensions.get_extension_for_class(x509.CertificatePolicies).value
    assert [policy.policy_identifier.dotted_string for policy in policies] == ["2.16.840.1.101.3.2.1.48.11"]
    with pytest.raises(x509.ExtensionNotFound):
        one([silent]).extensions.get_extension_for_class(x509.CertificatePolicies)


async def test_a_record_that_fails_lets_no_certificate_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_entries: Sequence[LedgerEntry]) -> None:
        raise errors.StoreUnavailable(why="disk")

    monkeypatch.setattr(bench.store.ledger, "record", refuse)
    with pytest.raises(errors.StoreUnavailable):
        await bench.authority.issue([request("smart-card-logon")])


async def test_a_key_store_with_another_key_is_noticed(bench: Bench) -> None:
    """The issuing certificate of one installation with the key store of another."""
    other = MemoryKeyStore()
    await other.generate("ca/issuing", SigningAlgorithm.P256_SHA256)
    authority = BuiltinAuthority(
        connection="built-in",
        keystore=other,
        ledger=bench.store.ledger,
        audit=bench.store.audit,
        clock=bench.clock,
        issuers=bench.issuers,
    )
    with pytest.raises(errors.KeyStoreDamaged):
        await authority.issue([request("smart-card-logon")])
    with pytest.raises(errors.KeyStoreDamaged):
        await authority.crl()


async def test_bootstrapping_again_keeps_the_keys(bench: Bench) -> None:
    again = await bootstrap(bench.keystore, bench.store.ledger, bench.clock, "Example")
    first = x509.load_der_x509_certificate(bench.issuers.root)
    second = x509.load_der_x509_certificate(again.root)
    assert first.public_key() == second.public_key()
    assert first.serial_number != second.serial_number
    for name in ("", "x" * 65):
        with pytest.raises(errors.Invalid):
            await bootstrap(bench.keystore, bench.store.ledger, bench.clock, name)


async def test_the_content_signer(bench: Bench) -> None:
    der = await certify_content_signer(bench.authority.issuer, bench.keystore, bench.store.ledger)
    certificate = x509.load_der_x509_certificate(der)
    assert certificate.public_key() == await bench.keystore.public_key("content-signing")
    assert purposes(certificate) == [PIV_CONTENT_SIGNING]
    certificate.verify_directly_issued_by(x509.load_der_x509_certificate(bench.issuers.issuing))


def openssl(*arguments: str, fails: bool = False) -> str:
    assert OPENSSL is not None
    done = subprocess.run([OPENSSL, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode != 0) is fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def pem(path: Path, *certificates: bytes) -> str:
    loaded = [x509.load_der_x509_certificate(certificate) for certificate in certificates]
    path.write_bytes(b"".join(certificate.public_bytes(Encoding.PEM) for certificate in loaded))
    return str(path)


def read(path: str) -> bytes:
    return Path(path).read_bytes()


async def test_openssl_verifies_chain_and_revocation(bench: Bench, tmp_path: Path) -> None:
    good, bad = await bench.authority.issue([request("smart-card-logon"), request("signature")])
    assert isinstance(good, Issued)
    assert isinstance(bad, Issued)
    await bench.authority.revoke(bad.certificate, Reason.KEY_COMPROMISE)
    root = pem(tmp_path / "root.pem", bench.issuers.root)
    issuing = pem(tmp_path / "issuing.pem", bench.issuers.issuing)
    crl = x509.load_der_x509_crl(await bench.authority.crl())
    (tmp_path / "crl.pem").write_bytes(crl.public_bytes(Encoding.PEM))
    verify = ["verify", "-x509_strict", "-CAfile", root, "-untrusted", issuing]
    check = [*verify, "-crl_check", "-CRLfile", str(tmp_path / "crl.pem")]
    openssl(*verify, "-purpose", "sslclient", pem(tmp_path / "good.pem", good.certificate))
    openssl(*check, str(tmp_path / "good.pem"))
    assert "certificate revoked" in openssl(*check, pem(tmp_path / "bad.pem", bad.certificate), fails=True)
    listed = openssl("crl", "-in", str(tmp_path / "crl.pem"), "-noout", "-text", "-CAfile", issuing)
    assert "verify OK" in listed
    assert "Version 2" in listed
    assert "Key Compromise" in listed


async def test_openssl_reads_the_names(bench: Bench, tmp_path: Path) -> None:
    certificate = one(await bench.authority.issue([request("smart-card-logon")]))
    path = pem(tmp_path / "one.pem", certificate.public_bytes(Encoding.DER))
    text = openssl("x509", "-in", path, "-noout", "-text")
    assert "anna@example.test" in text
    assert "Microsoft Smartcard Login" in text
    assert f"URI:{CRL_URL}" in text


async def test_a_request_signed_with_sha1_is_refused(bench: Bench, tmp_path: Path) -> None:
    path, key = str(tmp_path / "old.csr"), str(tmp_path / "old.key")
    openssl("req", "-new", "-sha1", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x",
            "-keyout", key, "-out", path, "-outform", "DER")  # fmt: skip
    der = read(path)
    csr = x509.load_der_x509_csr(der)
    assert isinstance(csr.signature_hash_algorithm, hashes.SHA1)
    spki = csr.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    old = replace(request("smart-card-logon"), request=der, public_key=spki)
    (outcome,) = await bench.authority.issue([old])
    assert not isinstance(outcome, Issued)


async def station_authority(bench: Bench) -> StationAuthority:
    root = await bootstrap_stations(bench.keystore, bench.store.ledger, bench.clock, "Example")
    return StationAuthority(keystore=bench.keystore, ledger=bench.store.ledger, clock=bench.clock, root=root)


async def test_stations_and_server_have_a_root_of_their_own(bench: Bench, tmp_path: Path) -> None:
    stations = await station_authority(bench)
    station_id = StationId(uuid4())
    asked = request("smart-card-logon")
    station = await stations.issue_station(asked.request, "Desk 3", station_id)
    server = await stations.issue_server(asked.public_key, ["kiosk.example.test", "127.0.0.1", "::1"])
    root = pem(tmp_path / "stations.pem", stations.root)
    holders = pem(tmp_path / "holders.pem", bench.issuers.root, bench.issuers.issuing)
    client_pem, server_pem = pem(tmp_path / "c.pem", station), pem(tmp_path / "s.pem", server)
    strict = ["verify", "-x509_strict", "-CAfile"]
    openssl(*strict, root, "-purpose", "sslclient", client_pem)
    openssl(*strict, root, "-purpose", "sslserver", "-verify_ip", "127.0.0.1", server_pem)
    openssl(*strict, root, "-purpose", "sslserver", "-verify_hostname", "kiosk.example.test", server_pem)
    openssl(*strict, root, "-purpose", "sslserver", client_pem, fails=True)
    openssl(*strict, holders, client_pem, fails=True)
    parsed = x509.load_der_x509_certificate(station)
    assert parsed.subject.rfc4514_string() == "CN=Desk 3"
    names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier(f"urn:uuid:{station_id}")]
    assert len(await bench.store.ledger.by_public_key(asked.public_key)) == 2


async def test_a_stations_bad_request(bench: Bench) -> None:
    stations = await station_authority(bench)
    good = request("smart-card-logon").request
    as_pem = x509.load_der_x509_csr(good).public_bytes(Encoding.PEM)
    assert await stations.issue_station(as_pem, "Desk", StationId(uuid4()))
    for csr, name in [
        (good[:-1] + bytes([good[-1] ^ 1]), "Desk"),
        (b"", "Desk"),
        (b"-----BEGIN CERTIFICATE REQUEST-----\n", "Desk"),
        (good, ""),
        (good, "x" * 65),
    ]:
        with pytest.raises(errors.Invalid):
            await stations.issue_station(csr, name, StationId(uuid4()))


@pytest.mark.parametrize("names", [[], [""], ["*"], ["a b"], ["-x"], ["x..y"], ["ok", "ä.test"]], ids=str)
async def test_a_servers_bad_names(bench: Bench, names: list[str]) -> None:
    stations = await station_authority(bench)
    with pytest.raises(errors.Invalid):
        await stations.issue_server(request("signature").public_key, names)


async def test_a_certificate_costs_little(bench: Bench) -> None:
    """A wide bound, for a busy machine; about 0.5 ms are usual, and four make one commit."""
    asked = [request("smart-card-logon") for _ in range(40)]
    began = time.process_time()
    await bench.authority.issue(asked)
    per_certificate = (time.process_time() - began) / len(asked)
    assert per_certificate < 0.005
