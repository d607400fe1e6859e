"""Our CMP double, judged by OpenSSL's client: what it answers is CMP, and what it refuses is refused."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from server.connectors.ca.cmp.protection import PasswordProtection
from shared.secret import Secret
from tests.contract.ca.cmp import Cmp
from tests.contract.ca.web import Trouble

REFERENCE: Final = "kiosk"
PASSWORD: Final = "of the test"


@contextmanager
def served(double: Cmp) -> Iterator[int]:
    """Serve over plain HTTP, as `openssl cmp` speaks it; the messages are protected."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            status, media_type, body = double.answer(self.path, self.headers["Content-Type"], content)
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_what: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def by_password(folder: Path) -> Cmp:
    """Return a double that knows its clients by a password."""
    double = Cmp(folder)
    double.protection = PasswordProtection(REFERENCE, Secret(PASSWORD.encode()))
    return double


class Client:
    """`openssl cmp` in a folder of its own, with a key and a request for it."""

    def __init__(self, folder: Path, double: Cmp, port: int) -> None:
        self.folder, self.port = folder, port
        self.key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name.from_rfc4514_string("CN=Anna Berg,O=Example")
        names = x509.SubjectAlternativeName([x509.RFC822Name("anna@example.test")])
        builder = x509.CertificateSigningRequestBuilder(name).add_extension(names, critical=False)
        request = builder.sign(self.key, hashes.SHA256())
        self.write("root.pem", (double.signer.issuing.pem + double.signer.root.pem).encode())
        self.write("request.pem", request.public_bytes(Encoding.PEM))
        self.write("key.pem", pem(self.key))

    def write(self, name: str, content: bytes) -> None:
        (self.folder / name).write_bytes(content)

    def run(self, command: str, *more: str, path: str = "", password: str = PASSWORD) -> tuple[int, str]:
        protection = ("-ref", REFERENCE, "-secret", f"pass:{password}") if password else ()
        argv = [
            *("openssl", "cmp", "-config", "", "-cmd", command, "-server", f"127.0.0.1:{self.port}"),
            *(
                "-path",
                path,
                "-recipient",
                "/O=Elsewhere/CN=Double Issuing CA",
                "-certout",
                "new.pem",
                *protection,
                *more,
            ),
        ]
        done = subprocess.run(argv, cwd=self.folder, capture_output=True, text=True, check=False, timeout=20)
        return done.returncode, done.stdout + done.stderr

    @property
    def new(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.folder / "new.pem").read_bytes())


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize("confirmed", [False, True])
def test_openssl_gets_a_certificate_for_its_request(tmp_path: Path, *, confirmed: bool) -> None:
    double = by_password(tmp_path)
    double.wants_confirmation = confirmed
    with served(double) as port:
        client = Client(tmp_path, double, port)
        more = () if confirmed else ("-implicit_confirm",)
        status, said = client.run("p10cr", "-csr", "request.pem", *more, path="p/log-on")
    assert status == 0, said
    client.new.verify_directly_issued_by(double.signer.issuing.certificate)
    assert client.new.subject == x509.Name.from_rfc4514_string("CN=Anna Berg,O=Example")
    assert len(double.confirmed) == int(confirmed)


def test_openssl_waits_and_asks_again(tmp_path: Path) -> None:
    double = by_password(tmp_path)
    double.let_wait = 2
    with served(double) as port:
        client = Client(tmp_path, double, port)
        status, said = client.run("p10cr", "-csr", "request.pem", "-implicit_confirm", "-total_timeout", "10")
    assert status == 0, said
    assert "polling" in said or "PollRep" in said or "pollRep" in said, said


def test_openssl_asks_by_template_with_our_word_for_the_key(tmp_path: Path) -> None:
    double = by_password(tmp_path)
    with served(double) as port:
        client = Client(tmp_path, double, port)
        status, said = client.run(
            *("cr", "-newkey", "key.pem", "-popo", "0", "-subject", "/O=Example/CN=Bob", "-implicit_confirm")
        )
    assert status == 0, said
    assert client.new.subject.rfc4514_string() == "CN=Bob,O=Example"


def test_openssl_revokes_once(tmp_path: Path) -> None:
    double = by_password(tmp_path)
    with served(double) as port:
        client = Client(tmp_path, double, port)
        client.run("p10cr", "-csr", "request.pem", "-implicit_confirm")
        status, said = client.run("rr", "-oldcert", "new.pem", "-revreason", "1")
        assert status == 0, said
        assert double.signer.book[0].reason == "key_compromise"
        status, said = client.run("rr", "-oldcert", "new.pem", "-revreason", "1")
    assert status != 0
    assert "certRevoked" in said


def test_openssl_is_refused(tmp_path: Path) -> None:
    double = by_password(tmp_path)
    with served(double) as port:
        client = Client(tmp_path, double, port)
        asked = ("p10cr", "-csr", "request.pem", "-implicit_confirm")
        status, said = client.run(*asked, "-unprotected_errors", password="another")
        assert status != 0
        assert "badMessageCheck" in said
        status, said = client.run(*asked, path="p/other")
        assert status != 0
        assert "badRequest" in said
        double.trouble = Trouble.DENIED
        status, said = client.run(*asked)
        assert status != 0
        assert "badCertTemplate" in said
        assert "the policy forbids it" in said


def test_openssl_signs_its_messages(tmp_path: Path) -> None:
    double = Cmp(tmp_path)
    with served(double) as port:
        client = Client(tmp_path, double, port)
        client.write("ra.pem", double.registrar.pem.encode())
        client.write("ra.key", double.registrar.key_pem.encode())
        status, said = client.run(
            *("p10cr", "-csr", "request.pem", "-implicit_confirm", "-cert", "ra.pem", "-key", "ra.key"),
            *("-trusted", "root.pem", "-ignore_keyusage"),
            password="",
        )
    assert status == 0, said
    client.new.verify_directly_issued_by(double.signer.issuing.certificate)
