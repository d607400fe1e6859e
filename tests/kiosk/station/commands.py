"""Commands as a server sends them, built from the standard, and a bench of values for holes."""

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kiosk.station.pins import HeldPins, PinKind
from shared.iso7816.apdu import ANY_STATUS, CHALLENGE_PREFIX, Command, Digest, Hole, ToBeSigned
from shared.piv.ids import PIV_AID_TRUNCATED, Algorithm, Ins, KeyRef, Slot
from shared.relay import Purpose
from shared.secret import Secret

FACTORY_FIELD = b"123456\xff\xff"
PUK_FIELD = b"87654321"
CHALLENGE = ToBeSigned(content=CHALLENGE_PREFIX + bytes(32), digest=Digest.SHA256, length=32)

SELECT = Command(ins=Ins.SELECT, label="select PIV", p1=0x04, parts=(PIV_AID_TRUNCATED,), le=0)
SELECT_OTHER = Command(
    ins=Ins.SELECT, label="select other", p1=0x04, parts=(bytes.fromhex("A000000151000000"),), le=0
)
READ_CHUID = Command(
    ins=Ins.GET_DATA, label="read CHUID", p1=0x3F, p2=0xFF, parts=(bytes.fromhex("5C035FC102"),), le=0
)


def verify(name: str = "pin", p2: int = KeyRef.PIN, *parts: bytes | Hole) -> Command:
    return Command(ins=Ins.VERIFY, label="verify", p2=p2, parts=parts or (Hole(name=name),), sensitive=True)


def verify_plain(pin: bytes = FACTORY_FIELD) -> Command:
    return Command(ins=Ins.VERIFY, label="verify", p2=KeyRef.PIN, parts=(pin,), sensitive=True)


def tries() -> Command:
    return Command(ins=Ins.VERIFY, label="tries left", p2=KeyRef.PIN, expect=ANY_STATUS)


def change(*parts: bytes | Hole, p2: int = KeyRef.PIN) -> Command:
    return Command(ins=Ins.CHANGE_REFERENCE_DATA, label="change PIN", p2=p2, parts=parts, sensitive=True)


def unblock(*parts: bytes | Hole, p2: int = KeyRef.PIN) -> Command:
    return Command(ins=Ins.RESET_RETRY_COUNTER, label="reset PIN", p2=p2, parts=parts, sensitive=True)


def sign(text: ToBeSigned = CHALLENGE, slot: int = Slot.AUTHENTICATION) -> Command:
    inner = bytes((0x82, 0x00, 0x81, text.length))
    return Command(
        ins=Ins.GENERAL_AUTHENTICATE,
        label="sign",
        p1=Algorithm.P256,
        p2=slot,
        parts=(bytes((0x7C, len(inner) + text.length)) + inner, text),
        le=0,
    )


def agree(slot: int = Slot.KEY_MANAGEMENT, algorithm: Algorithm = Algorithm.X25519) -> Command:
    point = bytes(32) if algorithm is Algorithm.X25519 else b"\x04" + bytes(64)
    length = len(point)
    data = bytes((0x7C, length + 4, 0x82, 0x00, 0x85, length)) + point
    return Command(ins=Ins.GENERAL_AUTHENTICATE, label="ECDH", p1=algorithm, p2=slot, parts=(data,), le=0)


def sign_digest(slot: int = Slot.AUTHENTICATION) -> Command:
    data = bytes((0x7C, 36, 0x82, 0x00, 0x81, 32)) + bytes(32)
    return Command(
        ins=Ins.GENERAL_AUTHENTICATE, label="sign", p1=Algorithm.P256, p2=slot, parts=(data,), le=0
    )


def authenticate_management() -> Command:
    return Command(
        ins=Ins.GENERAL_AUTHENTICATE,
        label="authenticate",
        p1=0x0A,
        p2=KeyRef.MANAGEMENT,
        parts=(bytes.fromhex("7C028000"),),
        le=0,
    )


def put_data() -> Command:
    return Command(
        ins=Ins.PUT_DATA, label="write", p1=0x3F, p2=0xFF, parts=(bytes.fromhex("5C035FC1025300"),)
    )


def request_info() -> bytes:
    """A real CertificationRequestInfo, cut out of a request that was signed by `cryptography`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Bob Smith")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    assert request.public_bytes(serialization.Encoding.DER)
    return request.tbs_certrequest_bytes


def held(purpose: Purpose = Purpose.ISSUE, kind: PinKind = PinKind.DRAWN, uses: int = 9) -> HeldPins:
    """Hold `pin` of this kind, and `current` and `new` as a person types them."""
    pins = HeldPins(lambda below: 7 % below)
    pins.keep("pin", Secret(b"739184"), kind=kind, purpose=purpose, uses=uses)
    pins.keep("current", Secret(b"111222"), kind=PinKind.CURRENT, purpose=purpose, uses=uses)
    pins.keep("new", Secret(b"918273"), kind=PinKind.NEW, purpose=purpose, uses=uses)
    return pins
