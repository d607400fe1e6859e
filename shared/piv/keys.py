"""Asymmetric keys: make, use, move, delete, attest.

What comes back is ready for X.509: ECDSA signatures are DER, RSA signatures PKCS#1 v1.5, Ed25519 signatures raw.

Sources: [SP 800-73-5] part 2, sections 3.2.4 (GENERAL AUTHENTICATE) and 3.3.2 (GENERATE ASYMMETRIC KEY PAIR),
appendix A; [RFC 8017] 9.2 (EMSA-PKCS1-v1_5); Yubico's extensions for policies, import, move, delete and attestation.
"""

from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from shared import errors
from shared.iso7816.apdu import ONLY_OK, Command, Digest, Part, ToBeSigned
from shared.iso7816.conversation import Conversation, check, send
from shared.iso7816.status import SW
from shared.iso7816.tlv import Reader, encode, unwrap
from shared.piv.ids import Algorithm, Ins, PinPolicyId, Slot, TouchPolicyId
from shared.piv.padding import FIELD_LENGTH, raw_block
from shared.piv.publickey import TEMPLATE, PublicKey, algorithm_of, point_of, read_public_key

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey | X25519PrivateKey

_AUTHENTICATION: Final = 0x7C
_CHALLENGE, _RESPONSE, _EXPONENTIATION = 0x81, 0x82, 0x85
_GENERATION: Final = 0xAC
_PIN_POLICY, _TOUCH_POLICY = 0xAA, 0xAB
_P, _Q, _DP, _DQ, _QINV, _SCALAR, _ED25519, _X25519 = range(1, 9)
_WHAT: Final = "GENERAL AUTHENTICATE"
_REFUSED_ALGORITHM: Final = frozenset({SW.INCORRECT_DATA, SW.INCORRECT_PARAMETERS, SW.WRONG_PARAMETERS})
_DELETED: Final = 0xFF
"""Where MOVE KEY moves a key that is to be deleted."""

_SHARED_SECRET_LENGTH: Final = {Algorithm.P256: 32, Algorithm.P384: 48, Algorithm.X25519: 32}

DIGESTS: Final[dict[Algorithm, tuple[Digest, int]]] = {
    Algorithm.RSA_2048: (Digest.PKCS1_SHA256, 256),
    Algorithm.RSA_3072: (Digest.PKCS1_SHA256, 384),
    Algorithm.RSA_4096: (Digest.PKCS1_SHA256, 512),
    Algorithm.P256: (Digest.SHA256, 32),
    Algorithm.P384: (Digest.SHA384, 48),
}
"""What the station makes of a text for each kind of key, and its length in bytes; Ed25519 takes the text itself."""


def generate_key(
    slot: Slot,
    algorithm: Algorithm,
    pin_policy: PinPolicyId = PinPolicyId.DEFAULT,
    touch_policy: TouchPolicyId = TouchPolicyId.DEFAULT,
) -> Conversation[PublicKey]:
    """Make a key pair on the card; what was in the slot is destroyed at once.

    Source: [SP 800-73-5] part 2, section 3.3.2; the policies are Yubico's and only sent when not *default*.
    Raises:
        NotAuthorised: the management key was not proved before.
        NotSupportedByCard: the card does not make such keys.
        CardMalformed: what it returned is no public key of this algorithm.
    """
    control = encode(0x80, bytes([algorithm])) + policy_fields(pin_policy, touch_policy)
    command = Command(
        ins=Ins.GENERATE_ASYMMETRIC,
        p2=slot,
        parts=(encode(_GENERATION, control),),
        le=0,
        label=f"GENERATE {algorithm.text} in {slot.text}",
    )
    responses = yield [command]
    if responses and responses[0].sw in _REFUSED_ALGORITHM:
        raise errors.NotSupportedByCard(what=command.label, sw=f"{responses[0].sw:04X}")
    check([command], responses)
    return read_public_key(algorithm, unwrap(TEMPLATE, responses[0].data, "public key"))


def to_be_signed(algorithm: Algorithm, content: bytes) -> ToBeSigned:
    """Say how a text is to be digested for a key of this kind: P-384 takes SHA-384, all others SHA-256.

    Raises:
        NotSupportedByCard: keys of this kind do not sign.
    """
    if not algorithm.can_sign:
        raise errors.NotSupportedByCard(what=f"signatures with {algorithm.text}")
    digest, length = DIGESTS.get(algorithm, (Digest.NONE, len(content)))
    return ToBeSigned(content=content, digest=digest, length=length)


