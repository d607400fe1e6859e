"""Which certificates of a credential end soon, so that they are renewed in time."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from cryptography import x509

from shared.credential.model import CertificateRecord, CertificateState
from shared.credential.template import Template
from shared.piv.ids import Slot

RENEWAL_DUE: Final = "renewal-due"
"""A notice about a card."""


def due_for_renewal(
    certificates: Sequence[CertificateRecord], template: Template, now: datetime
) -> tuple[CertificateRecord, ...]:
    """Return the certificates that end within the time that the template gives them, or have ended.

    Of each slot the newest counts: one that it replaced may still wait to be revoked. Those of a temporary credential end
    with it, so that there is nothing to renew.
    """
    if template.temporary is not None:
        return ()
    newest: dict[Slot, CertificateRecord] = {}
    for each in certificates:
        if each.state is CertificateState.CONFIRMED:
            newest[each.slot] = each
    return tuple(
        newest[spec.slot]
        for spec in template.certificates
        if spec.slot in newest
        and ends_at(newest[spec.slot].certificate) - timedelta(days=spec.renew_before_days) <= now
    )


@lru_cache(maxsize=4096)
def ends_at(certificate: bytes) -> datetime:
    """Return until when a certificate (DER) is valid."""
    return x509.load_der_x509_certificate(certificate).not_valid_after_utc
