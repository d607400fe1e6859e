"""Every algorithm of every slot: what the card computes, another library checks."""

import hashlib
import os

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils, x25519

from shared.piv.ids import Algorithm, Origin, PinPolicyId, ProfileName, Slot
from shared.virtual.card import VirtualCard
from shared.virtual.keys import generate_key, public_template
from shared.virtual.lab import FIRMWARE, FORM_FACTOR, POLICIES, SERIAL, lab_root
from tests.shared.virtual.talk import Terminal, inner, new_card, opened, parse, tlv

TEXT = b"a text that somebody signs"
CURVES: dict[Algorithm, tuple[ec.EllipticCurve, hashes.HashAlgorithm]] = {
    Algorithm.P256: (ec.SECP256R1(), hashes.SHA256()),
    Algorithm.P384: (ec.SECP384R1(), hashes.SHA384()),
}


def rsa_public(template: bytes) -> rsa.RSAPublicKey:
    parts = dict(parse(template))
    return rsa.RSAPublicNumbers(
        int.from_bytes(parts[0x82], "big"), int.from_bytes(parts[0x81], "big")
    ).public_key()


def import_data(algorithm: Algorithm, key: object) -> bytes:
    match key:
        case rsa.RSAPrivateKey():
            numbers = key.private_numbers()
            half = key.key_size // 16
            parts = (numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp)
            return b"".join(tlv(tag, part.to_bytes(half, "big")) for tag, part in enumerate(parts, 1))
        case ec.EllipticCurvePrivateKey():
            return tlv(6, key.private_numbers().private_value.to_bytes(key.curve.key_size // 8, "big"))
        case ed25519.Ed25519PrivateKey():
            return tlv(7, key.private_bytes_raw())
        case x25519.X25519PrivateKey():
            return tlv(8, key.private_bytes_raw())
        case _:
            raise AssertionError(algorithm)


@pytest.mark.parametrize("algorithm", CURVES)
def test_ecdsa_signature_verifies(algorithm: Algorithm) -> None:
    curve, digest = CURVES[algorithm]
    terminal = opened()
    point = inner(terminal.generate(0x9A, algorithm), 0x86)
    public = ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    assert terminal.verify() == 0x9000
    signature, sw = terminal.use(0x9A, algorithm, hashlib.new(digest.name, TEXT).digest())
    assert sw == 0x9000
    public.verify(signature, TEXT, ec.ECDSA(digest))


def test_a_digest_shorter_than_the_curve_is_a_small_number() -> None:
    terminal = opened()
    point = inner(terminal.generate(0x9E, Algorithm.P384), 0x86)
    digest = hashlib.sha256(TEXT).digest()
    signature, _ = terminal.use(0x9E, Algorithm.P384, digest)
    ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), point).verify(
        signature, digest.rjust(48, b"\0"), ec.ECDSA(utils.Prehashed(hashes.SHA384()))
    )
    assert terminal.use(0x9E, Algorithm.P384, bytes(49))[1] == 0x6A80
    assert terminal.use(0x9E, Algorithm.P384, b"")[1] == 0x6A80


@pytest.mark.parametrize("algorithm", CURVES)
def test_ecdh_agrees(algorithm: Algorithm) -> None:
    curve, _ = CURVES[algorithm]
    terminal = opened()
    point = inner(terminal.generate(0x9D, algorithm), 0x86)
    card = ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    ours = ec.generate_private_key(curve)
    peer = ours.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    assert terminal.use(0x9D, algorithm, peer, 0x85)[1] == 0x6982
    assert terminal.verify() == 0x9000
    assert terminal.use(0x9D, algorithm, peer, 0x85) == (ours.exchange(ec.ECDH(), card), 0x9000)
    off_curve = peer[:-1] + bytes((peer[-1] ^ 1,))
    assert terminal.use(0x9D, algorithm, off_curve, 0x85)[1] == 0x6A80


