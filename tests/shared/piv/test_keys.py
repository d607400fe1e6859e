import hashlib
import os

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from shared import errors
from shared.iso7816.apdu import Digest, Hole, Response
from shared.iso7816.conversation import Conversation, drive
from shared.iso7816.tlv import encode
from shared.piv.ids import (
    PRIMARY_SLOTS,
    Algorithm,
    ManagementAlgorithm,
    PinPolicyId,
    ProfileName,
    Slot,
    TouchPolicyId,
)
from shared.piv.keys import (
    PrivateKey,
    agree,
    attest,
    decrypt,
    delete_key,
    generate_key,
    import_key,
    move_key,
    sign,
    sign_digest,
    to_be_signed,
)
from shared.piv.management import authenticated_singly, factory_key
from shared.piv.padding import remove_encryption_padding, to_field
from shared.piv.pin import verify_pin
from shared.piv.publickey import PublicKey
from shared.piv.select import fresh
from shared.piv.vendor import slot_metadata
from tests.shared.piv.terminal import Script, Terminal, pooled_key, rsa_key

HOLE = Hole(name="pin")
KEY = factory_key(ManagementAlgorithm.AES192)
SIGNERS = [algorithm for algorithm in Algorithm if algorithm.can_sign]
HASHES = {32: hashes.SHA256(), 48: hashes.SHA384(), 64: hashes.SHA512()}
TEXT = b"a certificate request, say"


def managed(terminal: Terminal, *talks: Conversation[object]) -> list[object]:
    return [terminal.drive(fresh(authenticated_singly(KEY, talk))) for talk in talks]


def made(terminal: Terminal, slot: Slot, algorithm: Algorithm) -> PublicKey:
    return terminal.drive(fresh(authenticated_singly(KEY, generate_key(slot, algorithm))))


def verified(key: PublicKey, signature: bytes, digest: bytes) -> None:
    """Raise where this is no signature over the digest (the text, for Ed25519)."""
    if isinstance(key, Ed25519PublicKey):
        key.verify(signature, digest)
    elif isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, digest, padding.PKCS1v15(), Prehashed(HASHES[len(digest)]))
    else:
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(signature, digest, ec.ECDSA(Prehashed(HASHES[len(digest)])))


@pytest.mark.parametrize("algorithm", SIGNERS)
@pytest.mark.parametrize("slot", [*PRIMARY_SLOTS, Slot.RETIRED_1, Slot.RETIRED_20])
def test_a_key_that_the_card_made_signs_a_text(slot: Slot, algorithm: Algorithm) -> None:
    terminal = Terminal()
    key = made(terminal, slot, algorithm)
    terminal.drive(verify_pin(HOLE))
    signature = terminal.drive(sign(slot, algorithm, to_be_signed(algorithm, TEXT)))
    if algorithm is Algorithm.ED25519:
        verified(key, signature, TEXT)
    else:
        name = "sha384" if algorithm is Algorithm.P384 else "sha256"
        verified(key, signature, hashlib.new(name, TEXT).digest())


@pytest.mark.parametrize("algorithm", SIGNERS)
@pytest.mark.parametrize("name", ["sha256", "sha384", "sha512"])
def test_every_key_signs_every_digest(algorithm: Algorithm, name: str) -> None:
    terminal = Terminal()
    key = made(terminal, Slot.SIGNATURE, algorithm)
    digest = hashlib.new(name, TEXT).digest()
    terminal.drive(verify_pin(HOLE))
    signature = terminal.drive(sign_digest(Slot.SIGNATURE, algorithm, digest))
    verified(key, signature, digest)
    with pytest.raises(InvalidSignature):
        verified(key, signature, hashlib.new(name, b"another text").digest())


def test_a_short_digest_stands_on_the_right_of_a_p384_field() -> None:
    digest = hashlib.sha256(TEXT).digest()
    script = Script(0x6982)
    with pytest.raises(errors.NotAuthorised):
        drive(sign_digest(Slot.SIGNATURE, Algorithm.P384, digest), script)
    assert script.commands[0].plain.hex() == "7c348200" + "8130" + (bytes(16) + digest).hex()
    assert to_field(bytes(range(64)), 48) == bytes(range(48))


