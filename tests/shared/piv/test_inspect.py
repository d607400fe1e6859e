import os
import uuid
from collections.abc import Callable
from datetime import date

import pytest

from shared import errors
from shared.iso7816.apdu import Command, Hole, Response
from shared.iso7816.conversation import drive
from shared.iso7816.tlv import encode
from shared.piv.certificate import CertificateContainer
from shared.piv.chuid import Chuid
from shared.piv.data import write_object
from shared.piv.fascn import FascN
from shared.piv.ids import (
    PRIMARY_SLOTS,
    Algorithm,
    Ins,
    ManagementAlgorithm,
    ObjectId,
    Origin,
    PinPolicyId,
    ProfileName,
    Slot,
    TouchPolicyId,
)
from shared.piv.inspect import CardFacts, ReferenceFacts, inspect
from shared.piv.keys import generate_key
from shared.piv.management import authenticated_singly, factory_key
from shared.piv.pin import change_puk, reset_pin, verify_pin
from shared.piv.select import fresh
from shared.piv.vendor import (
    ManagementMetadata,
    SlotMetadata,
    Version,
    management_metadata,
    pin_metadata,
    puk_metadata,
    read_serial,
    read_version,
    reset,
    slot_metadata,
)
from tests.shared.piv.terminal import Script, Terminal

YUBIKEYS = [name for name in ProfileName if name.startswith("yubikey")]
CHUID = Chuid(fasc_n=FascN(), guid=uuid.UUID(int=7), expires=date(2035, 1, 1))


def inspected(terminal: Terminal) -> CardFacts:
    return terminal.drive(inspect())


def write(terminal: Terminal, object_id: ObjectId, content: bytes) -> None:
    key = factory_key(terminal.card.profile.factory_management)
    terminal.drive(fresh(authenticated_singly(key, write_object(object_id, content))))


@pytest.mark.parametrize("name", list(ProfileName))
def test_a_new_card_is_recognised_by_its_answers(name: ProfileName) -> None:
    terminal = Terminal(name)
    facts = inspected(terminal)
    assert facts.profile.name is name
    assert facts.notes == ()
    assert facts.pin.tries_left == terminal.card.memory.pin.left
    assert facts.management.algorithm is terminal.card.profile.factory_management
    assert facts.profile.features.set_management_key == (name is not ProfileName.PLAIN)
    assert all(facts.slots[slot].certificate is None for slot in PRIMARY_SLOTS)
    assert len(terminal.batches) == (1 if name in YUBIKEYS else 2)


def test_asking_changes_nothing() -> None:
    for name in ProfileName:
        terminal = Terminal(name)
        before = terminal.card.memory
        inspected(terminal)
        assert terminal.card.memory == before


def test_a_card_with_everything_is_read_in_one_batch() -> None:
    terminal = Terminal(ProfileName.YUBIKEY_5_7)
    key = factory_key(ManagementAlgorithm.AES192)
    public = terminal.drive(
        fresh(
            authenticated_singly(key, generate_key(Slot.AUTHENTICATION, Algorithm.P256, PinPolicyId.ALWAYS))
        )
    )
    certificate = os.urandom(900)
    write(terminal, ObjectId.CHUID, bytes(CHUID))
    write(terminal, ObjectId.AUTHENTICATION_CERTIFICATE, bytes(CertificateContainer(certificate=certificate)))
    write(terminal, ObjectId.SECURITY, b"\xba\x00")
    terminal.drive(change_puk(b"12345678", b"87654321"))
    terminal.batches.clear()
    facts = inspected(terminal)
    assert terminal.batches == [len(terminal.labels) - terminal.labels.index("GET VERSION") + 1]
    assert facts.serial == 20_114_501
    assert facts.version == Version(5, 7, 1)
    assert facts.chuid == CHUID
    assert facts.chuid_raw == bytes(CHUID)
    assert facts.security_object == b"\xba\x00"
    assert facts.attestation
    assert facts.attestation_certificate
    slot = facts.slots[Slot.AUTHENTICATION]
    assert slot.certificate == certificate
    assert slot.metadata == SlotMetadata(
        algorithm=Algorithm.P256,
        pin_policy=PinPolicyId.ALWAYS,
        touch_policy=TouchPolicyId.NEVER,
        origin=Origin.GENERATED,
        public_key=public,
    )
    assert facts.pin == ReferenceFacts(tries_left=3, tries_total=3, default=True)
    assert facts.puk == ReferenceFacts(tries_left=3, tries_total=3, default=False)
    assert facts.management.default is True


def test_what_is_malformed_is_noted_and_kept() -> None:
    terminal = Terminal()
    write(terminal, ObjectId.CHUID, b"\x30\x00")
    write(terminal, ObjectId.CCC, b"garbage")
    write(terminal, ObjectId.SIGNATURE_CERTIFICATE, b"\x70\x01")
    facts = inspected(terminal)
    assert facts.chuid is None
    assert facts.chuid_raw == b"\x30\x00"
    assert facts.ccc is None
    assert facts.slots[Slot.SIGNATURE].certificate is None
    assert [note.split(":")[0] for note in facts.notes] == ["signature certificate", "CHUID", "CCC"]