def test_ed25519_signs_the_text_itself() -> None:
    terminal = Terminal(new_card(ProfileName.YUBIKEY_5_7))
    terminal.manage(algorithm=terminal.card.profile.factory_management)
    public = ed25519.Ed25519PublicKey.from_public_bytes(
        inner(terminal.generate(0x9E, Algorithm.ED25519), 0x86)
    )
    long = TEXT * 60  # arrives in a chain
    signature, sw = terminal.use(0x9E, Algorithm.ED25519, long)
    assert sw == 0x9000
    public.verify(signature, long)


def test_x25519_agrees_and_does_not_sign() -> None:
    terminal = opened(ProfileName.YUBIKEY_5_7)
    card = inner(terminal.generate(0x9D, Algorithm.X25519, tlv(0xAA, b"\x01")), 0x86)
    ours = x25519.X25519PrivateKey.generate()
    secret, sw = terminal.use(0x9D, Algorithm.X25519, ours.public_key().public_bytes_raw(), 0x85)
    assert sw == 0x9000
    assert secret == ours.exchange(x25519.X25519PublicKey.from_public_bytes(card))
    assert terminal.use(0x9D, Algorithm.X25519, bytes(32))[1] == 0x6A86


@pytest.mark.parametrize(
    ("algorithm", "profile"),
    [(Algorithm.RSA_2048, ProfileName.YUBIKEY_4), (Algorithm.RSA_3072, ProfileName.PLAIN)],
)
def test_rsa_signs_pkcs1_and_pss_and_decrypts(algorithm: Algorithm, profile: ProfileName) -> None:
    terminal = opened(profile)
    public = rsa_public(terminal.generate(0x9E, algorithm))
    assert public.key_size == algorithm.rsa_bits
    length = public.key_size // 8

    info = bytes.fromhex("3031300D060960864801650304020105000420") + hashlib.sha256(TEXT).digest()
    block = b"\0\1" + b"\xff" * (length - len(info) - 3) + b"\0" + info
    signature, sw = terminal.use(0x9E, algorithm, block)
    assert sw == 0x9000
    public.verify(signature, TEXT, padding.PKCS1v15(), hashes.SHA256())

    # whatever the block, the card raises it to the private exponent
    raw = b"\0" + hashlib.sha256(TEXT).digest().rjust(length - 1, b"\x42")
    plain, sw = terminal.use(0x9E, algorithm, raw)
    assert sw == 0x9000
    numbers = public.public_numbers()
    assert pow(int.from_bytes(plain, "big"), numbers.e, numbers.n) == int.from_bytes(raw, "big")

    secret = public.encrypt(TEXT, padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None))
    opened_block, sw = terminal.use(0x9E, algorithm, secret)
    assert sw == 0x9000
    assert opened_block[0] == 0
    assert terminal.use(0x9E, algorithm, block[1:])[1] == 0x6A80
    assert terminal.use(0x9E, algorithm, b"\xff" * length)[1] == 0x6A80


@pytest.mark.parametrize("algorithm", [each for each in Algorithm if each is not Algorithm.RSA_4096])
def test_an_imported_key_is_the_key(algorithm: Algorithm) -> None:
    terminal = opened(ProfileName.YUBIKEY_5_7)
    key = generate_key(algorithm)
    data = import_data(algorithm, key) + tlv(0xAA, b"\x02") + tlv(0xAB, b"\x02")
    terminal.ok(f"00FE{algorithm:02X}95", data)
    stored = dict(parse(terminal.ok("00F70095")))
    assert stored[0x01] == bytes((algorithm,))
    assert stored[0x02] == b"\x02\x02"
    assert stored[0x03] == bytes((Origin.IMPORTED,))
    assert stored[0x04] == public_template(key)
    assert terminal.sw("00F99500") == 0x6A80, "an imported key is not attested"


@pytest.mark.parametrize(
    "data", [b"", tlv(6, bytes(32)), tlv(6, b"\xff" * 32), tlv(7, bytes(32)), b"\x06\x20"]
)
def test_what_is_no_private_key_is_refused(data: bytes) -> None:
    terminal = opened()
    assert terminal.sw("00FE119A", data) == 0x6A80
    assert terminal.sw("00F7009A") == 0x6A88