def test_the_text_stands_at_the_end_of_the_command() -> None:
    for algorithm, length, digest in (
        (Algorithm.P256, 32, Digest.SHA256),
        (Algorithm.P384, 48, Digest.SHA384),
        (Algorithm.RSA_3072, 384, Digest.PKCS1_SHA256),
        (Algorithm.ED25519, len(TEXT), Digest.NONE),
    ):
        text = to_be_signed(algorithm, TEXT)
        assert (text.length, text.digest) == (length, digest)
        (command,) = next(sign(Slot.SIGNATURE, algorithm, text))
        opening, last = command.parts  # type: ignore[union-attr]
        assert last is text
        whole = encode(0x7C, encode(0x82, b"") + encode(0x81, bytes(length)))
        assert opening == whole[: len(whole) - length]
    with pytest.raises(errors.NotSupportedByCard):
        to_be_signed(Algorithm.X25519, TEXT)


@pytest.mark.parametrize("algorithm", [Algorithm.P256, Algorithm.P384, Algorithm.X25519])
def test_a_secret_is_agreed_on(algorithm: Algorithm) -> None:
    terminal = Terminal()
    ours = pooled_key(algorithm)
    key = made(terminal, Slot.KEY_MANAGEMENT, algorithm)
    terminal.drive(verify_pin(HOLE))
    secret = terminal.drive(agree(Slot.KEY_MANAGEMENT, algorithm, ours.public_key()))
    if isinstance(key, X25519PublicKey):
        assert isinstance(ours, X25519PrivateKey)
        assert secret == ours.exchange(key)
    else:
        assert isinstance(ours, ec.EllipticCurvePrivateKey)
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert secret == ours.exchange(ec.ECDH(), key)


def test_no_secret_is_agreed_on_across_curves() -> None:
    peer = ec.generate_private_key(ec.SECP384R1()).public_key()
    with pytest.raises(errors.Garbled):
        drive(agree(Slot.KEY_MANAGEMENT, Algorithm.P256, peer), Script())
    with pytest.raises(errors.Garbled):
        drive(agree(Slot.KEY_MANAGEMENT, Algorithm.RSA_2048, rsa_key(2048).public_key()), Script())
    with pytest.raises(errors.CardMalformed):
        drive(
            agree(Slot.KEY_MANAGEMENT, Algorithm.P384, peer),
            Script(Response(encode(0x7C, encode(0x82, bytes(32))), 0x9000)),
        )


def test_an_rsa_key_decrypts() -> None:
    terminal = Terminal()
    key = made(terminal, Slot.KEY_MANAGEMENT, Algorithm.RSA_2048)
    assert isinstance(key, rsa.RSAPublicKey)
    ciphertext = key.encrypt(b"a secret", padding.PKCS1v15())
    terminal.drive(verify_pin(HOLE))
    block = terminal.drive(decrypt(Slot.KEY_MANAGEMENT, Algorithm.RSA_2048, ciphertext))
    assert remove_encryption_padding(block) == b"a secret"
    with pytest.raises(errors.Garbled):
        terminal.drive(decrypt(Slot.KEY_MANAGEMENT, Algorithm.RSA_2048, ciphertext[1:]))
    with pytest.raises(errors.Garbled):
        terminal.drive(decrypt(Slot.KEY_MANAGEMENT, Algorithm.P256, ciphertext))
    script = Script(Response(encode(0x7C, encode(0x82, b"short")), 0x9000))
    with pytest.raises(errors.CardMalformed):
        drive(decrypt(Slot.KEY_MANAGEMENT, Algorithm.RSA_2048, ciphertext), script)


@pytest.mark.parametrize("block", ["", "0001FF00AA", "000201020304050607" + "00AA", "0002" + "01" * 20])
def test_a_block_that_is_not_padded_is_malformed(block: str) -> None:
    with pytest.raises(errors.CardMalformed):
        remove_encryption_padding(bytes.fromhex(block))


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_a_key_is_imported(algorithm: Algorithm) -> None:
    terminal = Terminal()
    private = pooled_key(algorithm)
    assert isinstance(private, PrivateKey)
    managed(
        terminal,
        import_key(Slot.KEY_MANAGEMENT, private, PinPolicyId.ONCE, TouchPolicyId.NEVER),
    )
    metadata = terminal.drive(slot_metadata(Slot.KEY_MANAGEMENT))
    assert metadata is not None
    assert metadata.algorithm is algorithm
    assert metadata.pin_policy is PinPolicyId.ONCE
    assert metadata.public_key is not None
    assert spki(metadata.public_key) == spki(private.public_key())


