"""The derivation against published vectors and against the standard computed by hand."""

from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from server.connectors.keystore.content import Content
from server.connectors.keystore.kdf import counter_kdf, fixed_input
from server.connectors.keystore.memory import MemoryKeyStore
from server.connectors.keystore.ring import SEAL_LABEL
from server.ports.keystore import Derivation, KeyPurpose

# NIST CAVS 14.4 "SP800-108 - KDF", counter mode, generated 2013-04-23:
# [PRF=CMAC_AES256] [CTRLOCATION=BEFORE_FIXED] [RLEN=32_BITS], COUNT 0, 38 and 39 (KI, FixedInputData, KO)
CAVS = [
    (
        "d0b1b3b70b2393c48ca05159e7e28cbeadea93f28a7cdae964e5136070c45d5c",
        (
            "dd2f151a3f173492a6fbbb602189d51ddf8ef79fc8e96b8fcbe6dabe73a35b48"
            "104f9dff2d63d48786d2b3af177091d646a9efae005bdfacb61a1214"
        ),
        "8c449fb474d1c1d4d2a33827103b656a",
    ),
    (
        "0811263f8c5f800b19c24a060e6d4c46243f44fd9774be6f3d49a198fd05bc44",
        (
            "e92d1f334998bdcd04de5797cc62ee4747a1709ff0e74bcdefc7179dd5e909b2"
            "535d7556bf2a065ce115fe3041669ce303f5345205db02083d57fcfb"
        ),
        "9db692422a8ac0c5364e3a980cd2306b76466fe2bad3bb9307ff19562548757b95a540b9cfe72e7f",
    ),
    (
        "3a6576a1541e07eabd47c3534a4346ab39f15eb01d83ecf2319081f6e7ada7e9",
        (
            "a259cae2c4a36b89563cb148c78251343bbfabdc13ca7ac2171c2eb6021f4477"
            "fea33b28724da721ee087bffd794a1563754b425a8d09b3e0da5ffed"
        ),
        "99b787ef90a133e5736fdcf175c3a380501f45dec8f093ecdd4000652f4ff1c6575248a363d45d18",
    ),
]

# [RFC 4493] section 4, AES-128: message length, MAC; the message is the first bytes of MESSAGE
# [SP 800-38B] examples for AES-256 (D.3): the same messages
MESSAGE = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)
AES128_KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
AES256_KEY = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
CMAC = [
    (AES128_KEY, 0, "bb1d6929e95937287fa37d129b756746"),
    (AES128_KEY, 16, "070a16b46b4d4144f79bdd9dd04a287c"),
    (AES128_KEY, 40, "dfa66747de9ae63030ca32611497c827"),
    (AES128_KEY, 64, "51f0bebf7e3b9d92fc49741779363cfe"),
    (AES256_KEY, 0, "028962f61b7bf89efc6b551f4667d983"),
    (AES256_KEY, 16, "28a7023f452e8f82bd4bf28d8c37c35c"),
    (AES256_KEY, 40, "aaf3d8f1de5640c232f5b169b9c911e6"),
    (AES256_KEY, 64, "e1992190549f6ed5696a2c056c315410"),
]


def block(key: bytes, data: bytes) -> bytes:
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def double(value: bytes) -> bytes:
    number = int.from_bytes(value, "big") << 1
    if number >> 128:
        number = (number & ((1 << 128) - 1)) ^ 0x87
    return number.to_bytes(16, "big")


def cmac_by_hand(key: bytes, message: bytes) -> bytes:
    """[SP 800-38B] 6.1 and 6.2, with nothing but the block cipher."""
    subkey = double(block(key, bytes(16)))
    blocks = [message[start : start + 16] for start in range(0, len(message), 16)] or [b""]
    last = blocks.pop()
    if len(last) < 16:
        subkey, last = double(subkey), (last + b"\x80").ljust(16, b"\0")
    state = bytes(16)
    for each in [*blocks, bytes(a ^ b for a, b in zip(last, subkey, strict=True))]:
        state = block(key, bytes(a ^ b for a, b in zip(state, each, strict=True)))
    return state


def kdf_by_hand(key: bytes, label: bytes, context: bytes, length: int) -> bytes:
    """[SP 800-108r1] 4.1, independent of the code that is tested."""
    fixed = label + b"\x00" + context + (length * 8).to_bytes(4, "big")
    parts = [cmac_by_hand(key, i.to_bytes(4, "big") + fixed) for i in range(1, length // 16 + 2)]
    return b"".join(parts)[:length]


@pytest.mark.parametrize(("key", "fixed", "output"), CAVS)
def test_cavs_vectors(key: str, fixed: str, output: str) -> None:
    derived = counter_kdf(bytes.fromhex(key), bytes.fromhex(fixed), len(output) // 2)
    assert derived.hex() == output


@pytest.mark.parametrize(("key", "length", "mac"), CMAC)
def test_the_hand_made_cmac_meets_the_published_vectors(key: bytes, length: int, mac: str) -> None:
    assert cmac_by_hand(key, MESSAGE[:length]).hex() == mac


@given(
    key=st.binary(min_size=32, max_size=32),
    label=st.binary(min_size=1, max_size=40).filter(lambda label: b"\0" not in label),
    context=st.binary(max_size=80),
    length=st.integers(min_value=1, max_value=100),
)
def test_the_standard_by_hand(key: bytes, label: bytes, context: bytes, length: int) -> None:
    derived = counter_kdf(key, fixed_input(label, context, length), length)
    assert derived == kdf_by_hand(key, label, context, length)


async def test_what_a_key_store_derives_is_the_standard_by_hand() -> None:
    keystore = MemoryKeyStore()
    content: Content = keystore._content
    subject = UUID("00112233-4455-6677-8899-aabbccddeeff")
    derived = await keystore.derive(
        Derivation(purpose=KeyPurpose.MANAGEMENT_KEY, subject=subject, generation=1, length=24, count=258)
    )
    context = bytes.fromhex("00112233445566778899aabbccddeeff0000000100000102")
    master = content.masters[0].key.reveal()
    assert derived.reveal() == kdf_by_hand(master, b"piv management key", context, 24)


def test_a_label_with_a_zero_byte_is_refused() -> None:
    with pytest.raises(ValueError, match="zero byte"):
        fixed_input(b"a\0b", b"", 16)


def test_no_purpose_shares_its_label_with_sealing() -> None:
    assert SEAL_LABEL.decode() not in {purpose.value for purpose in KeyPurpose}
