"""Public keys as SSH writes them: one form, the same as others write, and only kinds that log on."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from shared import errors
from shared.piv.publickey import subject_public_key_info
from shared.ssh.keys import key_of_certificate, read_key, spki_of, write_key
from shared.ssh.wire import integer, string
from tests.shared.ssh.keyring import ED25519, KEYS, P256, P384, RSA

POINT = P256.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
SHORT_POINT = P256.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
NUMBERS = RSA.public_key().public_numbers()


@pytest.mark.parametrize("name", KEYS)
def test_a_key_has_the_form_that_others_write(name: str) -> None:
    key = KEYS[name].public_key()
    line = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    assert write_key(key) == base64.b64decode(line.split()[1])


@pytest.mark.parametrize("name", KEYS)
def test_a_key_is_recognised_as_the_one_of_the_certificate(name: str) -> None:
    spki = subject_public_key_info(KEYS[name].public_key())
    assert spki_of(read_key(write_key(key_of_certificate(spki)))) == spki


def ecdsa(name: bytes, curve: bytes, point: bytes) -> bytes:
    return string(name) + string(curve) + string(point)


def rsa_blob(e: bytes, n: bytes) -> bytes:
    return string(b"ssh-rsa") + e + n


@pytest.mark.parametrize(
    "blob",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(string(b"ssh-dss"), id="another-kind"),
        pytest.param(string(b"ecdsa-sha2-nistp521") + string(b"nistp521") + string(POINT), id="p521"),
        pytest.param(string(b"nistp256") + string(b"nistp256") + string(POINT), id="curve-as-name"),
        pytest.param(ecdsa(b"ecdsa-sha2-nistp256", b"nistp384", POINT), id="two-curves"),
        pytest.param(ecdsa(b"ecdsa-sha2-nistp256", b"nistp256", POINT[:-1]), id="short-point"),
        pytest.param(ecdsa(b"ecdsa-sha2-nistp256", b"nistp256", POINT[:-1] + b"\0"), id="off-the-curve"),
        pytest.param(ecdsa(b"ecdsa-sha2-nistp256", b"nistp256", SHORT_POINT), id="compressed"),
        pytest.param(ecdsa(b"ecdsa-sha2-nistp256", b"nistp256", b"\0"), id="infinity"),
        pytest.param(string(b"ssh-ed25519") + string(b"x" * 31), id="short-ed25519"),
        pytest.param(rsa_blob(integer(1), integer(NUMBERS.n)), id="exponent-1"),
        pytest.param(rsa_blob(integer(4), integer(NUMBERS.n)), id="exponent-4"),
        pytest.param(rsa_blob(integer(65537), integer(2**1023 + 1)), id="rsa-1024"),
        pytest.param(rsa_blob(integer(65537), integer(2**4096 + 1)), id="rsa-4097"),
        pytest.param(rsa_blob(integer(65537), string(b"\xff" * 256)), id="negative"),
        pytest.param(rsa_blob(string(b"\0\1\0\1"), integer(NUMBERS.n)), id="long-exponent"),
    ],
)
def test_a_key_in_another_form_is_none(blob: bytes) -> None:
    with pytest.raises(errors.Garbled):
        read_key(blob)


@given(st.sampled_from(sorted(KEYS)), st.data())
def test_what_can_be_read_has_one_form(name: str, data: st.DataObject) -> None:
    blob = bytearray(write_key(KEYS[name].public_key()))
    blob[data.draw(st.integers(0, len(blob) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        key = read_key(bytes(blob))
    except errors.Garbled:
        return
    assert write_key(key) == bytes(blob)


@given(st.sampled_from(sorted(KEYS)), st.binary(min_size=1, max_size=40), st.integers(1, 400))
def test_a_key_ends_where_it_ends(name: str, more: bytes, less: int) -> None:
    blob = write_key(KEYS[name].public_key())
    for wrong in (blob + more, blob[:-less]):
        with pytest.raises(errors.Garbled):
            read_key(wrong)


@given(st.binary(max_size=300))
def test_noise_is_no_key(noise: bytes) -> None:
    with pytest.raises(errors.Garbled):
        read_key(noise)


@pytest.mark.parametrize(
    "public",
    [
        ec.generate_private_key(ec.SECP521R1()).public_key(),
        ed448.Ed448PrivateKey.generate().public_key(),
        dsa.generate_private_key(1024).public_key(),
        rsa.generate_private_key(65537, 1024).public_key(),
    ],
    ids=["p521", "ed448", "dsa", "rsa-1024"],
)
def test_a_certificate_with_another_key_logs_nobody_on(
    public: ec.EllipticCurvePublicKey | ed448.Ed448PublicKey | dsa.DSAPublicKey | rsa.RSAPublicKey,
) -> None:
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(errors.Garbled):
        key_of_certificate(spki)


def test_a_certificate_without_a_key_logs_nobody_on() -> None:
    for raw in (b"", b"\x30\x00", write_key(ED25519.public_key()), write_key(P384.public_key())):
        with pytest.raises(errors.Garbled):
            key_of_certificate(raw)