def test_move_and_delete() -> None:
    terminal = opened(ProfileName.YUBIKEY_5_7)
    public = terminal.generate(0x9A, Algorithm.P256)
    assert terminal.sw("00F6829A") == 0x9000
    assert terminal.sw("00F7009A") == 0x6A88
    assert dict(parse(terminal.ok("00F70082")))[0x04] == public
    terminal.generate(0x9A, Algorithm.P256)
    assert terminal.sw("00F6829A") == 0x6A80, "the destination must be empty"
    assert terminal.sw("00F6FF9A") == 0x9000
    assert terminal.sw("00F6FF9A") == 0x6A88
    assert terminal.sw("00F6F982") == 0x6A80


def test_attestation_chains_to_the_lab_root() -> None:
    terminal = opened(ProfileName.YUBIKEY_5_7)
    point = inner(terminal.generate(0x9C, Algorithm.P256, tlv(0xAA, b"\x03") + tlv(0xAB, b"\x01")), 0x86)
    leaf = x509.load_der_x509_certificate(terminal.ok("00F99C00"))
    device = x509.load_der_x509_certificate(
        inner(terminal.ok("00CB3FFF", bytes.fromhex("5C035FFF01")), 0x53, 0x70)
    )
    leaf.verify_directly_issued_by(device)
    device.verify_directly_issued_by(lab_root())
    assert (
        leaf.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        == point
    )
    values = {
        each.oid: each.value.value
        for each in leaf.extensions
        if isinstance(each.value, x509.UnrecognizedExtension)
    }
    assert values == {
        FIRMWARE: b"\x05\x07\x01",
        SERIAL: tlv(2, (20_114_501).to_bytes(4, "big")),
        POLICIES: b"\x03\x01",
        FORM_FACTOR: b"\x01",
    }
    again = x509.load_der_x509_certificate(terminal.ok("00F99C00"))
    assert again.serial_number != leaf.serial_number


def test_the_lab_root_is_the_same_for_everybody() -> None:
    before = lab_root()
    lab_root.cache_clear()
    assert lab_root() == before


@pytest.mark.parametrize("slot", sorted(set(Slot) - {Slot.ATTESTATION}))
def test_every_slot_makes_and_uses_a_key(slot: Slot) -> None:
    terminal = opened()
    point = inner(terminal.generate(slot, Algorithm.P256), 0x86)
    assert terminal.verify() == 0x9000
    signature, sw = terminal.use(slot, Algorithm.P256, hashlib.sha256(TEXT).digest())
    assert sw == 0x9000
    ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point).verify(
        signature, TEXT, ec.ECDSA(hashes.SHA256())
    )


def test_the_attestation_key_signs_nothing_else() -> None:
    terminal = opened()
    terminal.verify()
    assert terminal.use(0xF9, Algorithm.P256, bytes(32))[1] == 0x6A86


def test_wrong_requests_for_keys() -> None:
    terminal = opened()
    assert terminal.sw("0047009A", tlv(0xAC, tlv(0x80, b"\x06"))) == 0x6A80, "RSA-1024 is gone"
    assert terminal.sw("0047009A", tlv(0xAC, tlv(0x80, b"\xe0"))) == 0x6A80, "before 5.7"
    assert terminal.sw("0047009A", tlv(0x80, b"\x11")) == 0x6A80
    assert terminal.sw("0047009A", tlv(0xAC, tlv(0x80, b"\x11") + tlv(0xAA, b"\x09"))) == 0x6A80
    assert terminal.sw("00470096", tlv(0xAC, tlv(0x80, b"\x11"))) == 0x6A86
    assert terminal.use(0x9A, Algorithm.P256, bytes(32))[1] == 0x6A88, "no key there"
    terminal.generate(0x9A, Algorithm.P256, tlv(0xAA, bytes((PinPolicyId.NEVER,))))
    assert terminal.use(0x9A, Algorithm.P384, bytes(48))[1] == 0x6A86, "another algorithm"
    assert terminal.sw("0087119A", tlv(0x7C, tlv(0x81, bytes(32)))) == 0x6A80, "no place for the answer"


