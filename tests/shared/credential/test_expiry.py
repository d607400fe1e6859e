"""Which certificates are due for renewal."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from shared.credential.expiry import due_for_renewal, ends_at
from shared.credential.model import CertificateRecord, CertificateState, RequestId
from shared.credential.template import Temporary
from shared.credential.template_reading import parse_template
from shared.piv.ids import Slot

TEMPLATE = parse_template("""\
name = "employee"
title = "Employee badge"
directory = "people"

[[certificate]]
slot = "9A"
algorithm = "P-256"
ca = "built-in"
profile = "smart-card-logon"
subject = "CN=${user.name}"

[[certificate]]
slot = "9C"
algorithm = "P-256"
ca = "built-in"
profile = "signature"
subject = "CN=${user.name}"
renew-before-days = 90
""")
A, C, D = Slot.AUTHENTICATION, Slot.SIGNATURE, Slot.KEY_MANAGEMENT
END = datetime(2028, 3, 1, 12, tzinfo=UTC)


def certificate(slot: Slot, end: datetime = END, number: int = 1) -> CertificateRecord:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string("CN=Bob Smith")
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(end - timedelta(days=730))
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    return CertificateRecord(
        request_id=RequestId(UUID(int=number)),
        slot=slot,
        connection="built-in",
        profile="signature",
        public_key=b"",
        state=CertificateState.CONFIRMED,
        certificate=signed.public_bytes(Encoding.DER),
    )


@pytest.mark.parametrize(
    ("left", "due"),
    [
        (timedelta(days=91), []),
        (timedelta(days=90), [C]),
        (timedelta(days=31), [C]),
        (timedelta(days=30), [A, C]),
        (timedelta(0), [A, C]),
        (timedelta(days=-400), [A, C]),
    ],
)
def test_a_certificate_is_due_as_long_before_its_end_as_its_slot_says(
    left: timedelta, due: list[Slot]
) -> None:
    held = [certificate(A), certificate(C)]
    assert [each.slot for each in due_for_renewal(held, TEMPLATE, END - left)] == due


@pytest.mark.parametrize("state", set(CertificateState) - {CertificateState.CONFIRMED})
def test_only_certificates_on_the_card_are_looked_at(state: CertificateState) -> None:
    assert due_for_renewal([replace(certificate(A), state=state)], TEMPLATE, END) == ()


def test_certificates_of_retired_keys_end_and_are_not_renewed() -> None:
    assert due_for_renewal([certificate(D), certificate(Slot.RETIRED_1)], TEMPLATE, END) == ()


def test_of_two_in_a_slot_the_newest_counts() -> None:
    old, new = certificate(A), certificate(A, END + timedelta(days=700), 2)
    assert due_for_renewal([old, new], TEMPLATE, END) == ()
    assert due_for_renewal([new, old], TEMPLATE, END) == (old,)


def test_when_a_certificate_ends() -> None:
    assert ends_at(certificate(A).certificate) == END


def test_a_temporary_credential_is_not_renewed() -> None:
    temporary = replace(TEMPLATE, temporary=Temporary(lasts=timedelta(hours=12)))
    assert due_for_renewal([certificate(A)], TEMPLATE, END) != ()
    assert due_for_renewal([certificate(A)], temporary, END) == ()
