"""The real django-ca, as a process of its own: a root, an issuing certificate authority, a user with rights and one without.

It runs from `.venv-ca`, which `tests/run` makes; nothing of it is imported here. One server serves all tests of a process; what
was issued before a test is left out of its book.
"""

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from server.connectors.ca.django_ca import KIND
from shared.secret import Secret
from tests.contract.ca.bench import Bench, connect
from tests.contract.ca.signer import Entry, Pair, make
from tests.peers.ports import accepts, free_ports

PROGRAMS: Final = Path(__file__).resolve().parents[3] / ".venv-ca" / "bin"
START_S: Final = 30

SETTINGS: Final = """
from pathlib import Path

BASE = Path(__file__).parent
SECRET_KEY = "for tests"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = [
    *(f"django.contrib.{name}" for name in ("auth", "contenttypes", "messages", "sessions", "admin")),
    *("django_object_actions", "django_ca", "ninja"),
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "addresses"
TEMPLATES = [{
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "APP_DIRS": True,
    "OPTIONS": {"context_processors": [
        "django.template.context_processors.request",
        "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ]},
}]
DATABASES = {"default": {
    "ENGINE": "django.db.backends.sqlite3", "NAME": str(BASE / "book.db"), "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ, TIME_ZONE = True, "UTC"
CACHES = {"default": {
    "BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": str(BASE / "cache"),
}}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "django-ca": {
        "BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(BASE / "keys")},
    },
}
CA_ENABLE_REST_API, CA_ENABLE_ACME, CA_USE_CELERY = True, False, False
CA_DEFAULT_HOSTNAME = "localhost"
CA_PROFILES = {
    "card": {
        "description": "cards",
        "subject": None,
        "extensions": {
            "key_usage": {"critical": True, "value": ["digital_signature"]},
            "extended_key_usage": {"value": ["clientAuth", "1.3.6.1.4.1.311.20.2.2"]},
        },
    }
}
"""
ADDRESSES: Final = """
from django.core.wsgi import get_wsgi_application
from django.urls import include, path

urlpatterns = [path("django_ca/", include("django_ca.urls"))]
"""
SERVED: Final = """
from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
"""
PEOPLE: Final = """
from django.contrib.auth import get_user_model
from django_ca.models import CertificateAuthority
people = get_user_model().objects
people.create_superuser("kiosk", "", "secret")
people.create_user("nobody", "", "secret")
for name in ("Cards", "Root"):
    print(CertificateAuthority.objects.get(name=name).pub.pem)
"""


class Server:
    """django-ca in a folder."""

    def __init__(self, folder: Path) -> None:
        """Set it up; `running` starts it."""
        if not (PROGRAMS / "gunicorn").exists():
            pytest.fail("django-ca is not installed: tests/run makes .venv-ca", pytrace=False)
        self._folder = folder
        for name, text in (("settings", SETTINGS), ("addresses", ADDRESSES), ("served", SERVED)):
            (folder / f"{name}.py").write_text(text)
        self._tls_root = make("CN=Web Root,O=Elsewhere", ca=True)
        self._admin("migrate", "-v0")
        made = self._admin("init_ca", "--key-type", "EC", "--path-length", "1", "Root", "CN=Real Root")
        serial = re.sub(r"[^0-9A-F]", "", made.strip())
        parent = ("--parent", serial, "--default-hostname", "localhost")
        self._admin("init_ca", "--key-type", "EC", "--api-enable", *parent, "Cards", "CN=Real Issuing CA")
        self.chain_pem = self._admin("shell", "-v0", "-c", PEOPLE)
        self.port = free_ports()

    @property
    def roots(self) -> str:
        """Who vouches for its TLS certificate."""
        return self._tls_root.pem

    @contextlib.contextmanager
    def running(self) -> Iterator["Server"]:
        tls: Pair = make(
            "CN=django-ca",
            self._tls_root,
            names=[x509.IPAddress(IPv4Address("127.0.0.1"))],
            purpose=ExtendedKeyUsageOID.SERVER_AUTH,
            days=30,
        )
        files = {"certfile": self._folder / "web.pem", "keyfile": self._folder / "web.key"}
        files["certfile"].write_text(tls.pem)
        files["keyfile"].write_text(tls.key_pem)
        given = [part for name, path in files.items() for part in (f"--{name}", str(path))]
        where = ["--bind", f"127.0.0.1:{self.port}", "--access-logfile", str(self._folder / "asked")]
        how = ["--no-control-socket", "--workers", "1", "--threads", "4", "--log-level", "warning"]
        command = [str(PROGRAMS / "gunicorn"), *how, *where, *given, "served:application"]
        with subprocess.Popen(command, env=self._environment(), cwd=self._folder) as process:
            try:
                self._wait(process)
                yield self
            finally:
                process.send_signal(signal.SIGTERM)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        ends = time.monotonic() + START_S
        while not accepts(self.port):
            assert process.poll() is None, "django-ca ended"
            assert time.monotonic() < ends, "django-ca does not start"
            time.sleep(0.05)

    def asked(self) -> int:
        """Return how many requests were made."""
        log = self._folder / "asked"
        return len(log.read_text().splitlines()) if log.exists() else 0

    def entries(self) -> list[Entry]:
        """Return what is in its own database, in the order of issue."""
        query = "SELECT pub, profile, revoked, revoked_reason FROM django_ca_certificate ORDER BY id"
        with contextlib.closing(sqlite3.connect(self._folder / "book.db", timeout=20)) as book:
            return [
                Entry(
                    x509.load_der_x509_certificate(bytes(encoded)),
                    profile=profile,
                    revoked=bool(revoked),
                    reason=reason,
                )
                for encoded, profile, revoked, reason in book.execute(query)
            ]

    def _admin(self, *arguments: str) -> str:
        command = [str(PROGRAMS / "django-admin"), *arguments]
        done = subprocess.run(
            command, env=self._environment(), cwd=self._folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, json.dumps({"command": command[:2], "said": done.stderr[-2000:]})
        return done.stdout

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return {**kept, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": str(self._folder)}


class DjangoCa:
    """The server as one test sees it."""

    KIND = KIND

    def __init__(self, server: Server) -> None:
        self.server = server
        self._before = len(server.entries())
        chain = x509.load_pem_x509_certificates(server.chain_pem.encode())
        self.chain_der = tuple(each.public_bytes(Encoding.DER) for each in chain)

    async def book(self) -> list[Entry]:
        return self.server.entries()[self._before :]

    def asked(self) -> int:
        return self.server.asked()


def bench(real: DjangoCa) -> Bench:
    """Return what the suite needs of the server."""

    def build(user: str) -> Any:
        return connect(
            KIND,
            {
                "url": f"https://127.0.0.1:{real.server.port}/django_ca/api",
                "roots": real.server.roots,
                "issuers": real.server.chain_pem,
                "profiles": ("card", "missing"),
                "user": user,
                "password": Secret.from_text("secret"),
            },
        )

    return Bench(
        kind=KIND,
        double=real,
        build=lambda: build("kiosk"),
        stranger=lambda: build("nobody"),
        profile="card",
        unknown="missing",
        offered=("card", "client", "enduser", "ocsp", "server", "webserver"),
        issuing="/sign/",
        words={"keyCompromise": "key_compromise"},
    )
