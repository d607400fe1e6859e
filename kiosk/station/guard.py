"""What a server may do with the holder's secrets, decided by the station.

The server drives the card, and it may be hostile or broken. Whatever it sends passes here first, and a batch
that breaks a rule is refused as a whole, before its first command goes out:

* A hole is filled only in VERIFY, CHANGE REFERENCE DATA and RESET RETRY COUNTER of the PIV PIN, only at the exact
  place of the PIN, only with a value of this operation, only as often as announced, and only where a refusal
  by the card ends the batch (so that a wrong PIN costs one try, not all of them).
* From the moment a hole is filled until the card is reset, only what the announced purpose needs goes to the
  card: never an authentication of the management key, a write or a generation.
* The server neither guesses nor chooses a PIN: it knows the PUK, and could open the card with a PIN of its own. The one
  PIN that it may set is the factory's, on a card that is given back; no private key of that card is used any more.
* The management key and a PIN are open together only for SET PIN RETRIES, which takes both; the PIN is then one that we
  drew, and that command comes next.
* The System Owner's unblock code, drawn or typed here, goes where a PUK goes and nowhere else: it is set with the first PIN,
  and used in the place of the server's where a new PIN is set.
* What a private key signs, whether a PIN is open or not, is a certificate request or a challenge that begins with
  our prefix, in full; the digest is computed here (`digests`), and it is the one that belongs to the kind of key.
* Classes and chains are made by the channel below: a command that comes with one of its own is refused.

`Guard` looks at commands; it neither asks nor sends. What was really sent is reported back with `sent`.

Sources: [SP 800-73-5] part 2, sections 3.2.1 to 3.2.4; [RFC 2986] 4.1.
"""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from kiosk.station.pins import HeldPin, HeldPins, PinKind
from kiosk.station.texts import why_not_signed
from shared import errors
from shared.credential.pins import PIN_FIELD_LENGTH, pad
from shared.iso7816.apdu import (
    ONLY_OK,
    ColdReset,
    Command,
    Hole,
    Item,
    ToBeSigned,
)
from shared.piv.ids import (
    FACTORY_PIN,
    PIV_AID,
    PIV_AID_TRUNCATED,
    Algorithm,
    Ins,
    KeyRef,
    Slot,
)
from shared.relay import OperationKind, Purpose

PURPOSES: Final[Mapping[OperationKind, Purpose | None]] = {
    OperationKind.ISSUE: Purpose.ISSUE,
    OperationKind.ACTIVATE: Purpose.ACTIVATE,
    OperationKind.CHANGE_PIN: Purpose.CHANGE_PIN,
    OperationKind.UNBLOCK: Purpose.UNBLOCK,
    OperationKind.REVOKE: Purpose.END,
    OperationKind.RETIRE: Purpose.END,
    OperationKind.UPDATE: Purpose.END,
    OperationKind.REGISTER: Purpose.END,
    OperationKind.RENEW: Purpose.PROVE,
    OperationKind.REISSUE: Purpose.PROVE,
    OperationKind.SUSPEND: Purpose.END,
    OperationKind.RESUME: Purpose.UNBLOCK,
    OperationKind.UNREGISTER: None,
    OperationKind.DELETE: Purpose.END,
}
"""The one purpose that a question of an operation may announce; None where no PIN is any of its business."""

_READING: Final = frozenset(
    {Ins.SELECT, Ins.GET_DATA, Ins.GET_METADATA, Ins.GET_VERSION, Ins.GET_SERIAL, Ins.ATTEST}
)
_PROVING: Final = _READING | {Ins.VERIFY, Ins.GENERAL_AUTHENTICATE}
_ALLOWED: Final = {
    Purpose.ISSUE: _PROVING,
    Purpose.ACTIVATE: _PROVING,
    Purpose.UNBLOCK: _PROVING,
    Purpose.PROVE: _PROVING,
    Purpose.END: _READING,
    # Both tell nothing but the tries that are left.
    Purpose.CHANGE_PIN: frozenset({Ins.CHANGE_REFERENCE_DATA, Ins.VERIFY, Ins.GET_METADATA}),
}
_DRAWN_FOR: Final = frozenset({Purpose.ISSUE, Purpose.END})
"""Where a PIN that nobody knows may take the place of the one on the card."""
_FACTORY_PIN_PROVEN: Final = frozenset(
    {OperationKind.ISSUE, OperationKind.REGISTER, OperationKind.UNREGISTER}
)
"""Where the card comes from the factory, or goes back to it."""
_HOLE_COMMANDS: Final = frozenset({Ins.VERIFY, Ins.CHANGE_REFERENCE_DATA, Ins.RESET_RETRY_COUNTER})

