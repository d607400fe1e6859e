"""What the station makes of a card that it read: a line for people, hints for the server.

Nothing here proves anything; the server asks the card itself before it trusts it.
"""

from collections.abc import Iterator

from cryptography import x509

from kiosk.station.faces import CardSeen
from shared.console import CardHints
from shared.credential.sight import sight_of
from shared.piv.ids import PRIMARY_SLOTS, Slot
from shared.piv.inspect import CardFacts


def card_seen(facts: CardFacts) -> CardSeen:
    """Return what a face shows of a card."""
    return CardSeen(
        product=facts.profile.title,
        profile=facts.profile.name.value,
        serial=facts.serial,
        pin_tries_left=facts.pin.tries_left,
        puk_tries_left=facts.puk.tries_left,
        certificates=tuple(_certificates(facts)),
    )


def hints_for(facts: CardFacts, *, virtual: bool) -> CardHints:
    """Return what the server looks a card up by, and compares with the record."""
    return CardHints(
        profile=facts.profile.name.value,
        serial=facts.serial,
        guid=facts.chuid.guid if facts.chuid is not None else None,
        virtual=virtual,
        sight=sight_of(facts),
    )


def _certificates(facts: CardFacts) -> Iterator[str]:
    for slot in PRIMARY_SLOTS:
        found = facts.slots.get(slot)
        if found is not None and found.certificate is not None:
            yield _certificate_line(slot, found.certificate)


def _certificate_line(slot: Slot, der: bytes) -> str:
    try:
        certificate = x509.load_der_x509_certificate(der)
        name, until = certificate.subject.rfc4514_string(), certificate.not_valid_after_utc
    except ValueError:
        return f"{slot.text} unreadable certificate"
    return f"{slot.text} {name} until {until:%Y-%m-%d}"
