"""How a virtual card comes from the factory, and what RESET brings it back to.

Sources: [SP 800-73-5] part 1, sections 3.1.1 (CCC) and 3.1.2 (CHUID); Yubico's published factory values.
"""

from typing import Final

from shared import errors
from shared.piv.ids import FACTORY_PIN, FACTORY_PUK, Ins, ObjectId, Origin, PinPolicyId, Slot
from shared.secret import Secret
from shared.virtual.applet import KeySource, RandomSource
from shared.virtual.keys import generate_key
from shared.virtual.lab import ATTESTATION_ALGORITHM, device_certificate
from shared.virtual.memory import ManagementKey, Memory, Reference, StoredKey
from shared.virtual.profiles import VirtualProfile
from shared.virtual.tlv import put

_LARGEST_SERIAL: Final = 0xFFFF_FFFF


def blank(
    profile: VirtualProfile, *, serial: int, random: RandomSource, before: Memory | None = None
) -> Memory:
    """Return the application's factory state.

    The key and certificate for attestation, which no reset touches, are taken over from `before`.

    Raises:
        Invalid: `serial` has more than four bytes.
    """
    if not 0 < serial <= _LARGEST_SERIAL:
        raise errors.Invalid(field="serial", why="not a number of four bytes")
    keys: dict[Slot, StoredKey] = {}
    objects: dict[int, bytes] = {}
    if before is not None:
        keys = {slot: key for slot, key in before.keys.items() if slot is Slot.ATTESTATION}
        objects = {
            tag: value for tag, value in before.objects.items() if tag == ObjectId.ATTESTATION_CERTIFICATE
        }
    if profile.factory_objects:
        objects |= {int(ObjectId.CHUID): _chuid(random(16)), int(ObjectId.CCC): _ccc(random(14))}
    return Memory(
        profile=profile.name,
        serial=serial,
        pin=_reference(FACTORY_PIN, profile.pin_tries),
        puk=_reference(FACTORY_PUK, profile.puk_tries),
        management=ManagementKey(
            algorithm=profile.factory_management,
            value=Secret(profile.factory_key[: profile.factory_management.key_length]),
        ),
        keys=keys,
        objects=objects,
    )


def manufacture(
    profile: VirtualProfile, *, serial: int, random: RandomSource, key_source: KeySource = generate_key
) -> Memory:
    """Return a new card's memory; cards that attest get a key of their own, certified by the lab root."""
    memory = blank(profile, serial=serial, random=random)
    if Ins.ATTEST not in profile.instructions or profile.version is None:
        return memory
    private = key_source(ATTESTATION_ALGORITHM)
    key = StoredKey(
        algorithm=ATTESTATION_ALGORITHM, private=private, origin=Origin.GENERATED, pin=PinPolicyId.NEVER
    )
    certificate = device_certificate(private.public_key(), version=profile.version, serial=random(16))
    container = put(0x70, certificate) + put(0x71, b"\0") + put(0xFE, b"")
    return memory.with_key(Slot.ATTESTATION, key).with_object(ObjectId.ATTESTATION_CERTIFICATE, container)


def _reference(value: bytes, tries: int) -> Reference:
    """Return a PIN or PUK with all its tries."""
    return Reference(value=Secret(value.ljust(8, b"\xff")), tries=tries, left=tries)


def _chuid(guid: bytes) -> bytes:
    """Return an unsigned CHUID with the FASC-N of a non-federal issuer."""
    fasc_n = bytes.fromhex("D4E739DA739CED39CE739D836858210842108421C84210C3EB")
    return put(0x30, fasc_n) + put(0x34, guid) + put(0x35, b"20500101") + put(0x3E, b"") + put(0xFE, b"")


def _ccc(number: bytes) -> bytes:
    """Return a capability container whose card identifier is random."""
    empty = b"".join(put(tag, b"") for tag in (0xF6, 0xF7, 0xFA, 0xFB, 0xFC, 0xFD, 0xFE))
    return (
        put(0xF0, b"\xa0\x00\x00\x01\x16\xff\x02" + number)
        + put(0xF1, b"\x21")
        + put(0xF2, b"\x21")
        + put(0xF3, b"")
        + put(0xF4, b"\x00")
        + put(0xF5, b"\x10")
        + empty
    )
