"""A real MIT Kerberos server that lets people in by certificate (PKINIT), and the client that logs on with a card.

Sources: [RFC 4556] (PKINIT; appendix A for the name in a KDC's certificate), MIT krb5 1.20, *PKINIT configuration*.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID, ObjectIdentifier

from shared.iso7816.tlv import encode
from shared.piv.der import CONTEXT_0, CONTEXT_1, SEQUENCE, integer
from tests.peers.judges.opensc import module
from tests.peers.ports import accepts, free_ports
from tests.peers.programs import alive, need, run, running, wait_until
from tests.peers.terminal import answer_prompt

KDC_PURPOSE: Final = ObjectIdentifier("1.3.6.1.5.2.3.5")
KRB5_PRINCIPAL: Final = ObjectIdentifier("1.3.6.1.5.2.2")
GENERAL_STRING: Final = 0x1B
SERVICE_AND_INSTANCE: Final = 2
DAY: Final = timedelta(days=1)

CLIENT: Final = """\
[libdefaults]
    default_realm = {realm}
    dns_lookup_kdc = false
    dns_lookup_realm = false
    dns_canonicalize_hostname = false
    rdns = false
    udp_preference_limit = 1
    default_ccache_name = FILE:{folder}/ticket
    pkinit_anchors = FILE:{anchors}
[realms]
    {realm} = {{
        kdc = {host}:{port}
    }}
"""
SERVER: Final = """\
[logging]
    kdc = FILE:{folder}/judged.log
[kdcdefaults]
    kdc_listen = 127.0.0.1:{port}
    kdc_tcp_listen = 127.0.0.1:{port}
[realms]
    {realm} = {{
        database_name = {folder}/principal
        key_stash_file = {folder}/stash
        acl_file = {folder}/acl
        pkinit_identity = FILE:{folder}/kdc.pem,{folder}/kdc.key
        pkinit_anchors = FILE:{anchors}
        pkinit_allow_upn = yes
        pkinit_eku_checking = scLogin
        pkinit_revoke = FILE:{lists}
        pkinit_require_crl_checking = yes
    }}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Realm:
    """Where a realm's server is, and the client's settings for it. `trace` is what the client wrote of its log-on."""

    name: str
    folder: Path

    @property
    def trace(self) -> str:
        """What the client said that it did, the last log-on at the end."""
        return (self.folder / "trace").read_text(errors="replace")

    def log_on(self, user: str, pin: str) -> tuple[int, str]:
        """Log on with the card in the reader; return the status and what was on the screen."""
        argv = (*self._environment, need("kinit", "krb5-user"))
        identity = f"X509_user_identity=PKCS11:module_name={module()}"
        return answer_prompt([*argv, "-X", identity, user], prompt=" PIN", answer=pin)

    def tickets(self) -> str:
        """Return what the client holds."""
        return run([*self._environment, need("klist", "krb5-user")], accept=(0, 1))

    @property
    def _environment(self) -> tuple[str, ...]:
        settings, trace = self.folder / "krb5.conf", self.folder / "trace"
        return (need("env", "coreutils"), "LC_ALL=C", f"KRB5_CONFIG={settings}", f"KRB5_TRACE={trace}")


def client(folder: Path, realm: str, *, host: str, port: int, anchors: Sequence[x509.Certificate]) -> Realm:
    """Write a client's settings: it trusts `anchors` for the server and for its own certificate."""
    path = folder / "client-anchors.pem"
    path.write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in anchors))
    (folder / "krb5.conf").write_text(
        CLIENT.format(realm=realm, folder=folder, anchors=path, host=host, port=port)
    )
    return Realm(name=realm, folder=folder)


def kdc_certificate(folder: Path, realm: str, *, host: str = "127.0.0.1") -> x509.Certificate:
    """Make a server's key and certificate, `kdc.key` and `kdc.pem` in `folder`; it is its own root."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"KDC of {realm} at {host}")])
    now = datetime.now(UTC)
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now - DAY, now + DAY
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([KDC_PURPOSE]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.OtherName(KRB5_PRINCIPAL, _krbtgt(realm))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    (folder / "kdc.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    (folder / "kdc.key").write_bytes(private)
    (folder / "kdc.key").chmod(0o600)
    return certificate


def _krbtgt(realm: str) -> bytes:
    """Encode the name of the ticket-granting service: KRB5PrincipalName ([RFC 4556] 3.2.2)."""

    def text(value: str) -> bytes:
        return encode(GENERAL_STRING, value.encode())

    parts = encode(SEQUENCE, text("krbtgt") + text(realm))
    name = encode(CONTEXT_0, integer(SERVICE_AND_INSTANCE)) + encode(CONTEXT_1, parts)
    return encode(SEQUENCE, encode(CONTEXT_0, text(realm)) + encode(CONTEXT_1, encode(SEQUENCE, name)))


class Kdc:
    """An MIT Kerberos server of one realm, whose people have no passwords."""

    def __init__(
        self, folder: Path, realm: str, issuers: Sequence[x509.Certificate], users: Sequence[str]
    ) -> None:
        """Make the database. `issuers` are those of people's certificates, the root among them."""
        self.folder, self.port = folder, free_ports()
        own = kdc_certificate(folder, realm)
        anchors, self._lists = folder / "anchors.pem", folder / "lists.pem"
        anchors.write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in (own, *issuers)))
        (folder / "kdc.conf").write_text(
            SERVER.format(realm=realm, folder=folder, port=self.port, anchors=anchors, lists=self._lists)
        )
        (folder / "acl").touch()
        self.realm = client(folder, realm, host="127.0.0.1", port=self.port, anchors=[own, *issuers])
        self._environment = (
            need("env", "coreutils"),
            f"KRB5_CONFIG={folder / 'krb5.conf'}",
            f"KRB5_KDC_PROFILE={folder / 'kdc.conf'}",
        )
        make = ("create", "-s", "-r", realm, "-P", "of-a-test")
        run([*self._environment, need("kdb5_util", "krb5-kdc"), *make])
        for user in users:
            query = f"addprinc +requires_preauth -nokey {user}"
            run([*self._environment, need("kadmin.local", "krb5-admin-server"), "-r", realm, "-q", query])

    @property
    def refusals(self) -> str:
        """What the server wrote of the log-ons that it judged."""
        return (self.folder / "judged.log").read_text(errors="replace")

    @contextmanager
    def running(self, lists: Sequence[x509.CertificateRevocationList]) -> Iterator[None]:
        """Serve with these revocation lists; it reads them when it starts and at no other time."""
        self._lists.write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in lists))
        log = self.folder / "kdc.log"
        argv = [*self._environment, need("krb5kdc", "krb5-kdc"), "-n", "-r", self.realm.name]
        with running(argv, log=log) as process:
            wait_until(lambda: alive(process, log) and accepts(self.port), "krb5kdc")
            yield
