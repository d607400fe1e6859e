import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from kiosk.ports import Filled
from kiosk.station.filling import fill, plain, wipe
from kiosk.station.pins import HeldPins, PinKind
from shared import errors
from shared.iso7816.apdu import ColdReset, Digest, Hole, ToBeSigned
from shared.piv.digests import encode_text
from shared.relay import Purpose
from shared.secret import Secret
from tests.kiosk.station.commands import FACTORY_FIELD, READ_CHUID, change, held, verify_plain


def test_a_value_is_wiped_after_its_announced_uses() -> None:
    secret = Secret(b"739184")
    pins = held()
    pins.keep("pin", secret, kind=PinKind.NEW, purpose=Purpose.ISSUE, uses=2)
    assert pins.fill("pin") == b"739184\xff\xff"
    pins.spend("pin")
    assert not secret.wiped
    pins.spend("pin")
    assert secret.wiped
    assert pins.find("pin") is None
    pins.spend("pin")


def test_the_end_wipes_everything_and_a_new_value_wipes_the_old() -> None:
    first, second = Secret(b"739184"), Secret(b"918273")
    pins = held()
    pins.keep("pin", first, kind=PinKind.NEW, purpose=Purpose.ISSUE, uses=2)
    pins.keep("pin", second, kind=PinKind.NEW, purpose=Purpose.ISSUE, uses=2)
    assert first.wiped
    assert not second.wiped
    pins.wipe()
    assert second.wiped


def test_a_value_without_uses_is_not_kept() -> None:
    secret = Secret(b"739184")
    pins = held()
    pins.keep("pin", secret, kind=PinKind.NEW, purpose=Purpose.ISSUE, uses=0)
    assert secret.wiped


def test_a_drawn_pin_is_never_a_weak_one() -> None:
    digits = iter([1, 2, 3, 4, 5, 6, 7, 8, 5, 5, 5, 5, 5, 5, 5, 5, 4, 0, 7, 1, 9, 9, 2, 6])
    pins = HeldPins(lambda _below: next(digits))
    pins.draw("pin", length=8, uses=3)
    assert pins.fill("pin") == b"40719926"
    drawn = pins.find("pin")
    assert drawn is not None
    assert (drawn.kind, drawn.uses) == (PinKind.DRAWN, 3)


@pytest.mark.parametrize("length", [0, 5, 9])
def test_no_card_takes_a_drawn_pin_of_this_length(length: int) -> None:
    with pytest.raises(errors.Garbled):
        HeldPins(lambda below: 3 % below).draw("pin", length=length, uses=1)


def test_what_goes_to_the_card_is_filled_masked_and_wiped() -> None:
    filled = fill(change(FACTORY_FIELD, Hole(name="pin")), held())
    assert isinstance(filled, Filled)
    assert filled.data == FACTORY_FIELD + b"739184\xff\xff"
    assert b"739184" not in filled.masked
    wipe(filled)
    assert filled.data == bytes(16)
    assert isinstance(fill(ColdReset(), held()), ColdReset)


def test_sensitive_data_is_masked_whole() -> None:
    assert plain(verify_plain()).masked == b""
    assert plain(READ_CHUID).masked == READ_CHUID.plain


def test_digests_as_the_card_signs_them() -> None:
    content = b"text"
    digest = hashlib.sha256(content).digest()
    assert encode_text(ToBeSigned(content=content, digest=Digest.SHA256, length=32)) == digest
    # a short digest for a longer curve stands on the right (trap T6)
    assert encode_text(ToBeSigned(content=content, digest=Digest.SHA256, length=48)) == bytes(16) + digest
    assert (
        encode_text(ToBeSigned(content=content, digest=Digest.SHA384, length=48))
        == hashlib.sha384(content).digest()
    )
    # a long one for a shorter curve loses its last bits, as ECDSA does
    assert (
        encode_text(ToBeSigned(content=content, digest=Digest.SHA384, length=32))
        == (hashlib.sha384(content).digest()[:32])
    )
    assert encode_text(ToBeSigned(content=content, digest=Digest.NONE, length=4)) == content


@pytest.mark.parametrize(
    ("digest", "length"),
    [(Digest.NONE, 5), (Digest.PKCS1_SHA256, 61)],
)
def test_a_digest_that_does_not_fit_is_refused(digest: Digest, length: int) -> None:
    with pytest.raises(errors.Garbled):
        encode_text(ToBeSigned(content=b"text", digest=digest, length=length))


@pytest.mark.parametrize("bits", [2048, 3072])
def test_an_rsa_block_is_what_a_verifier_expects(bits: int) -> None:
    key = rsa.generate_private_key(65537, bits)
    block = encode_text(ToBeSigned(content=b"text", digest=Digest.PKCS1_SHA256, length=bits // 8))
    private = key.private_numbers()
    signature = pow(int.from_bytes(block, "big"), private.d, private.public_numbers.n).to_bytes(
        bits // 8, "big"
    )
    key.public_key().verify(signature, b"text", padding.PKCS1v15(), hashes.SHA256())


@given(pin=st.binary(min_size=1, max_size=8))
def test_every_pin_fills_its_field(pin: bytes) -> None:
    pins = HeldPins(lambda below: 0 % below)
    pins.keep("pin", Secret(pin), kind=PinKind.CURRENT, purpose=Purpose.CHANGE_PIN, uses=1)
    field = pins.fill("pin")
    assert len(field) == 8
    assert field[: len(pin)] == pin
    assert set(field[len(pin) :]) <= {0xFF}
