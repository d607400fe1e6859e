import os

import pytest

from shared import errors
from shared.iso7816.apdu import ColdReset, Response
from shared.iso7816.conversation import Conversation, drive, nothing
from shared.iso7816.tlv import encode
from shared.piv.data import (
    delete_object,
    get_data,
    read_object,
    read_optional,
    still_there,
    write_object,
)
from shared.piv.ids import Algorithm, ManagementAlgorithm, ObjectId, ProfileName
from shared.piv.management import authenticated_singly, factory_key
from shared.piv.select import fresh, select
from tests.shared.piv.terminal import Script, Terminal, said

YUBIKEY = "61114F0600001000010079074F05A000000308"
CHUID = b"content of a CHUID"


def test_the_property_template_is_read() -> None:
    script = Script(said(YUBIKEY))
    selected = drive(select(), script)
    assert selected.identifier.hex() == "000010000100"
    assert (selected.label, selected.algorithms) == ("", frozenset())
    assert script.commands[0].plain.hex() == "a000000308"


def test_a_full_template_names_label_and_algorithms() -> None:
    selected = Terminal(ProfileName.PLAIN).drive(select())
    assert selected.label == "PIV"
    assert Algorithm.P256 in selected.algorithms
    assert Algorithm.ED25519 not in selected.algorithms


def test_a_card_without_the_application_is_not_a_piv_card() -> None:
    with pytest.raises(errors.NotPivCard) as caught:
        drive(select(), Script(0x6A82))
    assert caught.value.facts == {"sw": "6A82"}
    with pytest.raises(errors.NotPivCard):
        drive(fresh(read_object(ObjectId.CHUID)), Script(0x6A82))


def test_a_card_that_says_nothing_of_itself_is_selected() -> None:
    assert drive(select(), Script(0x9000)).identifier == b""


@pytest.mark.parametrize("data", ["6F00", "61034F0100FF", "6100", YUBIKEY + "61"])
def test_another_template_is_malformed(data: str) -> None:
    with pytest.raises(errors.CardMalformed):
        drive(select(), Script(said(data)))


def test_a_fresh_start_travels_with_what_follows() -> None:
    script = Script(
        said(YUBIKEY), Response(encode(0x53, CHUID), 0x9000), Response(encode(0x53, b"ccc"), 0x9000)
    )
    talk = fresh(read_object(ObjectId.CCC), chuid=CHUID)
    batch = next(talk)
    assert isinstance(batch[0], ColdReset)
    assert len(batch) == 4
    talk.close()
    assert drive(fresh(read_object(ObjectId.CCC), chuid=CHUID), script) == b"ccc"


def test_nothing_is_sent_to_another_card() -> None:
    for chuid in (Response(encode(0x53, b"another"), 0x9000), Response(b"", 0x6A82)):
        script = Script(said(YUBIKEY), chuid)
        with pytest.raises(errors.CardChanged):
            drive(fresh(write_object(ObjectId.CCC, b"x"), chuid=CHUID), script)
        assert [command.label for command in script.commands] == ["SELECT PIV", "GET DATA CHUID"]


def test_an_error_in_what_follows_is_its_own() -> None:
    script = Script(said(YUBIKEY), 0x6A82)
    with pytest.raises(errors.ObjectMissing):
        drive(fresh(read_object(ObjectId.CCC)), script)


def test_a_batch_that_ends_within_the_prefix_is_garbled() -> None:
    talk = fresh(read_object(ObjectId.CCC))
    next(talk)
    with pytest.raises(errors.Garbled):
        talk.send([Response(b"", 0x9000), said(YUBIKEY)])


def test_a_fresh_start_may_stand_alone() -> None:
    script = Script(said(YUBIKEY))
    drive(fresh(nothing()), script)
    assert len(script.sent) == 2


