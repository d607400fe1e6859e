"""Whatever a card answers, a conversation ends with a value or a named error."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from shared import errors
from shared.iso7816.apdu import Hole, Response
from shared.iso7816.conversation import Conversation, drive
from shared.iso7816.tlv import encode
from shared.piv.data import read_object, read_optional
from shared.piv.ids import Algorithm, ManagementAlgorithm, ObjectId, Slot
from shared.piv.inspect import inspect
from shared.piv.keys import agree, attest, decrypt, generate_key, sign, to_be_signed
from shared.piv.management import authenticated, authenticated_singly, factory_key, prove_management_key
from shared.piv.pin import change_pin, change_puk, pin_tries, reset_pin, verify_pin
from shared.piv.select import fresh, select
from shared.piv.vendor import pin_metadata, read_serial, read_version, slot_metadata

KEY = factory_key(ManagementAlgorithm.AES192)
PEER = ec.generate_private_key(ec.SECP256R1()).public_key()
PIN = Hole(name="pin")

TALKS: dict[str, Callable[[], Conversation[Any]]] = {
    "select": select,
    "inspect": inspect,
    "fresh": lambda: fresh(read_object(ObjectId.CHUID), chuid=b"chuid"),
    "read": lambda: read_optional(ObjectId.DISCOVERY),
    "verify": lambda: verify_pin(PIN),
    "tries": pin_tries,
    "change PIN": lambda: change_pin(PIN, PIN),
    "change PUK": lambda: change_puk(b"12345678", b"87654321"),
    "reset PIN": lambda: reset_pin(b"12345678", PIN),
    "prove": lambda: prove_management_key(KEY, os.urandom),
    "authenticate": lambda: authenticated(KEY, generate_key(Slot.SIGNATURE, Algorithm.P256), os.urandom),
    "authenticate singly": lambda: authenticated_singly(KEY, read_object(ObjectId.CCC)),
    "generate": lambda: generate_key(Slot.SIGNATURE, Algorithm.RSA_2048),
    "sign": lambda: sign(Slot.SIGNATURE, Algorithm.P256, to_be_signed(Algorithm.P256, b"text")),
    "decrypt": lambda: decrypt(Slot.KEY_MANAGEMENT, Algorithm.RSA_2048, bytes(256)),
    "agree": lambda: agree(Slot.KEY_MANAGEMENT, Algorithm.P256, PEER),
    "attest": lambda: attest(Slot.SIGNATURE),
    "version": read_version,
    "serial": read_serial,
    "slot metadata": lambda: slot_metadata(Slot.SIGNATURE),
    "PIN metadata": pin_metadata,
}

STATUSES = st.sampled_from(
    [0x9000] * 8 + [0x63C0, 0x63C2, 0x6300, 0x6982, 0x6983, 0x6A80, 0x6A82, 0x6A88, 0x6D00, 0x6F00]
)
TAGS = st.sampled_from([0x01, 0x04, 0x4F, 0x53, 0x61, 0x7C, 0x7E, 0x7F49, 0x80, 0x81, 0x82, 0x86])
LEAVES = st.binary(max_size=70) | st.builds(encode, TAGS, st.binary(max_size=70))
DATA = (
    LEAVES
    | st.builds(encode, TAGS, LEAVES)
    | st.builds(encode, TAGS, st.builds(encode, TAGS, st.binary(min_size=16, max_size=16)))
)


@pytest.mark.parametrize("name", TALKS)
@given(data=st.data())
def test_any_answer_leads_to_a_value_or_a_named_error(name: str, data: st.DataObject) -> None:
    def card(_: object) -> Response:
        return Response(data.draw(DATA), data.draw(STATUSES))

    try:
        drive(TALKS[name](), card)
    except errors.CardError as error:
        outcome = error.code
    else:
        outcome = "value"
    # a leaf of the tree has a code; its branches are never raised themselves
    assert outcome == "value" or outcome in errors.BY_CODE
