"""Yubico's additions to PIV that ask or reset: version, serial number, metadata, reset.

Cards of other makers have some of them; what a card knows is found out by asking (`inspect`).

Source: Yubico's published PIV extensions (yubikey-manager and YubiKey SDK documentation).
"""

from dataclasses import dataclass
from typing import Self

from shared import errors
from shared.iso7816.apdu import ANY_STATUS, ONLY_OK, Command
from shared.iso7816.conversation import Conversation, send
from shared.iso7816.status import SW, error_for
from shared.iso7816.tlv import Tlv, parse
from shared.piv.ids import (
    Algorithm,
    Ins,
    KeyRef,
    ManagementAlgorithm,
    Origin,
    PinPolicyId,
    Slot,
    TouchPolicyId,
)
from shared.piv.publickey import PublicKey, read_public_key

_ALGORITHM, _POLICY, _ORIGIN, _PUBLIC_KEY, _DEFAULT, _RETRIES = range(1, 7)


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """The firmware version that the applet reports."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        """Return it as people write it."""
        return f"{self.major}.{self.minor}.{self.patch}"

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Read the answer to GET VERSION.

        Raises:
            CardMalformed: not three bytes.
        """
        if len(raw) != 3:
            raise errors.CardMalformed(what="version", why=f"{len(raw)} bytes instead of 3")
        return cls(*raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotMetadata:
    """What the card says of the key in a slot. `algorithm` and `public_key` are None for kinds unknown here."""

    algorithm: Algorithm | None
    pin_policy: PinPolicyId
    touch_policy: TouchPolicyId
    origin: Origin
    public_key: PublicKey | None

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Read the answer to GET METADATA for a slot; raises `CardMalformed`."""
        fields = _fields(raw)
        code = _one(fields, _ALGORITHM)
        algorithm = Algorithm(code) if code in set(Algorithm) else None
        policies = fields.get(_POLICY, b"")
        if len(policies) != 2:
            raise errors.CardMalformed(what="metadata", why="no policies")
        try:
            pin_policy, touch_policy = PinPolicyId(policies[0]), TouchPolicyId(policies[1])
            origin = Origin(_one(fields, _ORIGIN))
        except ValueError as unknown:
            raise errors.CardMalformed(what="metadata", why=str(unknown)) from unknown
        return cls(
            algorithm=algorithm,
            pin_policy=pin_policy,
            touch_policy=touch_policy,
            origin=origin,
            public_key=(
                read_public_key(algorithm, fields[_PUBLIC_KEY])
                if algorithm and _PUBLIC_KEY in fields
                else None
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceMetadata:
    """What the card says of PIN or PUK."""

    default: bool
    tries_total: int
    tries_left: int

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Read the answer to GET METADATA for key reference 80 or 81; raises `CardMalformed`."""
        fields = _fields(raw)
        tries = fields.get(_RETRIES, b"")
        if len(tries) != 2:
            raise errors.CardMalformed(what="metadata", why="no tries")
        return cls(default=bool(_one(fields, _DEFAULT)), tries_total=tries[0], tries_left=tries[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagementMetadata:
    """What the card says of the management key."""

    algorithm: ManagementAlgorithm
    default: bool
    touch: TouchPolicyId

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Read the answer to GET METADATA for key reference 9B; raises `CardMalformed`."""
        fields = _fields(raw)
        policies = fields.get(_POLICY, bytes(2))
        try:
            return cls(
                # firmware that knows no other kind leaves the algorithm out
                algorithm=(
                    ManagementAlgorithm(_one(fields, _ALGORITHM))
                    if _ALGORITHM in fields
                    else ManagementAlgorithm.TDES
                ),
                default=bool(_one(fields, _DEFAULT)),
                touch=TouchPolicyId(policies[1] if len(policies) == 2 else 0),
            )
        except ValueError as unknown:
            raise errors.CardMalformed(what="metadata", why=str(unknown)) from unknown


def version_command(*, expect: frozenset[int] | None = ONLY_OK) -> Command:
    """Return GET VERSION."""
    return Command(ins=Ins.GET_VERSION, le=0, expect=expect, label="GET VERSION")


def serial_command(*, expect: frozenset[int] | None = ONLY_OK) -> Command:
    """Return GET SERIAL."""
    return Command(ins=Ins.GET_SERIAL, le=0, expect=expect, label="GET SERIAL")


def metadata_command(reference: Slot | KeyRef, *, expect: frozenset[int] | None = ONLY_OK) -> Command:
    """Return GET METADATA for a slot, the PIN, the PUK or the management key."""
    return Command(
        ins=Ins.GET_METADATA, p2=reference, le=0, expect=expect, label=f"GET METADATA {reference:02X}"
    )


def read_version() -> Conversation[Version]:
    """Ask for the firmware version; `NotSupportedByCard` where there is no such command."""
    response = yield from send(version_command())
    return Version.from_bytes(response.data)


def read_serial() -> Conversation[int]:
    """Ask for the serial number, a look-up hint that proves nothing.

    Raises:
        NotSupportedByCard: there is no such command.
        CardMalformed: not four bytes.
    """
    response = yield from send(serial_command())
    return serial_of(response.data)


def serial_of(raw: bytes) -> int:
    """Read the answer to GET SERIAL: four bytes, big-endian; raises `CardMalformed`."""
    if len(raw) != 4:
        raise errors.CardMalformed(what="serial number", why=f"{len(raw)} bytes instead of 4")
    return int.from_bytes(raw, "big")


def slot_metadata(slot: Slot) -> Conversation[SlotMetadata | None]:
    """Ask what is in a slot; None where it is empty.

    Raises:
        NotSupportedByCard: the card has no metadata.
    """
    response = yield from send(metadata_command(slot, expect=ANY_STATUS))
    if response.sw in {SW.REFERENCE_NOT_FOUND, SW.FILE_NOT_FOUND}:
        return None
    if not response.ok:
        raise error_for(response.sw, f"GET METADATA {slot.text}")
    return SlotMetadata.from_bytes(response.data)


def pin_metadata() -> Conversation[ReferenceMetadata]:
    """Ask about the PIN: whether it is the factory's, and its tries."""
    response = yield from send(metadata_command(KeyRef.PIN))
    return ReferenceMetadata.from_bytes(response.data)


def puk_metadata() -> Conversation[ReferenceMetadata]:
    """Ask about the PUK: whether it is the factory's, and its tries."""
    response = yield from send(metadata_command(KeyRef.PUK))
    return ReferenceMetadata.from_bytes(response.data)


def management_metadata() -> Conversation[ManagementMetadata]:
    """Ask about the management key: its algorithm, and whether it is the factory's."""
    response = yield from send(metadata_command(KeyRef.MANAGEMENT))
    return ManagementMetadata.from_bytes(response.data)


def reset() -> Conversation[None]:
    """Bring the applet back to its factory state: keys, certificates and objects are gone.

    The card allows it only while PIN and PUK are both blocked, and to anybody.

    Raises:
        UnexpectedStatus: one of the two still has tries (`sw` 6985).
    """
    yield from send(Command(ins=Ins.RESET, label="RESET"))


def _fields(raw: bytes) -> dict[int, bytes]:
    """Return the elements of a metadata answer by tag; tags that newer firmware adds are kept and not used."""
    elements: tuple[Tlv, ...] = parse(raw, "metadata")
    fields = {element.tag: element.value for element in elements}
    if len(fields) != len(elements):
        raise errors.CardMalformed(what="metadata", why="a tag twice")
    return fields


def _one(fields: dict[int, bytes], tag: int) -> int:
    value = fields.get(tag, b"")
    if len(value) != 1:
        raise errors.CardMalformed(what="metadata", why=f"tag {tag:02X} is not one byte")
    return value[0]
