"""Signatures in a namespace of ours: those that OpenSSH made, one form, and none for anything else."""

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
from cryptography.exceptions import InvalidSignature
from hypothesis import given
from hypothesis import strategies as st

from shared import errors
from shared.iso7816.apdu import CHALLENGE_PREFIX
from shared.logon import LogonPurpose, LogonText, verify_logon
from shared.ssh.sshsig import (
    MAX_SIGNATURE,
    NAMESPACE,
    SshSignature,
    read_signature,
    signature_by,
    to_be_signed,
    verify,
)
from shared.ssh.wire import integer, number, string
from tests.shared.ssh.keyring import ED25519, KEYS, P256, RSA, sign

VECTORS: Final = Path(__file__).parents[2] / "vectors" / "sshsig"
TEXT: Final = LogonText(
    server="cards.example.org",
    station=b"s" * 32,
    nonce=b"n" * 32,
    expires_at=datetime(2026, 11, 20, 12, 1, tzinfo=UTC),
    purpose=LogonPurpose.LOG_ON,
)


def vector(name: str) -> bytes:
    """Return a signature that OpenSSH wrote, without its armour."""
    lines = (VECTORS / f"{name}.sig").read_text().splitlines()
    return base64.b64decode("".join(lines[1:-1]))


def signed(name: str) -> SshSignature:
    key = KEYS[name]
    return signature_by(key.public_key(), sign(key, to_be_signed(TEXT)))


SIGNED: Final = {name: bytes(signed(name)) for name in KEYS}


def part(raw: bytes, old: bytes, new: bytes) -> bytes:
    """Put another field into a signature."""
    assert raw.count(string(old)) == 1
    return raw.replace(string(old), string(new))


# --- by OpenSSH -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KEYS)
def test_what_openssh_signed_is_verified(name: str) -> None:
    raw = vector(name)
    signature = read_signature(raw)
    assert bytes(signature) == raw
    verify(signature, bytes(TEXT))
    with pytest.raises(InvalidSignature):
        verify(signature, bytes(TEXT) + b"\0")


@pytest.mark.parametrize("name", ["namespace-file", "hash-sha256", "p521"])
def test_what_openssh_signed_for_something_else_is_refused(name: str) -> None:
    with pytest.raises(errors.Garbled):
        read_signature(vector(name))


# --- one form -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KEYS)
def test_a_signature_survives(name: str) -> None:
    read = read_signature(SIGNED[name])
    assert bytes(read) == SIGNED[name]
    verify(read, bytes(TEXT))


@given(st.sampled_from(sorted(KEYS)), st.data())
def test_an_altered_byte_is_noticed(name: str, data: st.DataObject) -> None:
    raw = bytearray(SIGNED[name])
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        read = read_signature(bytes(raw))
    except errors.Garbled:
        return
    assert bytes(read) == bytes(raw)
    with pytest.raises(InvalidSignature):
        verify(read, bytes(TEXT))


@given(st.sampled_from(sorted(KEYS)), st.binary(min_size=1, max_size=2 * MAX_SIGNATURE))
def test_a_signature_ends_where_it_ends(name: str, more: bytes) -> None:
    for wrong in (SIGNED[name] + more, SIGNED[name][: -len(more)], more, b"SSHSIG" + number(1) + more):
        with pytest.raises(errors.Garbled):
            read_signature(wrong)


def test_a_signature_has_a_length() -> None:
    with pytest.raises(errors.Garbled, match="too long"):
        read_signature(SIGNED["p256"] + bytes(MAX_SIGNATURE))


@pytest.mark.parametrize("name", KEYS)
def test_a_value_of_another_length_is_no_signature(name: str) -> None:
    value = signed(name).value
    for wrong in (b"", value[:-1], value + b"\0", b"\0" + value, b"\0" * len(value)):
        made = SshSignature(key=KEYS[name].public_key(), value=wrong)
        with pytest.raises(InvalidSignature):
            verify(read_signature(bytes(made)), bytes(TEXT))


@given(st.integers(0, 2**400), st.integers(0, 2**400))
def test_two_numbers_are_not_yet_a_signature(r: int, s: int) -> None:
    made = SshSignature(key=P256.public_key(), value=integer(r) + integer(s))
    with pytest.raises(InvalidSignature):
        verify(made, bytes(TEXT))


# --- for nothing else -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (NAMESPACE, b"file"),
        (NAMESPACE, NAMESPACE + b"\0"),
        (NAMESPACE, b""),
        (b"sha512", b"sha256"),
        (b"", b"more"),
    ],
    ids=["namespace", "longer-namespace", "no-namespace", "hash", "reserved"],
)
def test_a_field_that_says_something_else_is_refused(old: bytes, new: bytes) -> None:
    around = NAMESPACE + string(b"") if not old else b""
    raw = SIGNED["p256"]
    wrong = raw.replace(around, NAMESPACE + string(new)) if around else part(raw, old, new)
    assert wrong != raw
    with pytest.raises(errors.Garbled):
        read_signature(wrong)


@pytest.mark.parametrize("version", [0, 2, 2**32 - 1])
def test_another_version_is_refused(version: int) -> None:
    with pytest.raises(errors.Garbled):
        read_signature(b"SSHSIG" + number(version) + SIGNED["p256"][10:])


@pytest.mark.parametrize("algorithm", ["ssh-rsa", "rsa-sha2-256"])
def test_rsa_signs_with_sha_512_and_nothing_else(algorithm: str) -> None:
    made = sign(RSA, to_be_signed(TEXT), rsa_algorithm=algorithm)
    with pytest.raises(errors.Garbled):
        signature_by(RSA.public_key(), made)
    renamed = signature_by(RSA.public_key(), part(made, algorithm.encode(), b"rsa-sha2-512"))
    with pytest.raises(InvalidSignature):
        verify(renamed, bytes(TEXT))


@pytest.mark.parametrize("name", KEYS)
def test_an_answer_with_another_keys_algorithm_is_refused(name: str) -> None:
    other = RSA if name != "rsa" else ED25519
    with pytest.raises(errors.Garbled):
        signature_by(KEYS[name].public_key(), sign(other, to_be_signed(TEXT)))


@pytest.mark.parametrize("name", KEYS)
def test_the_text_alone_is_not_what_an_agent_signs(name: str) -> None:
    key = KEYS[name]
    bare = signature_by(key.public_key(), sign(key, bytes(TEXT)))
    with pytest.raises(InvalidSignature):
        verify(bare, bytes(TEXT))
    with pytest.raises(InvalidSignature):
        verify_logon(signed(name).public_key, bytes(TEXT), signed(name).value)


def test_what_is_signed_begins_like_nothing_else_that_is() -> None:
    content = to_be_signed(TEXT)
    assert not content.startswith(CHALLENGE_PREFIX)
    # a log-in begins with the length of a session's id: no hash is as long as these letters say
    assert int.from_bytes(content[:4], "big") > 2**30
    assert NAMESPACE.endswith(b".invalid")


def test_another_key_is_seen_as_another() -> None:
    mine, other = signed("p256"), signed("ed25519")
    assert mine.public_key != other.public_key
    lent = SshSignature(key=other.key, value=mine.value)
    with pytest.raises(InvalidSignature):
        verify(lent, bytes(TEXT))
