"""A real step-ca, for the optional job: Debian's library of it, built and run in a folder, alone on loopback.

`python -m tests.optional.step_ca` runs the suite against it; no other run needs it, and nothing is installed here.
"""

import base64
import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from server.connectors.ca.one_time_token import jwk, thumbprint
from server.connectors.ca.step_ca import KIND
from shared.secret import Secret
from tests.contract.ca.bench import Bench, connect
from tests.contract.ca.signer import Entry, Pair, make
from tests.contract.ca.step_ca import BY_CERTIFICATE, PROVISIONER
from tests.peers.ports import accepts, free_ports

PROGRAM: Final = "TESTS_STEP_CA"
"""The environment variable that names the built program; without it there are no tests of it."""

START_S: Final = 30

TEMPLATE: Final = """{
{{- if not (has .Insecure.User.profile (list "cards" "signing")) }}{{ fail "no such profile" }}{{ end }}
  "subject": { "extraNames": {{ toJson .Insecure.User.subject }} },
  "extensions": {{ toJson .Insecure.CR.Extensions }},
  "keyUsage": ["digitalSignature"],
  "extKeyUsage": ["clientAuth"],
  "unknownExtKeyUsage": ["1.3.6.1.4.1.311.20.2.2"]
}
"""
"""As docs/connectors/step-ca.md has it, for two profiles."""


class Server:
    """step-ca in a folder, with a JWK and an X5C provisioner."""

    def __init__(self, program: Path, folder: Path) -> None:
        """Write its configuration; `running` starts it."""
        self._program, self._folder = program, folder
        self.root = make("CN=Step Root", ca=True)
        self.issuing = make("CN=Step Issuing CA", self.root, ca=True)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.port = free_ports(2)
        self._log = folder / "log"
        for name, text in (
            ("root.crt", self.root.pem),
            ("issuing.crt", self.issuing.pem),
            ("issuing.key", self.issuing.key_pem),
            ("card.tpl", TEMPLATE),
            ("ca.json", json.dumps(self._configuration())),
        ):
            (folder / name).write_text(text)

    def _configuration(self) -> dict[str, Any]:
        public = self.key.public_key()
        provisioner = {
            "type": "JWK",
            "name": PROVISIONER,
            "key": {**jwk(public), "kid": thumbprint(public), "use": "sig", "alg": "ES256"},
        }
        by_certificate = {
            "type": "X5C",
            "name": BY_CERTIFICATE,
            "roots": base64.b64encode(self.root.pem.encode()).decode(),
        }
        both = {
            "claims": {"maxTLSCertDuration": "26280h", "defaultTLSCertDuration": "8760h"},
            "options": {"x509": {"templateFile": str(self._folder / "card.tpl")}},
        }
        return {
            "root": str(self._folder / "root.crt"),
            "crt": str(self._folder / "issuing.crt"),
            "key": str(self._folder / "issuing.key"),
            "address": f"127.0.0.1:{self.port}",
            "dnsNames": ["127.0.0.1"],
            "logger": {"format": "json"},
            "db": {"type": "badgerv2", "dataSource": str(self._folder / "db")},
            "authority": {"provisioners": [{**provisioner, **both}, {**by_certificate, **both}]},
        }

    @property
    def issuers(self) -> str:
        """Who signs, up to the root."""
        return self.issuing.pem + self.root.pem

    @contextlib.contextmanager
    def running(self) -> Iterator["Server"]:
        command = [str(self._program), str(self._folder / "ca.json"), f"127.0.0.1:{self.port + 1}"]
        home = {"PATH": os.environ["PATH"], "HOME": str(self._folder)}
        with (
            self._log.open("wb") as log,
            subprocess.Popen(command, env=home, cwd=self._folder, stdout=log, stderr=log) as process,
        ):
            try:
                self._wait(process)
                yield self
            finally:
                process.send_signal(signal.SIGTERM)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        ends = time.monotonic() + START_S
        while not (accepts(self.port) and accepts(self.port + 1)):
            assert process.poll() is None, self._log.read_text()[-2000:]
            assert time.monotonic() < ends, "step-ca does not start"
            time.sleep(0.05)

    def asked(self) -> int:
        """Return how many requests were made."""
        return sum('"method":' in told for told in self._log.read_text().splitlines())

    def entries(self) -> list[Entry]:
        """Return what is in its own database, in the order of issue."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port + 1}/", timeout=10) as answer:
            told = json.load(answer)
        return [
            Entry(
                x509.load_der_x509_certificate(base64.b64decode(one["certificate"])),
                revoked=one["revoked"],
                reason=str(one["reason"]),
            )
            for one in told
        ]


class RealStepCa:
    """The server as one test sees it."""

    KIND = KIND

    def __init__(self, server: Server) -> None:
        self.server = server
        self._before = len(server.entries())
        self.chain_der: Sequence[bytes] = (server.issuing.der, server.root.der)

    async def book(self) -> list[Entry]:
        return self.server.entries()[self._before :]

    def asked(self) -> int:
        return self.server.asked()


def bench(real: RealStepCa) -> Bench:
    """Return what the suite needs of the server."""

    def build(key: ec.EllipticCurvePrivateKey) -> Any:
        return connect(
            KIND,
            {
                "url": f"https://127.0.0.1:{real.server.port}",
                "roots": real.server.root.pem,
                "issuers": real.server.issuers,
                "profiles": ("cards", "missing"),
                "provisioner": PROVISIONER,
                "provisioner-key": Secret.from_text(Pair(real.server.root.certificate, key).key_pem),
            },
        )

    other = ec.generate_private_key(ec.SECP256R1())
    return Bench(
        kind=KIND,
        double=real,
        build=lambda: build(real.server.key),
        stranger=lambda: build(other),
        profile="cards",
        unknown="missing",
        issuing="/sign",
        words={"keyCompromise": "1"},
    )
