"""The virtual card as a reader sees it: power, command APDUs, responses.

Below the PIV application this module does what ISO 7816-4 asks of any card: command chaining, GET RESPONSE,
the expected length. It honours a short Le exactly: Le bytes and 61xx, which OpenSC insists on; without Le
it sends what there is, as YubiKeys do.

Sources: [ISO 7816-4] 5.1 to 5.3 and 11.7.1; [SP 800-73-5] part 2, section 3.1.1 (SELECT).
"""

import time
from collections.abc import Callable
from typing import Final, Self

from shared import errors
from shared.iso7816.apdu import CHAINING_BIT, EXTENDED_LE_MAX, SHORT_LE_MAX, Apdu, decode
from shared.iso7816.status import SW
from shared.piv.ids import PIV_AID, PIV_AID_TRUNCATED, Ins, ProfileName
from shared.virtual import authenticate, keys, objects, pins, vendor
from shared.virtual.applet import Applet, Handler, KeySource, RandomSource
from shared.virtual.factory import manufacture
from shared.virtual.faults import FaultKind, FaultScript
from shared.virtual.memory import Memory
from shared.virtual.profiles import PROFILES, VirtualProfile
from shared.virtual.security import Refused
from shared.virtual.tlv import put

HANDLERS: Final[dict[int, Handler]] = {
    Ins.VERIFY: pins.verify,
    Ins.CHANGE_REFERENCE_DATA: pins.change,
    Ins.RESET_RETRY_COUNTER: pins.reset_retry_counter,
    Ins.GENERATE_ASYMMETRIC: keys.generate,
    Ins.GENERAL_AUTHENTICATE: authenticate.general_authenticate,
    Ins.GET_DATA: objects.get_data,
    Ins.PUT_DATA: objects.put_data,
    Ins.MOVE_KEY: keys.move_key,
    Ins.GET_METADATA: vendor.get_metadata,
    Ins.GET_SERIAL: vendor.get_serial,
    Ins.ATTEST: vendor.attest,
    Ins.SET_PIN_RETRIES: pins.set_pin_retries,
    Ins.RESET: pins.reset,
    Ins.GET_VERSION: vendor.get_version,
    Ins.IMPORT_KEY: keys.import_key,
    Ins.SET_MANAGEMENT_KEY: vendor.set_management_key,
}
"""Every command of the PIV application; a profile says which of them its card knows."""

_SELECT_BY_NAME: Final = (0x04, 0x00)
_OK: Final = int(SW.OK).to_bytes(2, "big")


