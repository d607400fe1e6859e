"""See whether others can check certificates: the list where certificates say that it is, fetched as anybody would.

It may be a copy that somebody forgot to renew; then every certificate is refused by those who are careful.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from shared import errors
from shared.clock import Clock
from shared.errors import Fact

TIMEOUT: Final = aiohttp.ClientTimeout(total=10)
MAX_LIST: Final = 64 << 20
"""Bytes: a list of a million lines has about forty million."""
WARNING: Final = timedelta(hours=24)
"""A list that ends sooner than this is told: the day on which it is copied has passed."""


def published_list(url: str, issuing: bytes, clock: Clock) -> Callable[[], Awaitable[dict[str, Fact]]]:
    """Return a probe of the list at `url`, which the issuer `issuing` (DER) signs.

    The probe raises:
        ConnectorUnreachable: it cannot be fetched.
        ConnectorRefused: it is no list of ours, or it ends within a day.
    """
    issuer = x509.load_der_x509_certificate(issuing)

    async def probe() -> dict[str, Fact]:
        try:
            async with aiohttp.ClientSession(timeout=TIMEOUT) as http, http.get(url) as answer:
                if answer.status != 200:
                    raise errors.ConnectorRefused(connection=url, reason=f"HTTP status {answer.status}")
                content = await answer.content.read(MAX_LIST)
        except (aiohttp.ClientError, TimeoutError, OSError) as cause:
            reason = str(cause) or type(cause).__name__
            raise errors.ConnectorUnreachable(connection=url, reason=reason) from cause
        try:
            listed = x509.load_der_x509_crl(content)
        except ValueError as cause:
            raise errors.ConnectorRefused(connection=url, reason="not a revocation list in DER") from cause
        key = issuer.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey)
        if listed.issuer != issuer.subject or not listed.is_signature_valid(key):
            raise errors.ConnectorRefused(connection=url, reason="not a list of our issuer")
        until = listed.next_update_utc
        if until is None or until - clock.now() < WARNING:
            ends = until.isoformat(timespec="minutes") if until else "at no time that it says"
            raise errors.ConnectorRefused(connection=url, reason=f"the list ends {ends}; publish it anew")
        return {"revoked": len(listed), "until": until.isoformat(timespec="minutes")}

    return probe
