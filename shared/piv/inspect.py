"""Read everything about a card that it tells without a PIN, in one batch; a second one asks cards of unknown make.

A card that does not know a question answers with an error status: that is an answer. What a card answers wrongly is
noted and left out; it never makes the inspection fail.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, ParamSpec, TypeVar

from shared import errors
from shared.iso7816.apdu import ANY_STATUS, Item, Response
from shared.iso7816.conversation import Conversation, check
from shared.piv.ccc import Ccc
from shared.piv.certificate import CertificateContainer
from shared.piv.chuid import Chuid
from shared.piv.data import content_of, get_data, object_name
from shared.piv.discovery import Discovery
from shared.piv.ids import PRIMARY_SLOTS, KeyRef, ManagementAlgorithm, ObjectId, ProfileName, Slot
from shared.piv.key_history import KeyHistory
from shared.piv.pin import pin_tries_command, read_pin_tries
from shared.piv.probing import probe
from shared.piv.profiles import Answers, Profile, profile_of
from shared.piv.select import Selected, read_selected, select_command
from shared.piv.vendor import (
    ManagementMetadata,
    ReferenceMetadata,
    SlotMetadata,
    Version,
    metadata_command,
    serial_command,
    serial_of,
    version_command,
)

P = ParamSpec("P")
T = TypeVar("T")

REFERENCES: Final = (KeyRef.MANAGEMENT, KeyRef.PIN, KeyRef.PUK, *PRIMARY_SLOTS)
"""What metadata is asked of."""

OBJECTS: Final = (
    ObjectId.CHUID,
    ObjectId.CCC,
    ObjectId.DISCOVERY,
    ObjectId.KEY_HISTORY,
    ObjectId.SECURITY,
    ObjectId.ATTESTATION_CERTIFICATE,
    *(slot.certificate_object for slot in PRIMARY_SLOTS),
)
"""The objects that are read; all are readable without a PIN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotFacts:
    """What is known of a slot. `metadata` is None where it is empty or the card has none; `certificate` is DER."""

    metadata: SlotMetadata | None = None
    certificate: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceFacts:
    """What is known of PIN or PUK; None is *the card does not say*."""

    tries_left: int | None = None
    tries_total: int | None = None
    default: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagementFacts:
    """What is known of the management key; None is *the card does not say*."""

    algorithm: ManagementAlgorithm | None = None
    default: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """A card as it was seen once.

    `objects` has the content of every object that was read, byte for byte; the parsed values beside it are None where the
    object is missing or malformed, and `notes` says what was malformed. Serial and GUID are hints, never proof.
    """

    profile: Profile
    answers: Answers
    selected: Selected
    version: Version | None = None
    serial: int | None = None
    objects: Mapping[ObjectId, bytes] = field(default_factory=dict)
    chuid: Chuid | None = None
    ccc: Ccc | None = None
    discovery: Discovery | None = None
    key_history: KeyHistory | None = None
    slots: Mapping[Slot, SlotFacts] = field(default_factory=dict)
    management: ManagementFacts = field(default_factory=ManagementFacts)
    pin: ReferenceFacts = field(default_factory=ReferenceFacts)
    puk: ReferenceFacts = field(default_factory=ReferenceFacts)
    notes: tuple[str, ...] = ()

    @property
    def chuid_raw(self) -> bytes | None:
        """The CHUID's content as it is on the card: what `fresh` compares."""
        return self.objects.get(ObjectId.CHUID)

    @property
    def security_object(self) -> bytes | None:
        """The Security Object's content as it is on the card."""
        return self.objects.get(ObjectId.SECURITY)

    @property
    def attestation(self) -> bool:
        """Whether the card can attest keys that it made."""
        return self.profile.features.attestation

    @property
    def attestation_certificate(self) -> bytes | None:
        """The DER certificate of the attestation key, which is the link between attestations and the vendor's root."""
        facts = self.slots.get(Slot.ATTESTATION)
        return facts.certificate if facts else None