_FACTORY_FIELD: Final = pad(FACTORY_PIN)
"""The one PIN that a server may know: that of a card which nobody owns yet, or any more."""

_OPEN_BOTH: Final = "the management key is open; reset the card first"

_CURRENT_AT: Final = 0
_NEW_AT: Final = PIN_FIELD_LENGTH


@dataclass(frozen=True, slots=True, kw_only=True)
class _Power:
    """What the card was told since it was powered up."""

    piv_selected: bool = False
    management_key_used: bool = False
    open_for: Purpose | None = None
    """A hole was filled for this purpose: the holder's PIN may be verified."""
    typed: bool = False
    """It was a value that a person typed, not one that we drew."""
    retries_next: bool = False
    """A PIN that we drew was verified beside the management key: the retry counters are set, or nothing is done."""


class Guard:
    """Judge the batches of one operation."""

    def __init__(self, operation: OperationKind, pins: HeldPins) -> None:
        """Begin with a card that was just powered up."""
        self._operation = operation
        self._purpose = PURPOSES[operation]
        self._pins = pins
        self._power = _Power()
        self._items: tuple[Item, ...] = ()
        self._checked: tuple[_Power, ...] = ()

    def check_purpose(self, purpose: Purpose) -> None:
        """Refuse a question whose purpose is not that of the operation the person chose.

        Raises:
            HoleRefused: for example a PIN asked for issuing while the person changes the PIN.
        """
        if purpose is not self._purpose:
            raise errors.HoleRefused(command="ask", why=f"the purpose {purpose} is not this operation's")

    def check(self, items: Sequence[Item]) -> None:
        """Judge a whole batch before its first command is sent.

        Raises:
            HoleRefused: a rule of this module is broken; facts `command` and `why`.
        """
        states = [self._power]
        for item in items:
            states.append(self._after(states[-1], item))
        if states[-1].retries_next:
            raise errors.HoleRefused(command="batch", why=_OPEN_BOTH)
        wanted = Counter(hole.name for item in items if isinstance(item, Command) for hole in item.holes)
        for name, times in wanted.items():
            held = self._pins.find(name)
            if held is None or times > held.uses:
                raise errors.HoleRefused(command=name, why="more uses than announced")
        self._items, self._checked = tuple(items), tuple(states)

    def first_risk(self, items: Sequence[Item]) -> int | None:
        """Return where a batch first costs a try that matters, see `first_risk`: none on a card that is given back."""
        return None if self._operation is OperationKind.UNREGISTER else first_risk(items, self._pins)

    def sent(self, count: int, *, refused: bool = False) -> None:
        """Note how many items of the batch checked last really went to the card; `refused` speaks of the last."""
        self._power = self._checked[count]
        last = self._items[count - 1] if count else None
        if refused and isinstance(last, Command) and last.ins == Ins.SELECT:
            self._power = replace(self._power, piv_selected=False)

    def reset(self) -> None:
        """Note that the card lost its power and with it every status."""
        self._power = _Power()

    def _after(self, power: _Power, item: Item) -> _Power:
        """Return the state after an item, or refuse it."""
        if isinstance(item, ColdReset):
            return _Power()
        if (why := why_not_signed(item)) is not None:
            raise _refused(item, why)
        if power.retries_next and item.ins != Ins.SET_PIN_RETRIES:
            raise _refused(item, _OPEN_BOTH)
        if item.holes:
            return self._after_filling(power, item)
        self._check_without_hole(power, item)
        match item.ins:
            case Ins.SELECT:
                return replace(power, piv_selected=_selects_piv(item))
            case Ins.GENERAL_AUTHENTICATE if item.p2 == KeyRef.MANAGEMENT:
                return replace(power, management_key_used=True)
            case Ins.SET_PIN_RETRIES:
                return replace(power, retries_next=False)
        return power

    def _check_without_hole(self, power: _Power, command: Command) -> None:
        """Refuse a command that nothing is filled into, but that does what is not the server's to do."""
        if command.cla:
            raise _refused(command, "a class of the server's own")
        if power.open_for is not None:
            _check_while_open(power, command)
        self._check_own_pin(command)
        if command.ins == Ins.RESET and self._operation is not OperationKind.UNREGISTER:
            raise _refused(command, "the card is not given back")
        if command.ins == Ins.GENERAL_AUTHENTICATE and command.p2 != KeyRef.MANAGEMENT:
            self._check_private_key_use(power, command)

    def _after_filling(self, power: _Power, command: Command) -> _Power:
        """Return the state after a command with holes, or refuse it."""
        pins = _placed(command, self._pins)
        self._check_filling(power, command, pins)
        if command.ins == Ins.RESET_RETRY_COUNTER or command.p2 == KeyRef.PUK:
            return power  # sets the PIN, or the unblock code, and verifies nothing
        typed = power.typed or any(pin.kind is not PinKind.DRAWN for pin in pins.values())
        if power.management_key_used:
            if typed or command.ins != Ins.VERIFY:
                raise _refused(command, _OPEN_BOTH)
            return replace(power, retries_next=True)
        return replace(power, open_for=self._purpose, typed=typed)

    def _check_filling(self, power: _Power, command: Command, pins: Mapping[int, HeldPin]) -> None:
        """Refuse to fill in values at this moment of this operation."""
        if not power.piv_selected:
            raise _refused(command, "the PIV application was not selected since the last reset")
        if any(pin.purpose is not self._purpose and pin.kind is not PinKind.DRAWN for pin in pins.values()):
            raise _refused(command, "the value was asked for another purpose")
        if any(pin.kind is PinKind.DRAWN for pin in pins.values()) and self._purpose not in _DRAWN_FOR:
            raise _refused(command, "a drawn PIN would take the holder's card away")
        if power.open_for is not None and command.ins not in _ALLOWED[power.open_for]:
            raise _refused(command, f"not while a PIN is open for {power.open_for}")
        if self._purpose is Purpose.END and command.ins != Ins.RESET_RETRY_COUNTER:
            raise _refused(command, "a PIN that nobody knows is set, and used for nothing else")
        if self._purpose is Purpose.PROVE and command.ins != Ins.VERIFY:
            raise _refused(command, "the holder's PIN stays as it is")
        if self._purpose is Purpose.CHANGE_PIN and not _changes_or_proves_change(command):
            raise _refused(command, "a change of the PIN uses it for nothing else")
        if command.p2 == KeyRef.PUK and self._operation is not OperationKind.ACTIVATE:
            raise _refused(command, "the unblock code is set with the first PIN")
        if command.ins == Ins.CHANGE_REFERENCE_DATA and command.p2 == KeyRef.PIN and _CURRENT_AT not in pins:
            self._check_factory_pin(command, _leading_bytes(command))

    def _check_own_pin(self, command: Command) -> None:
        """Refuse a PIN of the server's own: guessed, or chosen so that the server can open the card."""
        if command.ins not in _HOLE_COMMANDS or not command.length:
            return  # an empty VERIFY asks for the tries that are left
        if command.ins == Ins.VERIFY:
            self._check_factory_pin(command, command.plain)
        elif command.ins == Ins.RESET_RETRY_COUNTER and self._operation is OperationKind.UNREGISTER:
            if (command.p1, command.p2) != (0, KeyRef.PIN) or command.plain[_NEW_AT:] != _FACTORY_FIELD:
                raise _refused(command, "the server would choose the PIN")
        elif command.ins == Ins.RESET_RETRY_COUNTER or command.p2 != KeyRef.PUK:
            raise _refused(command, "the server would choose the PIN")

    def _check_factory_pin(self, command: Command, value: bytes) -> None:
        """Let the server prove the factory's PIN of a card that is owned or given back; it guesses no other."""
        if self._operation not in _FACTORY_PIN_PROVEN or command.p2 != KeyRef.PIN or value != _FACTORY_FIELD:
            raise _refused(command, "the server tries a PIN of its own")
        if command.expect != ONLY_OK:
            raise _refused(command, "a wrong PIN would not end the batch")

    def _check_private_key_use(self, power: _Power, command: Command) -> None:
        """Let a private key sign texts that we know, and one that cannot sign agree on a key while it is issued."""
        if command.p2 not in set(Slot) - {Slot.ATTESTATION} or command.p1 not in set(Algorithm):
            raise _refused(command, "no private key of the holder is named")
        if any(isinstance(part, ToBeSigned) for part in command.parts):
            if self._operation is OperationKind.UNREGISTER:
                raise _refused(command, "a card that is given back uses no private key")
            return  # what it is and where it stands was checked before
        slot = Slot(command.p2)
        for_encryption = slot is Slot.KEY_MANAGEMENT or slot.retired
        proves = command.p1 == Algorithm.X25519 and for_encryption and self._purpose is Purpose.ISSUE
        if power.typed or not proves:
            raise _refused(command, "a digest or cipher text of the server's making")


