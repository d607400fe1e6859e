"""Virtual cards for scenarios: with a pool of RSA keys, and with an ear for what they are told."""

from dataclasses import dataclass, field
from functools import cache, partial

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.iso7816.apdu import CHAINING_BIT, Apdu, decode
from shared.piv.certificate import CertificateContainer
from shared.piv.ids import Algorithm, Ins, KeyRef, ObjectId, Slot
from shared.virtual.card import VirtualCard
from shared.virtual.keys import generate_key
from shared.virtual.memory import PrivateKey
from shared.virtual.tlv import fields

CHALLENGE, RESPONSE, WITNESS = 0x81, 0x82, 0x80


@cache
def _pooled(algorithm: Algorithm) -> PrivateKey:
    return generate_key(algorithm)


def key_source(algorithm: Algorithm) -> PrivateKey:
    """Make a key; RSA keys, which take seconds, are made once and serve every card."""
    return generate_key(algorithm) if algorithm.rsa_bits is None else _pooled(algorithm)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One whole command as the card understood it, with the security status that it met.

    `power` counts the times that the card was given power; `proven` is whether it had proven its management key to
    the other side since then, `factory` whether that key is still the factory's; `managed` and `pin` whether 9B was
    open and the PIN verified; `puk_left` how many tries the PUK had.
    """

    power: int
    command: Apdu = field(repr=False)
    sw: int
    proven: bool
    factory: bool
    managed: bool
    pin: bool
    puk_left: int

    @property
    def ins(self) -> int:
        return self.command.ins


class ListeningCard(VirtualCard):
    """A card that remembers every command it was told, chains put together."""

    log: list[Heard]
    power = 0
    _proven = False
    _chained = b""

    def power_off(self) -> None:
        self.power += 1
        self._proven = False
        super().power_off()

    def _physical(self, raw: bytes) -> bytes:
        security = self._applet.security
        managed, pin, before = security.managed, security.pin, self.memory
        answer = super()._physical(raw)
        apdu = decode(raw)
        if apdu.cla & CHAINING_BIT:
            self._chained += apdu.data
            return answer
        data, self._chained = self._chained + apdu.data, b""
        whole = Apdu(apdu.cla, apdu.ins, apdu.p1, apdu.p2, data, apdu.le, apdu.extended)
        sw = int.from_bytes(answer[-2:], "big")
        self.__dict__.setdefault("log", []).append(
            Heard(
                power=self.power,
                command=whole,
                sw=sw,
                proven=self._proven,
                factory=self.profile.factory_key.startswith(before.management.value.reveal()),
                managed=managed,
                pin=pin,
                puk_left=before.puk.left,
            )
        )
        if _finishes_mutual(whole) and sw == 0x9000:
            self._proven = True
        return answer


def _finishes_mutual(apdu: Apdu) -> bool:
    """Whether this is the second half of a mutual authentication: our witness back, our challenge."""
    if apdu.ins != Ins.GENERAL_AUTHENTICATE or apdu.p2 != KeyRef.MANAGEMENT:
        return False
    inner = fields(fields(apdu.data)[0x7C])
    return bool(inner.get(WITNESS)) and bool(inner.get(CHALLENGE))


pooled = partial(VirtualCard.new, key_source=key_source)
"""Make a card whose RSA keys cost nothing."""

listening = partial(ListeningCard.new, key_source=key_source)
"""Make a card that can be asked what it was told."""


def certificate_in(card: VirtualCard, slot: Slot) -> x509.Certificate:
    """Return the certificate that lies in a slot."""
    return x509.load_der_x509_certificate(container_in(card, slot).certificate)


def container_in(card: VirtualCard, slot: Slot) -> CertificateContainer:
    """Return the container that lies in a slot."""
    return CertificateContainer.from_bytes(card.memory.objects[slot.certificate_object])


def spki(key: object) -> bytes:
    """Return a public key as DER."""
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return encoded


def holds_matching_keys(card: VirtualCard, *slots: Slot) -> bool:
    """Whether each of these slots has a certificate for the key that is in it, and the card all other objects."""
    memory = card.memory
    return all(
        memory.objects.get(wanted) for wanted in (ObjectId.CHUID, ObjectId.CCC, ObjectId.SECURITY)
    ) and all(
        spki(certificate_in(card, slot).public_key()) == spki(memory.keys[slot].private.public_key())
        for slot in slots
    )
