"""Write certificates, then read the card back cold: the last step of every operation that writes.

Reset, read every object, compare it with what was to be written, and have every key sign a fresh challenge
under the public key of its certificate. Only then does the record say *issued*.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from server.operations.proof import agrees, behind_pin, shows
from shared import errors
from shared.credential.possession import verify_signature
from shared.credential.template import CertificateSpec
from shared.iso7816.apdu import CHALLENGE_PREFIX, Hole
from shared.iso7816.conversation import Conversation, together
from shared.piv.data import read_object, read_optional, write_object
from shared.piv.ids import ObjectId, Slot
from shared.piv.keys import sign, to_be_signed
from shared.piv.management import ManagementKey, authenticated
from shared.piv.select import fresh

CHALLENGE_LENGTH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One key to be proven: its slot's spec, its certificate, and a fresh challenge."""

    spec: CertificateSpec
    certificate: bytes
    challenge: bytes


def probes(
    specs: Sequence[CertificateSpec], certificates: Mapping[Slot, bytes], random: Callable[[int], bytes]
) -> tuple[Probe, ...]:
    """Make a probe with a challenge of its own for every key."""
    return tuple(
        Probe(
            spec=spec,
            certificate=certificates[spec.slot],
            challenge=CHALLENGE_PREFIX + random(CHALLENGE_LENGTH),
        )
        for spec in specs
    )


def write_and_read_back(
    key: ManagementKey,
    objects: Mapping[ObjectId, bytes],
    expected: Mapping[ObjectId, bytes],
    keys: Sequence[Probe],
    hole: Hole,
    chuid: bytes,
    random: Callable[[int], bytes],
) -> Conversation[None]:
    """Write `objects`, reset, and check that the card holds `expected` and each key matches its certificate.

    Two round trips: the challenge of the management key; its answer, the writes and the whole read-back.

    Raises:
        ReadBackFailed: `what` is not as it should be.
        CardNotGenuine: the card did not prove the management key.
    """
    writes = [write_object(object_id, content) for object_id, content in objects.items()]
    back = fresh(read_back(expected, keys, hole, random), chuid=chuid)
    yield from fresh(authenticated(key, together(*writes, back), random), chuid=chuid)


def read_back(
    expected: Mapping[ObjectId, bytes],
    keys: Sequence[Probe],
    hole: Hole,
    random: Callable[[int], bytes],
    *,
    agreement: bool = True,
) -> Conversation[None]:
    """Check that the card holds `expected` and each key matches its certificate; `agreement` as in `proof`.

    Raises:
        ReadBackFailed: `what` is not as it should be.
    """
    reads = [read_object(object_id) for object_id in expected]
    proofs = [prove_key(probe, hole, random, agreement=agreement) for probe in keys]
    values = yield from together(*reads, *proofs)
    for object_id, found in zip(expected, values, strict=False):
        if found != expected[object_id]:
            raise errors.ReadBackFailed(what=object_id.name.lower().replace("_", "-"))


def nothing_left(objects: Sequence[ObjectId]) -> Conversation[None]:
    """Check that these objects are gone.

    Raises:
        ReadBackFailed: one is still there.
    """
    found = yield from together(*(read_optional(object_id) for object_id in objects))
    for object_id, content in zip(objects, found, strict=True):
        if content is not None:
            raise errors.ReadBackFailed(what=object_id.name.lower().replace("_", "-"))


def key_shown(slot: Slot, public_key: bytes) -> Conversation[None]:
    """Check that the card says that a key (DER) is in a slot; for one that is used no more.

    Raises:
        ReadBackFailed: it says something else.
    """
    key = load_der_public_key(public_key)
    if not (yield from shows(slot, key)):  # type: ignore[arg-type]  # kinds of slot keys only
        raise errors.ReadBackFailed(what=f"key-{slot.text}")


def prove_key(
    probe: Probe, hole: Hole, random: Callable[[int], bytes], *, agreement: bool = True
) -> Conversation[None]:
    """Have a key prove that it is the one in its certificate.

    Raises:
        ReadBackFailed: it is not.
    """
    public_key = x509.load_der_x509_certificate(probe.certificate).public_key()
    spec = probe.spec
    failed = errors.ReadBackFailed(what=f"key-{spec.slot.text}")
    if isinstance(public_key, X25519PublicKey):
        holds = agrees(spec, public_key, hole, random) if agreement else shows(spec.slot, public_key)
        if not (yield from holds):
            raise failed
        return
    text = to_be_signed(spec.algorithm, probe.challenge)
    signature = yield from behind_pin(spec, hole, sign(spec.slot, spec.algorithm, text))
    try:
        verify_signature(public_key, signature, probe.challenge)
    except InvalidSignature as cause:
        raise failed from cause