def first_risk(items: Sequence[Item], pins: HeldPins) -> int | None:
    """Return where a batch first sends a PIN that may be wrong, and so may cost a try of one that a person knows.

    Values that the card took as its PIN, in this operation or earlier in this batch, are no risk; nor are transport
    PINs, which nobody types and the PUK heals.
    """
    safe: set[str] = set()
    for index, item in enumerate(items):
        if not isinstance(item, Command) or item.ins not in _HOLE_COMMANDS or item.p2 == KeyRef.PUK:
            continue
        if item.ins != Ins.RESET_RETRY_COUNTER and item.length:
            proof = item.parts[0]
            held = pins.find(proof.name) if isinstance(proof, Hole) else None
            known = held is not None and (held.on_card or held.kind is PinKind.DRAWN)
            if not known and not (isinstance(proof, Hole) and proof.name in safe):
                return index
        if item.ins != Ins.VERIFY and item.holes:
            safe.add(item.holes[-1].name)
    return None


def _changes_or_proves_change(command: Command) -> bool:
    """Whether the command changes the PIN, or verifies: the present one before, the new one after the change."""
    return command.ins in {Ins.CHANGE_REFERENCE_DATA, Ins.VERIFY}


def _placed(command: Command, pins: HeldPins) -> dict[int, HeldPin]:
    """Return the values by their offsets, or refuse a command that a hole has no place in."""
    if command.ins not in _HOLE_COMMANDS or command.cla or command.p1:
        raise _refused(command, "no PIN goes into this command")
    if command.expect != ONLY_OK:
        raise _refused(command, "a wrong PIN would not end the batch")
    offsets = _offsets(command)
    length = PIN_FIELD_LENGTH * (1 if command.ins == Ins.VERIFY else 2)
    if (
        not _fits(command, set(offsets))
        or command.length != length
        or any(hole.length != PIN_FIELD_LENGTH for hole in offsets.values())
    ):
        raise _refused(command, "the hole is not the PIN's place")
    placed: dict[int, HeldPin] = {}
    for offset, hole in offsets.items():
        held = pins.find(hole.name)
        if held is None:
            raise _refused(command, "nothing was asked for under this name")
        if (held.kind is PinKind.CODE) != _is_code(command, offset):
            raise _refused(command, "a PIN and the unblock code are swapped")
        new_at_its_place = offset == _NEW_AT or command.ins == Ins.VERIFY
        if (held.kind is PinKind.NEW and not new_at_its_place) or (
            held.kind is PinKind.CURRENT and offset == _NEW_AT
        ):
            raise _refused(command, "the present and the new PIN are swapped")
        placed[offset] = held
    return placed


