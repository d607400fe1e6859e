"""How a station's certificate is renewed: by the station itself, before the one that it has expires.

The present certificate asks for the next one. The present one counts until the next is shown for the first time, so that an
answer that is lost costs nothing: the station asks again. Then it counts for a moment longer, for another process of the
same station that still shows it.
"""

import hashlib
from typing import Final

from cryptography import x509

from server.authority.access import Caller
from server.authority.overlap import evidence
from server.authority.stations import StationAuthority, check_request
from server.authority.throttle import Limit, Throttle
from server.ports.store import Standing, StationStore
from shared import errors
from shared.clock import Clock

PER_STATION: Final = Limit(burst=4, seconds=900)
OVERALL: Final = Limit(burst=200, seconds=1)


class Renewals:
    """Give stations their next certificates. Whether a station may ask at all was judged before (`access`)."""

    def __init__(self, stations: StationStore, authority: StationAuthority, clock: Clock) -> None:
        """Keep them in `stations`, signed by `authority`."""
        self._stations = stations
        self._authority = authority
        self._clock = clock
        self._throttle = Throttle(per_peer=PER_STATION, overall=OVERALL, clock=clock)

    async def renew(self, caller: Caller, request: bytes) -> bytes:
        """Certify a new key (PKCS#10, DER) of the calling station; return its certificate, DER.

        Raises:
            TooManyAttempts: it asked too often.
            Invalid: the request is not acceptable.
            NotAllowed: it does not show its current certificate.
        """
        self._throttle.attempt(str(caller.station_id))
        check_request(request)
        known = await self._stations.by_fingerprint(caller.fingerprint)
        if known is None or known.standing is not Standing.CURRENT:
            raise errors.NotAllowed(what="renewal by a certificate that was renewed already")
        certificate = await self._authority.issue_station(
            request, known.name, known.station_id, application=caller.application
        )
        fingerprint = hashlib.sha256(certificate).digest()
        not_after = x509.load_der_x509_certificate(certificate).not_valid_after_utc
        audit = evidence("station-renewed", known, fingerprint, not_after)
        await self._stations.add_next(known.station_id, fingerprint, not_after, audit)
        return certificate
