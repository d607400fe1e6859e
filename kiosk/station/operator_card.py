"""What an operator's card is asked: who it is for, and to sign one text that logs its operator on.

The key in 9A signs a `LogonText` that was compared field by field, and nothing else: no other value fits the one function
here that signs. The card is reset before a person is waited for, and afterwards; nothing is verified in it by then.
A wrong PIN costs a try at the card; the server does not hear of it.

Sources: [SP 800-73-5] part 1, section 3.1.3 (9A, its certificate), part 2, sections 3.2.1 and 3.2.4; card-rules 1 and 7.
"""

import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kiosk.ports import Readers
from kiosk.station.converse import converse
from kiosk.station.faces import Person
from kiosk.station.pins import HeldPins, PinKind
from shared import errors
from shared.credential.pins import PIN_FIELD_LENGTH
from shared.iso7816.apdu import Hole
from shared.iso7816.conversation import Conversation, send
from shared.iso7816.tlv import encode
from shared.logon import LogonText, logon_digest, verify_logon
from shared.piv.certificate import CertificateContainer
from shared.piv.data import container_tag, get_data, read_optional
from shared.piv.ids import Algorithm, ObjectId, Slot
from shared.piv.keys import sign_digest
from shared.piv.pin import pin_tries, verify_pin
from shared.piv.publickey import algorithm_of
from shared.piv.select import fresh
from shared.relay import Purpose, Question
from shared.secret import Secret
from shared.sessions import LogonProof

FEW_TRIES: Final = 3
"""With fewer tries left than this, the operator decides."""

_SLOT: Final = Slot.AUTHENTICATION
_PIN: Final = "pin"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorCard:
    """A card with a certificate in 9A. `chuid` and `container` are as on the card, `certificate` and `public_key` DER."""

    reader: str
    chuid: bytes | None
    container: bytes
    certificate: bytes
    public_key: bytes
    algorithm: Algorithm


async def read_operator_card(readers: Readers, reader: str) -> OperatorCard:
    """Read whose card it might be; the server knows whether it is.

    Raises:
        LogonRefused: there is no certificate in 9A, or its key signs nothing.
        NotPivCard, CardLost, CardMissing, DeviceError: card or reader.
    """
    async with readers.session(reader) as session:
        chuid, container = await converse(fresh(_read()), session)
    if container is None:
        raise errors.LogonRefused
    certificate = CertificateContainer.from_bytes(container).certificate
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
        public_key = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        algorithm = algorithm_of(key)  # type: ignore[arg-type]  # another kind of key has no curve
    except (ValueError, UnsupportedAlgorithm, AttributeError, errors.NotSupportedByCard) as cause:
        raise errors.LogonRefused from cause
    if not algorithm.can_sign or algorithm is Algorithm.ED25519:  # see `shared.logon`
        raise errors.LogonRefused
    return OperatorCard(
        reader=reader,
        chuid=chuid,
        container=container,
        certificate=certificate,
        public_key=public_key,
        algorithm=algorithm,
    )


async def prove_operator(
    readers: Readers, card: OperatorCard, person: Person, challenge: Callable[[], Awaitable[LogonText]]
) -> LogonProof:
    """Ask for the PIN until the card takes it, and have it sign what `challenge` returns, which is asked for each time.

    Raises:
        Cancelled: the operator stopped.
        PinBlocked: no tries are left.
        CardChanged, CardLost, CardMissing, DeviceError: the card is another one, or gone.
        CardNotGenuine: its key is not its certificate's.
        KioskError: whatever `challenge` raised; nothing was signed.
    """
    agreed = FEW_TRIES
    problem: errors.KioskError | None = None
    while True:
        left = await _tries(readers, card)
        if left == 0:
            raise errors.PinBlocked
        if left is not None and left < agreed:
            if not await person.confirm_few_tries(left):
                raise errors.Cancelled(question=Question.CONFIRM.value)
            agreed = left
        with _held(await _typed(person, left, problem)) as pins:
            text = await challenge()
            problem = None
            try:
                signature = await _signed(readers, card, text, pins, agreed)
            except errors.PinRejected as rejected:
                problem = rejected
                continue
        if signature is not None:
            return _checked(card, text, signature)


async def _tries(readers: Readers, card: OperatorCard) -> int | None:
    async with readers.session(card.reader) as session:
        return await converse(fresh(_tries_left(), chuid=card.chuid), session)


async def _typed(person: Person, left: int | None, problem: errors.KioskError | None) -> Secret:
    """Ask until the value has the form of a PIN."""
    while True:
        pin = await person.current_pin(left, problem)
        if pin is None or pin.wiped:
            raise errors.Cancelled(question=Question.CURRENT_PIN.value)
        if 0 < len(pin.reveal()) <= PIN_FIELD_LENGTH:
            return pin
        pin.wipe()
        problem = errors.PinPolicyViolated(rule="length")


@contextmanager
def _held(pin: Secret) -> Iterator[HeldPins]:
    """Hold a PIN for one use, and wipe it whatever happens."""
    pins = HeldPins(secrets.randbelow)
    pins.keep(_PIN, pin, kind=PinKind.CURRENT, purpose=Purpose.PROVE, uses=1)
    try:
        yield pins
    finally:
        pins.wipe()


async def _signed(
    readers: Readers, card: OperatorCard, text: LogonText, pins: HeldPins, agreed: int
) -> bytes | None:
    """Have the card sign; None where fewer tries are left by now than the operator agreed to."""
    async with readers.session(card.reader) as session:
        return await converse(fresh(_sign(card, text, agreed), chuid=card.chuid), session, pins)


# --- conversations --------------------------------------------------------------------------------------


def _read() -> Conversation[tuple[bytes | None, bytes | None]]:
    chuid = yield from read_optional(ObjectId.CHUID)
    container = yield from read_optional(_SLOT.certificate_object)
    return chuid, container


def _tries_left() -> Conversation[int | None]:
    try:
        return (yield from pin_tries())
    except errors.UnexpectedStatus:
        return None  # the card does not tell


def _sign(card: OperatorCard, text: LogonText, agreed: int) -> Conversation[bytes | None]:
    """Make sure that it is the same card with as many tries, prove the PIN, and sign at once."""
    same = encode(container_tag(_SLOT.certificate_object), card.container)
    yield from send(get_data(_SLOT.certificate_object, answer=same))
    left = yield from _tries_left()
    if left is not None and left < agreed:
        return None
    yield from verify_pin(Hole(name=_PIN))
    return (yield from sign_digest(_SLOT, card.algorithm, logon_digest(card.algorithm, bytes(text))))


def _checked(card: OperatorCard, text: LogonText, signature: bytes) -> LogonProof:
    content = bytes(text)
    try:
        verify_logon(card.public_key, content, signature)
    except InvalidSignature as cause:
        raise errors.CardNotGenuine(why="the key in 9A is not that of its certificate") from cause
    return LogonProof(text=content, certificate=card.certificate, signature=signature)