def inspect() -> Conversation[CardFacts]:
    """Select PIV and read everything, in one batch.

    A card that turns out not to be of a known make is then asked what else it knows, in a second batch.

    Raises:
        NotPivCard: there is no PIV application.
        CardMalformed: it answers SELECT with something else than its property template.
    """
    commands: list[Item] = [
        select_command(),
        version_command(expect=ANY_STATUS),
        serial_command(expect=ANY_STATUS),
        pin_tries_command(),
        *(metadata_command(reference, expect=ANY_STATUS) for reference in REFERENCES),
        *(get_data(object_id, expect=ANY_STATUS) for object_id in OBJECTS),
    ]
    responses = yield commands
    selected = read_selected(responses[0])
    check(commands, responses)
    _, version, serial, tries, *rest = responses
    answers = _Answers(
        version=version,
        serial=serial,
        tries=tries,
        metadata=dict(zip(REFERENCES, rest, strict=False)),
        objects=dict(zip(OBJECTS, rest[len(REFERENCES) :], strict=True)),
    )
    facts = _Findings(answers).facts(selected)
    if facts.profile.name not in {ProfileName.PLAIN, ProfileName.UNKNOWN}:
        return facts
    probed = yield from probe()
    said = replace(
        facts.answers, management=facts.answers.management or probed.management, commands=probed.commands
    )
    return replace(
        facts,
        answers=said,
        profile=profile_of(said),
        management=replace(facts.management, algorithm=said.management),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answers:
    """The responses to the probes, by question."""

    version: Response
    serial: Response
    tries: Response
    metadata: Mapping[Slot | KeyRef, Response]
    objects: Mapping[ObjectId, Response]


class _Findings:
    """Make facts of answers, and notes of what cannot be read."""

    def __init__(self, answers: _Answers) -> None:
        """Take the answers; `facts` reads them."""
        self._answers = answers
        self._notes: list[str] = []

    def facts(self, selected: Selected) -> CardFacts:
        """Read all answers."""
        answers = self._answers
        contents = {
            object_id: self._read(object_name(object_id), content_of, object_id, response)
            for object_id, response in answers.objects.items()
            # only a YubiKey knows its object: what others say of it is not worth a note
            if response.ok or object_id is not ObjectId.ATTESTATION_CERTIFICATE
        }
        objects = {object_id: content for object_id, content in contents.items() if content is not None}
        slots = {
            slot: SlotFacts(metadata=self._slot_metadata(slot), certificate=self._certificate(slot, objects))
            for slot in (*PRIMARY_SLOTS, Slot.ATTESTATION)
        }
        version = self._asked("version", answers.version, Version.from_bytes)
        serial = self._asked("serial number", answers.serial, serial_of)
        management = self._reference(KeyRef.MANAGEMENT, ManagementMetadata.from_bytes)
        said = Answers(
            version=version,
            serial=serial is not None,
            metadata=management is not None,
            attestation=slots[Slot.ATTESTATION].certificate is not None,
            algorithms=selected.algorithms,
            management=management.algorithm if management else None,
        )
        profile = profile_of(said)
        return CardFacts(
            profile=profile,
            answers=said,
            selected=selected,
            version=version,
            serial=serial,
            objects=MappingProxyType(objects),
            chuid=self._parsed(objects, ObjectId.CHUID, Chuid.from_bytes),
            ccc=self._parsed(objects, ObjectId.CCC, Ccc.from_bytes),
            discovery=self._parsed(objects, ObjectId.DISCOVERY, Discovery.from_bytes),
            key_history=self._parsed(objects, ObjectId.KEY_HISTORY, KeyHistory.from_bytes),
            slots=MappingProxyType(slots),
            management=ManagementFacts(
                algorithm=management.algorithm if management else _only_one(profile),
                default=management.default if management else None,
            ),
            pin=self._pin(),
            puk=_reference_facts(self._reference(KeyRef.PUK, ReferenceMetadata.from_bytes)),
            notes=tuple(self._notes),
        )

    def _read(self, what: str, parse: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Apply a parser; what it cannot read becomes a note."""
        try:
            return parse(*args, **kwargs)
        except errors.CardError as error:
            self._notes.append(f"{what}: {error}")
            return None

    def _asked(self, what: str, response: Response, parse: Callable[[bytes], T]) -> T | None:
        """Read the answer to a question that not every card knows."""
        return self._read(what, parse, response.data) if response.ok else None

    def _reference(self, reference: KeyRef, parse: Callable[[bytes], T]) -> T | None:
        return self._asked(f"metadata of {reference:02X}", self._answers.metadata[reference], parse)

    def _slot_metadata(self, slot: Slot) -> SlotMetadata | None:
        response = self._answers.metadata.get(slot)
        if response is None:
            return None
        return self._asked(f"metadata of {slot.text}", response, SlotMetadata.from_bytes)

    def _certificate(self, slot: Slot, objects: Mapping[ObjectId, bytes]) -> bytes | None:
        container = self._parsed(objects, slot.certificate_object, CertificateContainer.from_bytes)
        return container.certificate if container else None

    def _parsed(
        self, objects: Mapping[ObjectId, bytes], object_id: ObjectId, parse: Callable[[bytes], T]
    ) -> T | None:
        content = objects.get(object_id)
        return None if content is None else self._read(object_name(object_id), parse, content)

    def _pin(self) -> ReferenceFacts:
        facts = _reference_facts(self._reference(KeyRef.PIN, ReferenceMetadata.from_bytes))
        if facts.tries_left is not None:
            return facts
        return replace(facts, tries_left=self._read("PIN tries", read_pin_tries, self._answers.tries))


def _only_one(profile: Profile) -> ManagementAlgorithm | None:
    """Return the management key's algorithm where the product has just one."""
    return next(iter(profile.management)) if len(profile.management) == 1 else None


def _reference_facts(metadata: ReferenceMetadata | None) -> ReferenceFacts:
    if metadata is None:
        return ReferenceFacts()
    return ReferenceFacts(
        tries_left=metadata.tries_left, tries_total=metadata.tries_total, default=metadata.default
    )
