"""How a machine becomes a station, or an application.

An administrator makes a token; the machine shows its secret on the joining listener, with a certificate request;
the stations' own authority signs, and the SHA-256 of that certificate is what the station is known by from
then on. A token works once and expires; the record keeps only the SHA-256 of its secret.
"""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import UUID, uuid4

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from server.authority.throttle import Limit, Throttle
from server.ports.store import (
    Application,
    AuditKind,
    AuditRecord,
    JoinToken,
    OperatorId,
    OperatorKind,
    OperatorRecord,
    StationRecord,
    StationState,
    StationStore,
)
from shared import errors
from shared.clock import Clock
from shared.credential.model import StationId
from shared.errors import Fact
from shared.joining import SECRET_LENGTH, Invitation, write_token
from shared.secret import Secret

MAX_NAME: Final = 64
"""Characters of a station's name."""
MAX_REQUEST: Final = 2048
"""Bytes of a certificate request."""
LONGEST: Final = timedelta(days=7)
"""How long a token may be valid."""
PER_PEER: Final = Limit(burst=5, seconds=10)
OVERALL: Final = Limit(burst=50, seconds=1)


class StationAuthority(Protocol):
    """The issuing root of stations, apart from the one of holders."""

    async def issue_station(
        self, csr: bytes, name: str, station_id: StationId, *, application: bool = False
    ) -> bytes:
        """Sign a certificate of a station, or of an application, and return it, DER.

        `csr` is DER PKCS#10 whose signature was checked; only its key counts.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinAddress:
    """What tokens and answers say about this server.

    `joining` and `stations` are host:port; `fingerprint` is the SHA-256 of the joining listener's certificate,
    `server_root` the certificate (DER) that the stations' listener's own one chains to.
    """

    joining: str
    stations: str
    fingerprint: bytes
    server_root: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """What a new station is told. `certificate` and `server_root` are DER, `address` is host:port."""

    station_id: StationId
    name: str
    certificate: bytes
    server_root: bytes
    address: str


class Enrolment:
    """Invite machines, and let them in once."""

    def __init__(
        self,
        *,
        stations: StationStore,
        authority: StationAuthority,
        clock: Clock,
        address: JoinAddress,
        allow_lab: bool,
        per_peer: Limit = PER_PEER,
        overall: Limit = OVERALL,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """`allow_lab` says whether tokens for lab stations may be made; `random` draws the secrets."""
        self._stations = stations
        self._authority = authority
        self._clock = clock
        self._address = address
        self._allow_lab = allow_lab
        self._throttle = Throttle(per_peer=per_peer, overall=overall, clock=clock)
        self._random = random

    async def create_token(
        self,
        name: str,
        *,
        lab: bool,
        valid_for: timedelta,
        application: Application | None = None,
        actor: str = "admin",
    ) -> str:
        """Make a token and return its text. An empty `name` lets the machine choose; an `application` is what it will be.

        Raises:
            Invalid: the name or the time is not acceptable.
            NotAllowed: the settings allow no lab stations.
        """
        if name:
            check_name(name)
        if not timedelta() < valid_for <= LONGEST:
            raise errors.Invalid(field="valid_for", why=f"not between nothing and {LONGEST.days} days")
        if lab and not self._allow_lab:
            raise errors.NotAllowed(what="lab stations")
        secret = Secret(self._random(SECRET_LENGTH))
        token = JoinToken(
            digest=_digest(secret.reveal()),
            name=name,
            lab=lab,
            expires_at=self._clock.now() + valid_for,
            application=application,
        )
        facts: dict[str, Fact] = {"lab": int(lab), "expires": token.expires_at.isoformat()}
        if application is not None:
            facts |= _said(application)
        await self._stations.add_token(
            token,
            AuditRecord(
                kind=AuditKind.STATION,
                event="join-token-created",
                actor=actor,
                subject=name,
                facts=facts,
            ),
        )
        return write_token(
            Invitation(address=self._address.joining, fingerprint=self._address.fingerprint, secret=secret)
        )

    async def join(self, *, peer: str, secret: Secret, request: bytes, name: str) -> Joined:
        """Let a machine in.

        `peer` is its address without port, for the limit; `name` counts where the token has none. A malformed
        request does not spend the token.

        Raises:
            TooManyAttempts: this peer, or all together, tried too often.
            Invalid: the request or the name is not acceptable.
            JoinRefused: the token is unknown, used or expired.
        """
        self._throttle.attempt(peer)
        check_request(request)
        if name:
            check_name(name)
        token = await self._stations.spend_token(_digest(secret.reveal()), self._clock.now())
        if token is None:
            raise errors.JoinRefused
        chosen = token.name or name
        station_id = StationId(uuid4())
        if not chosen:
            chosen = f"station-{station_id.hex[:8]}"
        certificate = await self._authority.issue_station(
            request, chosen, station_id, application=token.application is not None
        )
        await self._register(station_id, chosen, certificate, token)
        return Joined(
            station_id=station_id,
            name=chosen,
            certificate=certificate,
            server_root=self._address.server_root,
            address=self._address.stations,
        )

    async def _register(self, station_id: UUID, name: str, certificate: bytes, token: JoinToken) -> None:
        fingerprint, application = hashlib.sha256(certificate).digest(), token.application
        facts: dict[str, Fact] = {"fingerprint": fingerprint.hex(), "lab": int(token.lab)}
        if application is not None:
            facts |= _said(application)
        await self._stations.add_station(
            StationRecord(
                station_id=StationId(station_id),
                name=name,
                fingerprint=fingerprint,
                lab=token.lab,
                state=StationState.ACTIVE,
                joined_at=self._clock.now(),
                not_after=x509.load_der_x509_certificate(certificate).not_valid_after_utc,
                unattended=application.unattended if application else None,
            ),
            AuditRecord(
                kind=AuditKind.STATION,
                event="application-joined" if application else "station-joined",
                actor=str(station_id),
                subject=name,
                facts=facts,
            ),
            None if application is None else _operator(station_id, name, application, self._clock.now()),
        )


def _operator(station_id: UUID, name: str, application: Application, now: datetime) -> OperatorRecord:
    """Return the operator that an application is; it never logs on."""
    return OperatorRecord(
        operator_id=OperatorId(station_id),
        name=name,
        kind=OperatorKind.APPLICATION,
        registered_at=now,
        roles=application.roles,
    )


def _said(application: Application) -> dict[str, Fact]:
    return {
        "roles": " ".join(sorted(application.roles)),
        "unattended": " ".join(sorted(subject.value for subject in application.unattended)),
    }


def check_name(name: str) -> None:
    """Refuse a station's name that is too long or would not print on one line: `Invalid`."""
    if not 0 < len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
        raise errors.Invalid(field="name", why=f"not 1 to {MAX_NAME} printable characters")


def check_request(request: bytes) -> None:
    """Refuse what is not a PKCS#10 request for a P-256 key, signed by that key.

    Source: [RFC 2986] 4.
    Raises:
        Invalid: `why` says what is wrong.
    """
    if len(request) > MAX_REQUEST:
        raise errors.Invalid(field="request", why=f"longer than {MAX_REQUEST} bytes")
    try:
        parsed = x509.load_der_x509_csr(request)
        key = parsed.public_key()
        signed = parsed.is_signature_valid
    except (ValueError, InvalidSignature, TypeError) as error:
        raise errors.Invalid(field="request", why="not a PKCS#10 request") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise errors.Invalid(field="request", why="not a P-256 key")
    if not signed:
        raise errors.Invalid(field="request", why="not signed by its key")


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()