class VirtualCard:
    """A PIV card in memory.

    One thread at a time. `random` gives challenges, witnesses and identifiers; `key_source` makes the keys;
    `wait` is what a DELAY fault waits with; `cpu_clock` measures what the card itself costs.

    `faults` may be armed at any time. `commands` counts physical commands, `busy_seconds` the processor time
    spent in them (delays excluded where `cpu_clock` counts processor time).
    """

    def __init__(
        self,
        memory: Memory,
        *,
        random: RandomSource,
        key_source: KeySource = keys.generate_key,
        wait: Callable[[float], None] = time.sleep,
        cpu_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        """Give power to nothing yet: the card lies on the table until `power_on`."""
        self._applet = Applet(
            profile=PROFILES[memory.profile], memory=memory, random=random, key_source=key_source
        )
        self._wait = wait
        self._cpu_clock = cpu_clock
        self._present = True
        self._powered = False
        self._selected = False
        self._chain: tuple[tuple[int, int, int], bytearray] | None = None
        self._unsent = b""
        self.faults = FaultScript()
        self.commands = 0
        self.busy_seconds = 0.0

    @classmethod
    def new(
        cls,
        profile: ProfileName,
        *,
        serial: int,
        random: RandomSource,
        key_source: KeySource = keys.generate_key,
    ) -> Self:
        """Return a card fresh from the factory."""
        memory = manufacture(PROFILES[profile], serial=serial, random=random, key_source=key_source)
        return cls(memory, random=random, key_source=key_source)

    @property
    def memory(self) -> Memory:
        """What the card keeps without power; a new value after every command that changed something."""
        return self._applet.memory

    @property
    def profile(self) -> VirtualProfile:
        """What the card can do."""
        return self._applet.profile

    @property
    def atr(self) -> bytes:
        """The answer to reset."""
        return self._applet.profile.atr

    @property
    def present(self) -> bool:
        """Whether the card is in the reader; a fault may have pulled it."""
        return self._present

    def insert(self) -> None:
        """Put the card (back) into a reader, without power."""
        self._present = True
        self.power_off()

    def pull(self) -> None:
        """Take the card out: it answers nothing until `insert`."""
        self.power_off()
        self._present = False

    def power_on(self) -> bytes:
        """Give power and return the ATR; every security status is as after a reset."""
        if not self._present:
            return b""
        self.power_off()
        self._powered = True
        return self.atr

    def power_off(self) -> None:
        """Take the power away; everything that is not in `memory` is lost."""
        self._powered = self._selected = False
        self._chain = None
        self._unsent = b""
        self._applet.security.forget()

    def reset(self) -> bytes:
        """Reset the card and return the ATR; nothing but `memory` survives."""
        return self.power_on()

    def transmit(self, raw_apdu: bytes) -> bytes:
        """Execute one physical command; the response ends with a status word, or is empty: the card is gone."""
        if not self._powered:
            return b""
        self.commands += 1
        begun = self._cpu_clock()
        try:
            if self.faults:
                return self._with_faults(raw_apdu)
            return self._physical(raw_apdu)
        finally:
            self.busy_seconds += self._cpu_clock() - begun

    def _with_faults(self, raw: bytes) -> bytes:
        """Execute a command that something may happen to."""
        due = self.faults.due(raw)
        for fault in due:
            match fault.kind:
                case FaultKind.DELAY:
                    self._wait(fault.seconds)
                case FaultKind.STATUS:
                    return fault.sw.to_bytes(2, "big")
                case FaultKind.COMMAND_LOST:
                    self.pull()
                    return b""
                case _:
                    pass  # a lost response comes after the command
        response = self._physical(raw)
        if any(fault.kind is FaultKind.RESPONSE_LOST for fault in due):
            self.pull()
            return b""
        return response

    def _physical(self, raw: bytes) -> bytes:
        """Collect chains, execute, and cut the response to the expected length."""
        try:
            apdu = decode(raw)
        except errors.Garbled:
            self._chain = None
            return _status(SW.WRONG_LENGTH)
        if apdu.ins == Ins.GET_RESPONSE and apdu.cla == 0x00:
            return self._rest(apdu)
        self._unsent = b""
        try:
            whole = self._collect(apdu)
            data = b"" if whole is None else self._execute(whole)
        except Refused as refused:
            return _status(refused.sw)
        return self._answer(data, apdu) if data else _OK

    def _collect(self, apdu: Apdu) -> Apdu | None:
        """Join the blocks of a chain; None while more are to come.

        A chain that another command interrupts is forgotten, and that command stands alone.
        """
        if apdu.cla & ~CHAINING_BIT:
            self._chain = None
            raise Refused(SW.SECURE_MESSAGING_NOT_SUPPORTED if apdu.cla & 0x0C else SW.CLASS_NOT_SUPPORTED)
        head = (apdu.ins, apdu.p1, apdu.p2)
        chain, self._chain = self._chain, None
        collected = chain[1] if chain is not None and chain[0] == head else bytearray()
        profile = self._applet.profile
        if (apdu.extended and not profile.extended) or len(collected) + len(apdu.data) > profile.max_command:
            raise Refused(SW.WRONG_LENGTH)
        if apdu.cla & CHAINING_BIT:
            collected += apdu.data
            self._chain = (head, collected)
            return None
        if not collected:
            return apdu
        return Apdu(apdu.cla, *head, bytes(collected) + apdu.data, apdu.le, apdu.extended)

    def _execute(self, apdu: Apdu) -> bytes:
        """Execute one whole command.

        Raises:
            Refused: the status word where it is not 9000.
        """
        if apdu.ins == Ins.SELECT:
            return self._select(apdu)
        if not self._selected:
            raise Refused(SW.COMMAND_NOT_ALLOWED)
        handler = HANDLERS.get(apdu.ins)
        if handler is None or apdu.ins not in self._applet.profile.instructions:
            raise Refused(SW.INSTRUCTION_NOT_SUPPORTED)
        security = self._applet.security
        if apdu.ins != Ins.GENERAL_AUTHENTICATE:
            security.pending = None
            security.pin_just_now = False
        try:
            return handler(self._applet, apdu)
        finally:
            if apdu.ins != Ins.VERIFY:
                security.pin_just_now = False

    def _select(self, apdu: Apdu) -> bytes:
        """Select the PIV application; there is no other on this card."""
        if (apdu.p1, apdu.p2) != _SELECT_BY_NAME:
            raise Refused(SW.INCORRECT_PARAMETERS)
        if not (PIV_AID.startswith(apdu.data) and apdu.data.startswith(PIV_AID_TRUNCATED)):
            raise Refused(SW.FILE_NOT_FOUND)
        security = self._applet.security
        security.pending = None
        security.pin_just_now = False
        if not self._selected or self._applet.profile.reselect_clears:
            security.forget()
        self._selected = True
        return _property_template(self._applet.profile)

    def _answer(self, data: bytes, apdu: Apdu) -> bytes:
        """Return as much of the data as was asked for, and keep the rest for GET RESPONSE."""
        limit = apdu.le or (EXTENDED_LE_MAX if apdu.extended else SHORT_LE_MAX)
        self._unsent = data[limit:]
        return data[:limit] + self._more()

    def _rest(self, apdu: Apdu) -> bytes:
        """GET RESPONSE: return what the last command left."""
        if not self._unsent or apdu.p1 or apdu.p2 or apdu.data:
            self._unsent = b""
            return _status(SW.CONDITIONS_NOT_SATISFIED)
        return self._answer(self._unsent, apdu)

    def _more(self) -> bytes:
        """Return 9000, or 61xx while there is more (61 00: 256 bytes or more)."""
        left = len(self._unsent)
        return bytes((0x61, left if left < SHORT_LE_MAX else 0)) if left else _OK


def _status(sw: int) -> bytes:
    """Return a status word as two bytes."""
    return int(sw).to_bytes(2, "big")


def _property_template(profile: VirtualProfile) -> bytes:
    """Return the application property template ([SP 800-73-5] part 2, table 3)."""
    fields = put(0x4F, PIV_AID[5:]) + put(0x79, put(0x4F, PIV_AID_TRUNCATED))
    if profile.full_template:
        algorithms = b"".join(
            put(0x80, bytes((identifier,)))
            for identifier in sorted({*profile.management_algorithms, *profile.algorithms})
        )
        fields += put(0x50, b"PIV") + put(0xAC, algorithms + put(0x06, b"\0"))
    return put(0x61, fields)
