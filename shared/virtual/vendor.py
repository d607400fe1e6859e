"""What the YubiKey's PIV application knows beyond the standard: version, serial, metadata, attestation, 9B.

Source: Yubico, "PIV extensions" (instructions F7, F8, F9, FD, FF).
"""

from dataclasses import replace

from cryptography import x509

from shared.iso7816.apdu import Apdu
from shared.iso7816.status import SW
from shared.piv.ids import (
    FACTORY_PIN,
    FACTORY_PUK,
    KeyRef,
    ManagementAlgorithm,
    ObjectId,
    Origin,
    Slot,
    TouchPolicyId,
)
from shared.secret import Secret
from shared.virtual.applet import Applet
from shared.virtual.keys import public_template, usable_slot
from shared.virtual.lab import attestation
from shared.virtual.memory import ManagementKey, Reference, StoredKey
from shared.virtual.security import Refused
from shared.virtual.tlv import fields, only, put


def get_version(applet: Applet, apdu: Apdu) -> bytes:
    """Return the firmware's version, three bytes."""
    _no_parameters(apdu)
    return bytes(applet.profile.version or ())


def get_serial(applet: Applet, apdu: Apdu) -> bytes:
    """Return the serial number, four bytes."""
    _no_parameters(apdu)
    return applet.memory.serial.to_bytes(4, "big")


def set_management_key(applet: Applet, apdu: Apdu) -> bytes:
    """Replace the management key; P2 FE asks for a touch with it from now on."""
    if apdu.p1 != 0xFF or apdu.p2 not in {0xFF, 0xFE}:
        raise Refused(SW.INCORRECT_PARAMETERS)
    applet.needs_management()
    if not apdu.data or apdu.data[0] not in applet.profile.management_algorithms:
        raise Refused(SW.INCORRECT_DATA)
    algorithm = ManagementAlgorithm(apdu.data[0])
    value = only(apdu.data[1:], KeyRef.MANAGEMENT)
    if len(value) != algorithm.key_length:
        raise Refused(SW.INCORRECT_DATA)
    key = ManagementKey(algorithm=algorithm, value=Secret(value), touch=apdu.p2 == 0xFE)
    applet.memory = replace(applet.memory, management=key)
    return b""


def get_metadata(applet: Applet, apdu: Apdu) -> bytes:
    """Tell what is in a slot, or how many tries PIN and PUK have; no secret and no authentication."""
    if apdu.p1 or apdu.data:
        raise Refused(SW.INCORRECT_PARAMETERS)
    memory = applet.memory
    match apdu.p2:
        case KeyRef.PIN:
            return _reference(memory.pin, FACTORY_PIN)
        case KeyRef.PUK:
            return _reference(memory.puk, FACTORY_PUK)
        case KeyRef.MANAGEMENT:
            return _management(applet, memory.management)
        case slot if slot in applet.profile.slots and slot in memory.keys:
            return _key(memory.keys[Slot(slot)])
        case _:
            raise Refused(SW.REFERENCE_NOT_FOUND)


def attest(applet: Applet, apdu: Apdu) -> bytes:
    """Certify that a slot's key was made on this card."""
    slot = usable_slot(applet, apdu.p1)
    if apdu.p2 or apdu.data or slot is Slot.ATTESTATION:
        raise Refused(SW.INCORRECT_PARAMETERS)
    memory, profile = applet.memory, applet.profile
    key, by = memory.keys.get(slot), memory.keys.get(Slot.ATTESTATION)
    if key is None or by is None:
        raise Refused(SW.REFERENCE_NOT_FOUND)
    if key.origin is not Origin.GENERATED or profile.version is None or not by.algorithm.can_sign:
        raise Refused(SW.INCORRECT_DATA)
    return attestation(
        key,
        slot,
        by=by,
        issuer=_attestation_subject(applet),
        version=profile.version,
        serial=memory.serial,
        form_factor=profile.form_factor,
        number=applet.random(16),
    )


def _attestation_subject(applet: Applet) -> x509.Name:
    """Return whom the certificate of the attestation key names."""
    container = applet.memory.objects.get(ObjectId.ATTESTATION_CERTIFICATE)
    try:
        return x509.load_der_x509_certificate(fields(container or b"")[0x70]).subject
    except (KeyError, ValueError) as wrong:
        raise Refused(SW.REFERENCE_NOT_FOUND) from wrong


def _reference(reference: Reference, factory: bytes) -> bytes:
    """Describe PIN or PUK."""
    default = reference.value == Secret(factory.ljust(8, b"\xff"))
    return (
        put(0x01, b"\xff")
        + put(0x05, bytes((default,)))
        + put(0x06, bytes((reference.tries, reference.left)))
    )


def _management(applet: Applet, key: ManagementKey) -> bytes:
    """Describe the management key."""
    default = key.value == Secret(applet.profile.factory_key[: key.algorithm.key_length])
    touch = TouchPolicyId.ALWAYS if key.touch else TouchPolicyId.NEVER
    return put(0x01, bytes((key.algorithm,))) + put(0x02, bytes((0, touch))) + put(0x05, bytes((default,)))


def _key(key: StoredKey) -> bytes:
    """Describe a slot's key."""
    return (
        put(0x01, bytes((key.algorithm,)))
        + put(0x02, bytes((key.pin, key.touch)))
        + put(0x03, bytes((key.origin,)))
        + put(0x04, public_template(key.private))
    )


def _no_parameters(apdu: Apdu) -> None:
    """Refuse whatever the command does not have.

    Raises:
        Refused: 6A86.
    """
    if apdu.p1 or apdu.p2 or apdu.data:
        raise Refused(SW.INCORRECT_PARAMETERS)
