"""Who answers an operation's questions on the command line: a person at a prompt, or a file descriptor.

A PIN never comes from an argument or from the environment: others on the machine can read both.
"""

import asyncio
import os
import sys
import termios
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from kiosk.station import wording
from shared.credential.pins import PIN_FIELD_LENGTH, PinPolicy
from shared.errors import KioskError
from shared.relay import Question
from shared.secret import Secret

_LINE_MAX: Final = 256
_ENTER: Final = frozenset({0x0A, 0x0D, 0x04})
_RUBOUT: Final = frozenset({0x08, 0x7F})
_BULLET: Final = b"\xe2\x80\xa2"


class TerminalPerson:
    """A person at the terminal. Typed characters show as dots; Enter without any stops."""

    def __init__(
        self, say: Callable[[str], None], read: Callable[[str], Secret | None] | None = None
    ) -> None:
        """Speak through `say`; `read` shows a prompt and returns what was typed (None: nothing)."""
        self._say = say
        self._read = read or read_masked

    async def new_pin(self, policy: PinPolicy, problem: KioskError | None) -> Secret | None:
        """Ask for a new PIN, twice."""
        self._complain(problem)
        rules = "; ".join((wording.characters(policy.characters), *wording.pin_rules(policy)))
        self._say(f"{rules[0].upper()}{rules[1:]}.")
        prompt = f"{wording.question(Question.NEW_PIN)} ({policy.min_length} to {policy.max_length})"
        while True:
            first = await asyncio.to_thread(self._read, f"{prompt}: ")
            if first is None:
                return None
            second = await asyncio.to_thread(self._read, "The same again: ")
            same = second is not None and first == second
            if second is not None:
                second.wipe()
            if same:
                return first
            first.wipe()
            self._say("The two are not the same.")

    async def current_pin(self, tries_left: int | None, problem: KioskError | None) -> Secret | None:
        """Ask for the present PIN."""
        self._complain(problem)
        left = "" if tries_left is None else f" ({wording.tries(tries_left)})"
        return await asyncio.to_thread(self._read, f"{wording.question(Question.CURRENT_PIN)}{left}: ")

    async def confirm_few_tries(self, tries_left: int) -> bool:
        """Ask whether to go on; only the word yes is a yes."""
        self._say(f"{wording.question(Question.CONFIRM, {'tries_left': tries_left})} Type yes to go on.")
        answer: str = await asyncio.to_thread(sys.stdin.readline)
        return answer.strip().casefold() == "yes"

    async def keep_code(self, code: Secret) -> bool:
        """Show the unblock code, and have it typed again once it is gone from the screen."""
        for line in wording.CODE_SHOWN:
            self._say(line)
        digits = code.reveal().decode()
        if not await asyncio.to_thread(show_once, f"  {digits[:4]} {digits[4:]}  "):
            return False
        while True:
            again = await asyncio.to_thread(self._read, f"{wording.CODE_AGAIN}: ")
            if again is None:
                return False
            same = again.reveal().replace(b" ", b"") == code.reveal()
            again.wipe()
            if same:
                return True
            self._say("This is not the code.")

    async def present_code(self) -> Secret | None:
        """Ask for the unblock code."""
        return await asyncio.to_thread(self._read, f"{wording.question(Question.PRESENT_CODE)}: ")

    def _complain(self, problem: KioskError | None) -> None:
        if problem is not None:
            self._say(wording.failure(problem))