def test_what_follows_hears_of_a_lost_card() -> None:
    told: list[str] = []

    def talk() -> Conversation[None]:
        yield [get_data(ObjectId.CCC)]
        try:
            yield [get_data(ObjectId.CHUID)]
        except errors.CardLost:
            told.append("lost")
            raise

    def lost(_: object) -> Response:
        raise errors.CardLost

    script = Script(said(YUBIKEY), Response(encode(0x53, b"ccc"), 0x9000), lost)
    with pytest.raises(errors.CardLost):
        drive(fresh(talk()), script)
    assert told == ["lost"]


@pytest.mark.parametrize(
    ("object_id", "request_", "tag"),
    [
        (ObjectId.CHUID, "5c035fc102", 0x53),
        (ObjectId.DISCOVERY, "5c017e", 0x7E),
        (ObjectId.BIOMETRIC_GROUP_TEMPLATE, "5c027f61", 0x7F61),
        (ObjectId.ATTESTATION_CERTIFICATE, "5c035fff01", 0x53),
    ],
)
def test_objects_are_asked_for_by_tag(object_id: ObjectId, request_: str, tag: int) -> None:
    script = Script(Response(encode(tag, b"content"), 0x9000))
    assert drive(read_object(object_id), script) == b"content"
    (command,) = script.commands
    assert (command.ins, command.p1, command.p2, command.plain.hex()) == (0xCB, 0x3F, 0xFF, request_)


def test_the_discovery_object_is_written_without_a_tag_list() -> None:
    script = Script(0x9000, 0x9000)
    drive(write_object(ObjectId.DISCOVERY, b"\x4f\x00"), script)
    drive(write_object(ObjectId.CHUID, b"\x30\x00"), script)
    assert [command.plain.hex() for command in script.commands] == ["7e024f00", "5c035fc10253023000"]


def test_a_missing_object_is_none_or_an_error() -> None:
    assert drive(read_optional(ObjectId.CHUID), Script(0x6A82)) is None
    assert drive(read_optional(ObjectId.CHUID), Script(said("5300"))) is None
    with pytest.raises(errors.ObjectMissing):
        drive(read_object(ObjectId.CHUID), Script(0x6A82))
    with pytest.raises(errors.NotAuthorised):
        drive(read_optional(ObjectId.PRINTED_INFORMATION), Script(0x6982))
    with pytest.raises(errors.CardMalformed):
        drive(read_object(ObjectId.CHUID), Script(said("54020000")))


@pytest.mark.parametrize("size", [0, 1, 200, 300, 3000])
def test_objects_of_every_size_come_back(size: int) -> None:
    terminal = Terminal()
    content = os.urandom(size)
    key = factory_key(ManagementAlgorithm.AES192)
    terminal.drive(fresh(authenticated_singly(key, write_object(ObjectId.CHUID, content))))
    assert terminal.drive(read_optional(ObjectId.CHUID)) == (content or None)
    if size:
        assert terminal.drive(fresh(read_object(ObjectId.CHUID), chuid=content)) == content
    terminal.drive(fresh(authenticated_singly(key, delete_object(ObjectId.CHUID))))
    assert terminal.drive(read_optional(ObjectId.CHUID)) is None


def test_writing_needs_the_management_key_and_room() -> None:
    terminal = Terminal()
    with pytest.raises(errors.NotAuthorised):
        terminal.drive(fresh(write_object(ObjectId.CHUID, b"x")))
    with pytest.raises(errors.CardFull):
        drive(write_object(ObjectId.CHUID, bytes(3000)), Script(0x6A84))


def test_a_card_may_refuse_to_delete_what_it_has_not() -> None:
    with pytest.raises(errors.CardError):
        drive(delete_object(ObjectId.IRIS), Script(0x6A82))
    drive(delete_object(ObjectId.IRIS, missing_ok=True), Script(0x6A82))


@pytest.mark.parametrize(
    ("answer", "there"), [(said("53026162"), True), (said("5300"), False), (0x6A82, False), (0x6982, False)]
)
def test_what_is_still_there_can_be_read(answer: int | Response, there: bool) -> None:  # noqa: FBT001  # a parameter
    assert drive(still_there(ObjectId.IRIS), Script(answer)) is there