def test_keys_need_the_management_key() -> None:
    terminal = Terminal(new_card(ProfileName.YUBIKEY_5_7))
    for head, data in (
        ("0047009A", tlv(0xAC, tlv(0x80, b"\x11"))),
        ("00FE119A", tlv(6, bytes(31) + b"\1")),
        ("00F6FF9A", b""),
        ("00FFFFFF", b"\x03" + tlv(0x9B, bytes(24))),
        ("00DB3FFF", tlv(0x5C, bytes.fromhex("5FC102")) + tlv(0x53, b"x")),
        ("00FA0303", b""),
    ):
        assert terminal.sw(head, data) == 0x6982, head


def test_a_pool_of_keys_can_stand_in_for_the_generator() -> None:
    pool = generate_key(Algorithm.RSA_2048)
    card = VirtualCard.new(ProfileName.PLAIN, serial=1, random=os.urandom, key_source=lambda _: pool)
    terminal = Terminal(card)
    assert terminal.manage() == 0x9000
    assert terminal.generate(0x9A, Algorithm.RSA_2048) == public_template(pool)


def test_an_imported_attestation_key_attests_where_it_can() -> None:
    terminal = opened(ProfileName.YUBIKEY_5_7)
    terminal.generate(0x9A, Algorithm.P256)
    signer = ed25519.Ed25519PrivateKey.generate()
    terminal.ok("00FEE0F9", import_data(Algorithm.ED25519, signer))
    leaf = x509.load_der_x509_certificate(terminal.ok("00F99A00"))
    signer.public_key().verify(leaf.signature, leaf.tbs_certificate_bytes)
    terminal.ok("00FEE1F9", import_data(Algorithm.X25519, x25519.X25519PrivateKey.generate()))
    assert terminal.sw("00F99A00") == 0x6A80, "X25519 signs nothing"
    terminal.ok("00F6FFF9")
    assert terminal.sw("00F99A00") == 0x6A88, "deleted"


def test_attestation_needs_its_certificate_and_a_key() -> None:
    terminal = opened()
    assert terminal.sw("00F99A00") == 0x6A88
    terminal.generate(0x9A, Algorithm.P256)
    assert terminal.sw("00F99A01") == 0x6A86
    assert terminal.sw("00F9F900") == 0x6A86
    terminal.ok("00DB3FFF", bytes.fromhex("5C035FFF01") + tlv(0x53, tlv(0x70, b"no certificate")))
    assert terminal.sw("00F99A00") == 0x6A88


def test_rsa_with_odd_padding_is_still_one_exponentiation() -> None:
    terminal = opened()
    public = rsa_public(terminal.generate(0x9E, Algorithm.RSA_2048)).public_numbers()
    for block in (
        b"\0\1\xff\0".ljust(256, b"\x11"),
        b"\0\1" + b"\xff" * 20 + b"\x01" * 234,
        b"\0\1" + b"\xff" * 10 + b"\x7f\0" + b"\x02" * 242,
    ):
        result, sw = terminal.use(0x9E, Algorithm.RSA_2048, block)
        assert sw == 0x9000
        assert pow(int.from_bytes(result, "big"), public.e, public.n) == int.from_bytes(block, "big")


def test_what_a_key_is_not_for() -> None:
    terminal = opened()
    terminal.generate(0x9E, Algorithm.RSA_2048)
    assert terminal.use(0x9E, Algorithm.RSA_2048, bytes(65), 0x85)[1] == 0x6A86, "no agreement with RSA"
    assert terminal.use(0x9E, Algorithm.RSA_2048, bytes(256), 0x86)[1] == 0x6A80
    assert terminal.sw("0047019E", tlv(0xAC, tlv(0x80, b"\x11"))) == 0x6A86
    assert terminal.sw("0047009E", tlv(0xAC, tlv(0x81, b"\x11"))) == 0x6A80
    assert terminal.sw("0047009E", tlv(0xAC, tlv(0x80, b"\x11\x11"))) == 0x6A80
    assert terminal.sw("00F69A9E", b"x") == 0x6D00


def test_an_rsa_key_of_another_length_is_refused() -> None:
    terminal = opened(ProfileName.YUBIKEY_5_7)
    data = import_data(Algorithm.RSA_2048, generate_key(Algorithm.RSA_2048))
    assert terminal.sw("00FE059A", data) == 0x6A80
    assert terminal.sw("00F6829A", b"x") == 0x6A80