def spki(key: PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def test_keys_move_and_go() -> None:
    terminal = Terminal()
    key = made(terminal, Slot.KEY_MANAGEMENT, Algorithm.P256)
    managed(terminal, move_key(Slot.KEY_MANAGEMENT, Slot.RETIRED_3))
    metadata = terminal.drive(slot_metadata(Slot.RETIRED_3))
    assert metadata is not None
    assert metadata.public_key == key
    assert terminal.drive(slot_metadata(Slot.KEY_MANAGEMENT)) is None
    managed(terminal, delete_key(Slot.RETIRED_3))
    assert terminal.drive(slot_metadata(Slot.RETIRED_3)) is None
    with pytest.raises(errors.ObjectMissing):
        managed(terminal, delete_key(Slot.RETIRED_3))


def test_policies_are_sent_only_where_they_are_asked_for() -> None:
    (plain,) = next(generate_key(Slot.SIGNATURE, Algorithm.P256))
    (strict,) = next(generate_key(Slot.SIGNATURE, Algorithm.P256, PinPolicyId.ALWAYS, TouchPolicyId.CACHED))
    assert plain.plain.hex() == "ac03800111"  # type: ignore[union-attr]
    assert strict.plain.hex() == "ac09800111aa0103ab0103"  # type: ignore[union-attr]


def test_a_key_that_wants_the_pin_always_wants_it_right_before() -> None:
    terminal = Terminal()
    made(terminal, Slot.SIGNATURE, Algorithm.P256)
    terminal.drive(verify_pin(HOLE))
    text = to_be_signed(Algorithm.P256, TEXT)
    terminal.drive(sign(Slot.SIGNATURE, Algorithm.P256, text))
    with pytest.raises(errors.NotAuthorised):
        terminal.drive(sign(Slot.SIGNATURE, Algorithm.P256, text))


def test_an_empty_slot_has_no_key() -> None:
    terminal = Terminal()
    terminal.drive(fresh(verify_pin(HOLE)))
    with pytest.raises(errors.ObjectMissing):
        terminal.drive(sign(Slot.SIGNATURE, Algorithm.P256, to_be_signed(Algorithm.P256, TEXT)))
    with pytest.raises(errors.ObjectMissing):
        terminal.drive(attest(Slot.SIGNATURE))


def test_an_imported_key_is_not_attested() -> None:
    terminal = Terminal()
    managed(terminal, import_key(Slot.SIGNATURE, ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(errors.ObjectMissing):
        terminal.drive(attest(Slot.SIGNATURE))


def test_a_card_that_does_not_make_such_keys_says_so() -> None:
    terminal = Terminal(ProfileName.YUBIKEY_5_4)
    tdes = factory_key(ManagementAlgorithm.TDES)
    with pytest.raises(errors.NotSupportedByCard):
        terminal.drive(fresh(authenticated_singly(tdes, generate_key(Slot.SIGNATURE, Algorithm.ED25519))))
    with pytest.raises(errors.NotAuthorised):
        terminal.drive(fresh(generate_key(Slot.SIGNATURE, Algorithm.P256)))


@pytest.mark.parametrize(
    ("algorithm", "answer"),
    [
        (Algorithm.P256, encode(0x30, b"\x02\x01\x01")),
        (Algorithm.ED25519, bytes(63)),
        (Algorithm.RSA_2048, bytes(255)),
    ],
)
def test_what_has_not_the_form_of_a_signature_is_malformed(algorithm: Algorithm, answer: bytes) -> None:
    script = Script(Response(encode(0x7C, encode(0x82, answer)), 0x9000))
    with pytest.raises(errors.CardMalformed):
        drive(sign(Slot.SIGNATURE, algorithm, to_be_signed(algorithm, TEXT)), script)


@pytest.mark.parametrize(
    "private", [ec.generate_private_key(ec.SECP521R1()), rsa.generate_private_key(65537, 1024)]
)
def test_a_key_of_another_kind_is_not_imported(private: PrivateKey) -> None:
    with pytest.raises(errors.NotSupportedByCard):
        drive(import_key(Slot.SIGNATURE, private), Script())


def test_private_parts_are_sensitive() -> None:
    for private in (Ed25519PrivateKey.generate(), rsa_key(2048)):
        (command,) = next(import_key(Slot.SIGNATURE, private))
        assert command.sensitive  # type: ignore[union-attr]
    (command,) = next(decrypt(Slot.KEY_MANAGEMENT, Algorithm.RSA_2048, os.urandom(256)))
    assert command.sensitive  # type: ignore[union-attr]