def sign(slot: Slot, algorithm: Algorithm, text: ToBeSigned) -> Conversation[bytes]:
    """Have the key in `slot` sign a text that the station digests.

    Source: [SP 800-73-5] part 2, appendix A.3 (challenge in 81, response in 82).
    Raises:
        NotAuthorised: the PIN was not verified (for *always*: immediately) before.
        ObjectMissing: there is no key in the slot.
        CardMalformed: the response is no signature of this kind.
    """
    return (yield from _signed(slot, algorithm, text))


def sign_digest(slot: Slot, algorithm: Algorithm, digest: bytes) -> Conversation[bytes]:
    """Have the key in `slot` sign a digest, for log-ons, tools and tests: a station does not send this for a server.

    ECDSA digests are brought to the curve's size, RSA digests padded after [RFC 8017] 9.2 with the hash that their
    length tells; for Ed25519 `digest` is the whole text. Raises as `sign`.
    """
    return (yield from _signed(slot, algorithm, raw_block(algorithm, digest)))


def decrypt(slot: Slot, algorithm: Algorithm, ciphertext: bytes) -> Conversation[bytes]:
    """Apply an RSA key to a ciphertext of the modulus' length; the whole block comes back, still padded.

    Source: [SP 800-73-5] part 2, appendix A.4 (key management with RSA).
    Raises:
        NotAuthorised: the PIN was not verified before.
        Garbled: the ciphertext has not the modulus' length.
    """
    bits = algorithm.rsa_bits
    if bits is None or len(ciphertext) * 8 != bits:
        raise errors.Garbled(why=f"{len(ciphertext)} bytes are no ciphertext for {algorithm.text}")
    block = yield from _use(slot, algorithm, _CHALLENGE, ciphertext, sensitive=True)
    if len(block) != len(ciphertext):
        raise errors.CardMalformed(what=_WHAT, why="the plaintext has another length than the modulus")
    return block


def agree(slot: Slot, algorithm: Algorithm, peer: PublicKey) -> Conversation[bytes]:
    """Agree on a secret with `peer` by Diffie-Hellman on the slot's curve; the shared x-coordinate comes back.

    Source: [SP 800-73-5] part 2, appendix A.5 (exponentiation in 85); [SP 800-56A] 5.7.1.2.
    Raises:
        NotAuthorised: the PIN was not verified before.
        Garbled: `peer` is on another curve.
    """
    length = _SHARED_SECRET_LENGTH.get(algorithm)
    if length is None or algorithm_of(peer) is not algorithm:
        raise errors.Garbled(why=f"no key agreement between {algorithm.text} and the peer's key")
    point = point_of(peer)  # type: ignore[arg-type]  # RSA has no shared-secret length
    secret = yield from _use(slot, algorithm, _EXPONENTIATION, point, sensitive=True)
    if len(secret) != length:
        raise errors.CardMalformed(what=_WHAT, why=f"{len(secret)} bytes are no shared secret")
    return secret


def import_key(
    slot: Slot,
    key: PrivateKey,
    pin_policy: PinPolicyId = PinPolicyId.DEFAULT,
    touch_policy: TouchPolicyId = TouchPolicyId.DEFAULT,
) -> Conversation[None]:
    """Write a private key that was made elsewhere into a slot (vendor); what was there is destroyed.

    It crosses the station in clear: only for archived keys, and only after the card has proved itself.

    Raises:
        NotAuthorised: the management key was not proved before.
        NotSupportedByCard: no slot takes keys of this kind, or the card has no such command.
    """
    algorithm = algorithm_of(key.public_key())
    yield from send(
        Command(
            ins=Ins.IMPORT_KEY,
            p1=algorithm,
            p2=slot,
            parts=(_private_fields(algorithm, key), policy_fields(pin_policy, touch_policy)),
            sensitive=True,
            label=f"IMPORT {algorithm.text} into {slot.text}",
        )
    )


def move_key(source: Slot, destination: Slot) -> Conversation[None]:
    """Move a key to another slot, which must be empty (vendor, 5.7). Certificates stay where they are."""
    yield from send(
        Command(
            ins=Ins.MOVE_KEY, p1=destination, p2=source, label=f"MOVE KEY {source.text} to {destination.text}"
        )
    )