class GivenPerson:
    """A script: each PIN comes once from a file descriptor, and is not given again after a refusal."""

    def __init__(
        self,
        say: Callable[[str], None],
        *,
        pin_fd: int | None = None,
        new_pin_fd: int | None = None,
        code_fd: int | None = None,
        keep_code_fd: int | None = None,
    ) -> None:
        """Read the present PIN from `pin_fd` and the new one from `new_pin_fd`, when they are asked for.

        The System Owner's unblock code is read from `code_fd`, and a new one written to `keep_code_fd`.

        Why a PIN was refused is said through `say`: the operation ends as cancelled, because there is no other one.
        """
        self._say = say
        self._pin_fd = pin_fd
        self._new_pin_fd = new_pin_fd
        self._code_fd = code_fd
        self._keep_code_fd = keep_code_fd

    async def new_pin(self, policy: PinPolicy, problem: KioskError | None) -> Secret | None:  # noqa: ARG002  # checked by the relay
        """Give the new PIN, once."""
        return await self._give(self._new_pin_fd, problem)

    async def current_pin(self, tries_left: int | None, problem: KioskError | None) -> Secret | None:  # noqa: ARG002  # nobody to show it to
        """Give the present PIN, once."""
        return await self._give(self._pin_fd, problem)

    async def confirm_few_tries(self, tries_left: int) -> bool:
        """Say no, and why: a script never risks the last tries."""
        self._say(wording.too_few_tries(tries_left))
        return False

    async def keep_code(self, code: Secret) -> bool:
        """Write the code to its file descriptor; it is kept once all of it is there."""
        if self._keep_code_fd is None:
            self._say(wording.CODE_NOWHERE)
            return False
        descriptor, self._keep_code_fd = self._keep_code_fd, None
        return await asyncio.to_thread(write_descriptor, descriptor, code)

    async def present_code(self) -> Secret | None:
        """Give the code, once."""
        return await self._give(self._code_fd, None)

    async def _give(self, descriptor: int | None, problem: KioskError | None) -> Secret | None:
        if problem is not None:
            self._say(wording.failure(problem))
            return None
        return None if descriptor is None else await asyncio.to_thread(read_descriptor, descriptor)


def read_descriptor(descriptor: int) -> Secret | None:
    """Read one line from a file descriptor and close it; None where there is nothing to read."""
    line = bytearray()
    try:
        while len(line) < _LINE_MAX and b"\n" not in line and (chunk := os.read(descriptor, _LINE_MAX)):
            line += chunk
    except OSError:
        return None
    finally:
        with suppress(OSError):
            os.close(descriptor)
    return _taken(line)


def write_descriptor(descriptor: int, code: Secret) -> bool:
    """Write one line to a file descriptor and close it; return whether all of it was taken."""
    line = code.reveal() + b"\n"
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(line)
            file.flush()
            with suppress(OSError):  # a pipe has no disk
                os.fsync(file.fileno())
    except OSError:
        return False
    return True


def show_once(text: str) -> bool:
    """Show a text on the terminal until Enter is pressed, then take it away; return whether there is a terminal."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(terminal, f"{text}  (Enter hides it)".encode())
        while (key := os.read(terminal, 1)) and key[0] not in _ENTER:
            pass
        os.write(terminal, b"\x1b[1A\r\x1b[2K")
    finally:
        os.close(terminal)
    return True


def read_masked(prompt: str, longest: int = 2 * PIN_FIELD_LENGTH) -> Secret | None:
    """Read a PIN or a passcode from the terminal, each character shown as a dot; None for Enter alone, Ctrl-C or no terminal."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    before = termios.tcgetattr(terminal)
    quiet = termios.tcgetattr(terminal)
    quiet[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG)
    typed = bytearray()
    try:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, quiet)
        os.write(terminal, prompt.encode())
        while (key := os.read(terminal, 1)) and key[0] not in _ENTER:
            if key[0] == 0x03:
                typed[:] = bytes(len(typed))
                typed.clear()
                break
            if key[0] in _RUBOUT:
                if typed:
                    typed.pop()
                    os.write(terminal, b"\b \b")
            elif key[0] >= 0x20 and len(typed) < longest:
                typed += key
                os.write(terminal, _BULLET)
    finally:
        os.write(terminal, b"\n")
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
        os.close(terminal)
    return _taken(typed)


def _taken(line: bytearray) -> Secret | None:
    """Make a secret of the first line and wipe what was read."""
    end = line.find(b"\n")
    value = line if end < 0 else line[:end]
    while value and value[-1] == 0x0D:
        value.pop()
    secret = Secret(value) if value else None
    value[:] = bytes(len(value))
    line[:] = bytes(len(line))
    return secret
