"""What is told of a card: digests of what is there, whatever the card says."""

from hashlib import sha256
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.credential.sight import COVERED, Sight, SlotSight, sight_of
from shared.piv.ids import PRIMARY_SLOTS, Algorithm, ObjectId, ProfileName, Slot
from shared.piv.inspect import inspect
from shared.proto.convert_sight import decode_sight, encode_sight
from tests.scenario.cards import spki
from tests.shared.piv.terminal import Terminal

PROFILES: Final = (
    ProfileName.YUBIKEY_4,
    ProfileName.YUBIKEY_5_3,
    ProfileName.YUBIKEY_5_7,
    ProfileName.PLAIN,
    ProfileName.UNKNOWN,
)


def seen(terminal: Terminal) -> Sight:
    return sight_of(terminal.drive(inspect()))


@pytest.mark.parametrize("profile", PROFILES)
def test_a_new_card_has_empty_slots(profile: ProfileName) -> None:
    sight = seen(Terminal(profile))
    assert sight.slots == dict.fromkeys(PRIMARY_SLOTS, SlotSight())
    assert sight.unvouched == frozenset(), "without a Security Object nothing is vouched for, or amiss"
    assert sight.metadata is (profile in {ProfileName.YUBIKEY_5_3, ProfileName.YUBIKEY_5_7})
    assert decode_sight(encode_sight(sight)) == sight


def test_contents_travel_as_digests() -> None:
    terminal = Terminal()
    terminal.card._applet.memory = terminal.card.memory.with_object(ObjectId.CCC, b"content of the CCC")
    sight = seen(terminal)
    assert sight.objects[ObjectId.CCC] == sha256(b"content of the CCC").digest()
    assert b"content" not in encode_sight(sight).SerializeToString()


def test_keys_are_told_where_the_card_tells_of_them() -> None:
    terminal = Terminal()
    attested = terminal.card.memory.keys[Slot.ATTESTATION]
    terminal.card._applet.memory = terminal.card.memory.with_key(Slot.SIGNATURE, attested)
    key = seen(terminal).slots[Slot.SIGNATURE].key
    assert key is not None
    assert key.algorithm is attested.algorithm
    assert key.public_key == sha256(spki(attested.private.public_key())).digest()
    assert Algorithm(key.algorithm)


@given(
    st.dictionaries(st.sampled_from([*COVERED, ObjectId.SECURITY, ObjectId.DISCOVERY]), st.binary(min_size=1))
)
def test_whatever_lies_on_a_card_can_be_told(objects: dict[ObjectId, bytes]) -> None:
    terminal = Terminal()
    for object_id, content in objects.items():
        terminal.card._applet.memory = terminal.card.memory.with_object(object_id, content)
    sight = seen(terminal)
    assert decode_sight(encode_sight(sight)) == sight
    if ObjectId.SECURITY in objects:
        assert sight.unvouched == {each for each in COVERED if each in objects}, "it is no Security Object"
