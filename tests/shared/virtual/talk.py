"""A plain terminal for tests: builds commands by hand, so that the card is not judged by our own engine."""

import os
from collections.abc import Iterator

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from shared.piv.ids import FACTORY_MANAGEMENT_KEY, ManagementAlgorithm, ProfileName
from shared.virtual.card import VirtualCard

PIN = b"123456\xff\xff"
PUK = b"12345678"
SELECT = bytes.fromhex("00A4040005A00000030800")


def tlv(tag: int, value: bytes) -> bytes:
    head = tag.to_bytes((tag.bit_length() + 7) // 8, "big")
    size = len(value)
    if size < 128:
        return head + bytes((size,)) + value
    if size < 256:
        return head + bytes((0x81, size)) + value
    return head + b"\x82" + size.to_bytes(2, "big") + value


def parse(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        tag = data[at]
        at += 1
        more = tag & 0x1F == 0x1F
        while more:
            tag = tag << 8 | data[at]
            more = bool(tag & 0x80)
            at += 1
        size = data[at]
        at += 1
        if size >= 0x80:
            width = size & 0x7F
            size = int.from_bytes(data[at : at + width], "big")
            at += width
        yield tag, data[at : at + size]
        at += size
    assert at == len(data)


def inner(data: bytes, *tags: int) -> bytes:
    for tag in tags:
        data = dict(parse(data))[tag]
    return data


class Terminal:
    """Speaks to one card; keeps every physical exchange in `log`."""

    def __init__(self, card: VirtualCard, *, select: bool = True) -> None:
        self.card = card
        self.log: list[tuple[bytes, bytes]] = []
        card.power_on()
        if select:
            assert self.raw(SELECT)[1] == 0x9000

    def raw(self, apdu: bytes) -> tuple[bytes, int]:
        answer = self.card.transmit(apdu)
        self.log.append((apdu, answer))
        return answer[:-2], int.from_bytes(answer[-2:], "big")

    def call(self, head: str, data: bytes = b"", *, le: int | None = 0) -> tuple[bytes, int]:
        """Send a command of any length by chaining and fetch the whole answer."""
        header = bytes.fromhex(head)
        while len(data) > 255:
            linked = bytes((header[0] | 0x10,)) + header[1:]
            _, sw = self.raw(linked + b"\xff" + data[:255])
            if sw != 0x9000:
                return b"", sw
            data = data[255:]
        tail = b"" if le is None else bytes((le,))
        answer, sw = self.raw(header + (bytes((len(data),)) + data if data else b"") + tail)
        while sw >> 8 == 0x61:
            more, sw = self.raw(bytes((0, 0xC0, 0, 0, sw & 0xFF)))
            answer += more
        return answer, sw

    def ok(self, head: str, data: bytes = b"") -> bytes:
        answer, sw = self.call(head, data)
        assert sw == 0x9000, f"{sw:04X}"
        return answer

    def sw(self, head: str, data: bytes = b"") -> int:
        return self.call(head, data)[1]

    def verify(self, pin: bytes = PIN) -> int:
        return self.sw("00200080", pin)

    def manage(
        self,
        key: bytes = FACTORY_MANAGEMENT_KEY,
        algorithm: ManagementAlgorithm = ManagementAlgorithm.TDES,
    ) -> int:
        """Authenticate mutually; check the card's half as well."""
        head = f"0087{algorithm:02X}9B"
        witness = inner(self.ok(head, bytes.fromhex("7C028000")), 0x7C, 0x80)
        challenge = os.urandom(algorithm.block_length)
        answer, sw = self.call(
            head, tlv(0x7C, tlv(0x80, crypt(key, algorithm, witness, encrypt=False)) + tlv(0x81, challenge))
        )
        if sw == 0x9000:
            assert inner(answer, 0x7C, 0x82) == crypt(key, algorithm, challenge, encrypt=True)
        return sw

    def generate(self, slot: int, algorithm: int, extra: bytes = b"") -> bytes:
        """Make a key; return the public key's TLVs."""
        return inner(self.ok(f"004700{slot:02X}", tlv(0xAC, tlv(0x80, bytes((algorithm,))) + extra)), 0x7F49)

    def use(self, slot: int, algorithm: int, data: bytes, tag: int = 0x81) -> tuple[bytes, int]:
        """Sign, decrypt (81) or agree (85)."""
        answer, sw = self.call(f"0087{algorithm:02X}{slot:02X}", tlv(0x7C, tlv(0x82, b"") + tlv(tag, data)))
        return (inner(answer, 0x7C, 0x82) if sw == 0x9000 else b""), sw


def crypt(key: bytes, algorithm: ManagementAlgorithm, block: bytes, *, encrypt: bool) -> bytes:
    cipher = Cipher(TripleDES(key) if algorithm is ManagementAlgorithm.TDES else AES(key), modes.ECB())
    context = cipher.encryptor() if encrypt else cipher.decryptor()
    return context.update(block) + context.finalize()


def new_card(profile: ProfileName = ProfileName.YUBIKEY_5_4, serial: int = 20_114_501) -> VirtualCard:
    return VirtualCard.new(profile, serial=serial, random=os.urandom)


def opened(profile: ProfileName = ProfileName.YUBIKEY_5_4) -> Terminal:
    """A new card with 9B open."""
    terminal = Terminal(new_card(profile))
    algorithm = terminal.card.profile.factory_management
    assert terminal.manage(algorithm=algorithm) == 0x9000
    return terminal