def test_a_card_that_answers_nonsense_is_inspected_all_the_same() -> None:
    def nonsense(command: Command) -> Response:
        return Response(bytes.fromhex("61074F05A000000308") if command.ins == Ins.SELECT else b"\xff", 0x9000)

    facts = drive(inspect(), Script(*[nonsense] * 60))
    assert facts.profile.name is ProfileName.UNKNOWN
    assert len(facts.notes) > 10
    assert not facts.objects


def test_a_card_that_knows_nothing_is_plain() -> None:
    def only_select(command: Command) -> Response:
        return (
            Response(bytes.fromhex("61074F05A000000308"), 0x9000)
            if command.ins == Ins.SELECT
            else Response(b"", 0x6D00)
        )

    facts = drive(inspect(), Script(*[only_select] * 60))
    assert facts.profile.name is ProfileName.PLAIN
    assert facts.management.algorithm is None
    assert facts.pin.tries_left is None


def test_a_card_that_is_not_piv_is_said_to_be_so() -> None:
    with pytest.raises(errors.NotPivCard):
        drive(inspect(), Script(0x6A82))


class Liar:
    """Answers as a card does, but with another version."""

    def __init__(self, terminal: Terminal, version: bytes) -> None:
        self._terminal = terminal
        self._version = version

    def __call__(self, item: Command) -> Response:
        response = self._terminal(item)
        return Response(self._version, 0x9000) if item.ins == Ins.GET_VERSION else response


@pytest.mark.parametrize("version", ["050402", "040305", "060000", "010000", "000000", "FFFFFF"])
def test_a_version_alone_makes_no_yubikey(version: str) -> None:
    """The applet of unknown make has no metadata, no serial and no attestation, whatever version it reports."""
    facts = drive(inspect(), Liar(Terminal(ProfileName.UNKNOWN), bytes.fromhex(version)))  # type: ignore[arg-type]
    assert facts.profile.name is ProfileName.UNKNOWN
    assert facts.profile.features.set_management_key
    assert not facts.profile.features.import_key


def test_commands_of_the_vendor() -> None:
    terminal = Terminal(ProfileName.YUBIKEY_5_7)
    terminal.drive(fresh(verify_pin(Hole(name="pin"))))
    assert str(terminal.drive(read_version())) == "5.7.1"
    assert terminal.drive(read_serial()) == 20_114_501
    assert terminal.drive(slot_metadata(Slot.SIGNATURE)) is None
    assert terminal.drive(management_metadata()) == ManagementMetadata(
        algorithm=ManagementAlgorithm.AES192, default=True, touch=TouchPolicyId.NEVER
    )
    assert terminal.drive(pin_metadata()).default
    assert terminal.drive(puk_metadata()).tries_left == 3
    plain = Terminal(ProfileName.PLAIN)
    for talk in (read_version, read_serial, pin_metadata, management_metadata):
        with pytest.raises(errors.NotSupportedByCard):
            plain.drive(fresh(talk()))
    with pytest.raises(errors.NotSupportedByCard):
        plain.drive(slot_metadata(Slot.SIGNATURE))


def test_a_card_is_reset_only_while_pin_and_puk_are_blocked() -> None:
    terminal = Terminal(holes={"wrong": b"000000\xff\xff"})
    write(terminal, ObjectId.CHUID, bytes(CHUID))
    with pytest.raises(errors.UnexpectedStatus):
        terminal.drive(fresh(reset()))
    for _ in range(3):
        with pytest.raises((errors.PinRejected, errors.PinBlocked)):
            terminal.drive(verify_pin(Hole(name="wrong")))
        with pytest.raises((errors.PukRejected, errors.PukBlocked)):
            terminal.drive(reset_pin(b"00000000", Hole(name="pin")))
    terminal.drive(reset())
    facts = inspected(terminal)
    assert facts.chuid is None
    assert facts.pin.default


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "010111",
        "0101110202",
        "0101110202030103010105",
        "01011102020909030101",
        "0101110202030103010104020000",
        "010111010111",
        "0102111102020301030101",
    ],
)
def test_metadata_is_read_strictly(raw: str) -> None:
    with pytest.raises(errors.CardMalformed):
        SlotMetadata.from_bytes(bytes.fromhex(raw))


def test_a_key_of_a_kind_unknown_here_is_still_a_key() -> None:
    metadata = SlotMetadata.from_bytes(bytes.fromhex("01010602020301030101") + encode(4, b"modulus"))
    assert metadata.algorithm is None
    assert metadata.public_key is None
    assert metadata.origin is Origin.GENERATED


@pytest.mark.parametrize(
    ("talk", "raw"),
    [
        (read_version, "0504"),
        (read_serial, "01"),
        (pin_metadata, "050101"),
        (management_metadata, "010155050101"),
    ],
)
def test_other_answers_are_malformed(talk: Callable[[], object], raw: str) -> None:
    with pytest.raises(errors.CardMalformed):
        drive(talk(), Script(Response(bytes.fromhex(raw), 0x9000)))  # type: ignore[arg-type]


def test_a_management_key_without_algorithm_is_3des() -> None:
    metadata = ManagementMetadata.from_bytes(bytes.fromhex("02020001050101"))
    assert metadata.algorithm is ManagementAlgorithm.TDES
    assert metadata.default


def test_versions_have_an_order() -> None:
    assert Version(4, 2, 6) < Version(4, 3, 4) < Version(5, 0)
