"""What the common suite needs of each product: a connection to a server, and a hand on the server."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from server.connectors.calling import GuardedLine, Limits
from server.ports.ca import Names, SignRequest
from server.ports.connection import Configured, Kind, Surroundings, Value
from shared.clock import SystemClock
from shared.credential.model import RequestId
from shared.credential.names import requested_extensions

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

ANNA = Names(subject="CN=Anna Berg,O=Example", upn="anna@example.test", mail="anna.berg@example.test")


@dataclass
class Bench:
    """One product under test.

    `build` makes a connection anew, as after a restart; `stranger` one with a credential that has no rights. `unknown` is a
    profile that is configured and that the server does not have. `words` are its names of reasons for revocation.
    """

    kind: Kind
    double: Any
    """A `Double`, or a real server, which makes no trouble."""
    build: Callable[[], Any]
    stranger: Callable[[], Any]
    profile: str
    unknown: str
    issuing: str
    offered: tuple[str, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)
    approve: Callable[[], Awaitable[None]] | None = None

    def request(self, key: Key | None = None, names: Names = ANNA, **changed: Any) -> SignRequest:
        profile = changed.pop("profile", self.profile)
        return request_for(key or ec.generate_private_key(ec.SECP256R1()), profile, names, **changed)


def request_for(key: Key, profile: str, names: Names = ANNA, **changed: Any) -> SignRequest:
    """Return a request as a card makes it: names in the extension request, signed by its key."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name.from_rfc4514_string(names.subject)
    )
    for each in requested_extensions(
        upn=names.upn, mail=names.mail, sid=names.sid, card=names.card, fascn=names.fascn
    ):
        builder = builder.add_extension(each, critical=False)
    values: dict[str, Any] = {
        "request_id": RequestId(uuid4()),
        "profile": profile,
        "names": names,
        "public_key": key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "request": builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER),
    }
    return SignRequest(**{**values, **changed})


def connect(kind: Kind, values: Mapping[str, Value], others: Callable[[str], Any] | None = None) -> Any:
    """Build a connection as the server does, with a line of its own that waits for nothing."""
    defaults = {each.name: each.default for each in kind.fields if each.default is not None}
    configured = Configured(name=f"our-{kind.name}", kind=kind.name, values={**defaults, **values})
    clock = SystemClock()
    line = GuardedLine(configured.name, clock, Limits(timeout_s=5), sleep=_at_once, fraction=lambda: 0.0)
    around = Surroundings(clock=clock, line=line, others=others or _nobody)
    return kind.build(configured, around)


async def _at_once(_seconds: float) -> None:
    await asyncio.sleep(0)


def _nobody(name: str) -> Any:
    raise AssertionError(name)