def delete_key(slot: Slot, *, missing_ok: bool = False) -> Conversation[None]:
    """Destroy the key in a slot (vendor, 5.7). Its certificate stays.

    With `missing_ok` a slot that is empty already is as it should be, and does not end the batch.

    Raises:
        NotSupportedByCard: the card has no such command.
        ObjectMissing: the slot is empty.
    """
    expect = frozenset({int(SW.OK), int(SW.REFERENCE_NOT_FOUND), int(SW.FILE_NOT_FOUND)})
    yield from send(
        Command(
            ins=Ins.MOVE_KEY,
            p1=_DELETED,
            p2=slot,
            label=f"DELETE KEY {slot.text}",
            expect=expect if missing_ok else ONLY_OK,
        )
    )


def attest(slot: Slot) -> Conversation[bytes]:
    """Have the card certify that it made the key in `slot` (vendor, 4.3); returns a DER certificate.

    Raises:
        NotSupportedByCard: the card has no such command.
        ObjectMissing: no key, or one that was imported.
    """
    command = Command(ins=Ins.ATTEST, p1=slot, le=0, label=f"ATTEST {slot.text}")
    responses = yield [command]
    if responses and responses[0].sw in {SW.INCORRECT_DATA, SW.CONDITIONS_NOT_SATISFIED}:
        # what YubiKeys say of an empty slot and of an imported key
        raise errors.ObjectMissing(command=command.label)
    check([command], responses)
    return responses[0].data


def policy_fields(pin_policy: PinPolicyId, touch_policy: TouchPolicyId) -> bytes:
    """Return the policy fields of GENERATE and IMPORT; nothing for *default*, which plain cards do not know."""
    fields = b""
    if pin_policy is not PinPolicyId.DEFAULT:
        fields += encode(_PIN_POLICY, bytes([pin_policy]))
    if touch_policy is not TouchPolicyId.DEFAULT:
        fields += encode(_TOUCH_POLICY, bytes([touch_policy]))
    return fields


def _signed(slot: Slot, algorithm: Algorithm, text: bytes | ToBeSigned) -> Conversation[bytes]:
    signature = yield from _use(slot, algorithm, _CHALLENGE, text, sensitive=False)
    _check_signature(algorithm, signature)
    return signature


def _use(
    slot: Slot, algorithm: Algorithm, tag: int, value: bytes | ToBeSigned, *, sensitive: bool
) -> Conversation[bytes]:
    """Apply the slot's private key to `value` and return what is in the response's 82."""
    length = len(value) if isinstance(value, bytes) else value.length
    request = encode(_RESPONSE, b"") + _opening(tag, b"", length)
    parts: tuple[Part, ...] = (_opening(_AUTHENTICATION, request, length), value)
    response = yield from send(
        Command(
            ins=Ins.GENERAL_AUTHENTICATE,
            p1=algorithm,
            p2=slot,
            parts=parts,
            le=0,
            sensitive=sensitive,
            label=f"GENERAL AUTHENTICATE {slot.text}",
        )
    )
    with Reader(response.data, _WHAT) as outer, outer.nested(_AUTHENTICATION) as inner:
        return inner.expect(_RESPONSE)


def _opening(tag: int, start: bytes, missing: int) -> bytes:
    """Encode the beginning of an element whose last `missing` bytes follow elsewhere."""
    whole = encode(tag, start + bytes(missing))
    return whole[: len(whole) - missing]


def _check_signature(algorithm: Algorithm, signature: bytes) -> None:
    """Make sure that the card's answer has the form of a signature; whether it is right, its user verifies."""
    if algorithm.rsa_bits:
        good = len(signature) * 8 == algorithm.rsa_bits
    elif algorithm is Algorithm.ED25519:
        good = len(signature) == 64
    else:
        try:
            decode_dss_signature(signature)
        except ValueError as cause:
            raise errors.CardMalformed(what=_WHAT, why="no ECDSA signature") from cause
        good = True
    if not good:
        raise errors.CardMalformed(
            what=_WHAT, why=f"{len(signature)} bytes are no {algorithm.text} signature"
        )


def _private_fields(algorithm: Algorithm, key: PrivateKey) -> bytes:
    """Return the private key's parts: the five of RSA's remainder form, or one scalar."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        half = key.key_size // 16
        parts = (numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp)
        return b"".join(encode(tag, part.to_bytes(half, "big")) for tag, part in enumerate(parts, start=_P))
    if isinstance(key, ec.EllipticCurvePrivateKey):
        scalar = key.private_numbers().private_value
        return encode(_SCALAR, scalar.to_bytes(FIELD_LENGTH[algorithm], "big"))
    return encode(_ED25519 if isinstance(key, Ed25519PrivateKey) else _X25519, key.private_bytes_raw())
