"""The names in a certificate: from a template, a person and a card; and what of them its request asks for."""

from collections.abc import Collection, Mapping
from datetime import datetime

from cryptography import x509

from server.ports.ca import Names
from shared.credential.model import Person, RecordId, TemplateRef
from shared.credential.names import requested_extensions
from shared.credential.template import CertificateSpec
from shared.credential.variables import fill, fill_subject
from shared.piv.ids import Slot


def values_for(
    person: Person,
    record_id: RecordId,
    serial: int | None,
    *,
    template: TemplateRef | None = None,
    now: datetime | None = None,
) -> dict[str, str]:
    """Return the variables of a template for one person and one card, and of a credential that is made `now`."""
    values = {f"user.{name}": value for name, value in person.attributes.items()}
    values["user.name"] = person.name
    values["card.id"] = str(record_id)
    values["card.serial"] = "" if serial is None else str(serial)
    if template is not None:
        values["credential.template"] = template.name
        values["credential.version"] = str(template.version)
    if now is not None:
        values["system.date"] = now.date().isoformat()
        values["system.time"] = now.replace(microsecond=0).isoformat()
    return values


def names_for(
    spec: CertificateSpec,
    values: Mapping[str, str],
    record_id: RecordId,
    fascn: bytes,
    carried: Collection[str] = (),
) -> Names:
    """Fill in the names of one certificate; the card's own are left out where its authority says that it carries others.

    Raises:
        VariableMissing: the directory lacks a value that the template needs.
    """
    return Names(
        subject=fill_subject(spec.subject, values).rfc4514_string(),
        upn=fill(spec.upn, values),
        mail=fill(spec.mail, values),
        sid=fill(spec.sid, values),
        card=f"urn:uuid:{record_id}" if not carried or "card" in carried else "",
        fascn=fascn if not carried or "fascn" in carried else b"",
        account=fill(spec.account, values),
    )


def asked_names(names: Names, slot: Slot) -> tuple[x509.ExtensionType, ...]:
    """Return the names that the request asks for; the card's own only where a certificate is the card's as well.

    Source: FIPS 201-3, 4.2.2.1 and 4.2.2.2 (card and PIV authentication name the card; the others need not).
    """
    is_the_cards = slot in {Slot.AUTHENTICATION, Slot.CARD_AUTHENTICATION}
    return requested_extensions(
        upn=names.upn,
        mail=names.mail,
        sid=names.sid,
        card=names.card if is_the_cards else "",
        fascn=names.fascn if is_the_cards else b"",
    )