def _fits(command: Command, at: set[int]) -> bool:
    """Whether holes may stand at these places of a command."""
    if command.ins == Ins.VERIFY:
        return command.p2 == KeyRef.PIN and at == {_CURRENT_AT}
    if command.ins == Ins.CHANGE_REFERENCE_DATA and command.p2 == KeyRef.PUK:
        return at == {_NEW_AT}
    # With a hole for the present PIN alone, the server would choose the holder's next one.
    return command.p2 == KeyRef.PIN and _NEW_AT in at and at <= {_CURRENT_AT, _NEW_AT}


def _is_code(command: Command, offset: int) -> bool:
    """Whether a PUK stands there: as what is to be, or in the place of the PIN that is not known."""
    if command.ins == Ins.CHANGE_REFERENCE_DATA:
        return command.p2 == KeyRef.PUK
    return command.ins == Ins.RESET_RETRY_COUNTER and offset == _CURRENT_AT


def _offsets(command: Command) -> dict[int, Hole]:
    offsets: dict[int, Hole] = {}
    at = 0
    for part in command.parts:
        if isinstance(part, Hole):
            offsets[at] = part
        at += len(part) if isinstance(part, bytes) else part.length
    return offsets


def _leading_bytes(command: Command) -> bytes:
    """Return what stands in front of the first hole."""
    leading = itertools.takewhile(lambda part: isinstance(part, bytes), command.parts)
    return b"".join(part for part in leading if isinstance(part, bytes))


def _check_while_open(power: _Power, command: Command) -> None:
    """Let pass what the purpose needs once the holder's PIN may be verified."""
    assert power.open_for is not None
    if command.ins not in _ALLOWED[power.open_for]:
        raise _refused(command, f"not while a PIN is open for {power.open_for}")
    match command.ins:
        case Ins.VERIFY if command.parts:
            raise _refused(command, "the server tries a PIN of its own")
        case Ins.CHANGE_REFERENCE_DATA:
            raise _refused(command, "the server would choose the PIN")
        case Ins.SELECT if not _selects_piv(command):
            raise _refused(command, "another application, with the PIN open")
        case Ins.GENERAL_AUTHENTICATE if command.p2 == KeyRef.MANAGEMENT:
            raise _refused(command, "no private key of the holder is named")


def _selects_piv(command: Command) -> bool:
    data = command.plain
    named = command.p1 == 0x04 and command.p2 == 0x00 and command.expect == ONLY_OK
    return named and len(data) >= len(PIV_AID_TRUNCATED) and PIV_AID.startswith(data)


def _refused(command: Command, why: str) -> errors.HoleRefused:
    return errors.HoleRefused(command=command.label, why=why)
