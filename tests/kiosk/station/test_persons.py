import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from kiosk.station import doctor
from kiosk.station.doctor import Verdict
from kiosk.station.persons import GivenPerson, TerminalPerson, read_descriptor
from shared import errors
from shared.console import ServerView
from shared.credential.pins import Characters, PinPolicy
from shared.secret import Secret
from tests.conftest import FixedClock
from tests.kiosk.station.doubles import READER, ScriptedBackend, readers_with_card


def pipe(content: bytes) -> int:
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return reading


@pytest.mark.parametrize(
    ("content", "value"), [(b"918273\n", b"918273"), (b"918273", b"918273"), (b"918273\r\nmore\n", b"918273")]
)
def test_one_line_is_read_from_a_descriptor_and_it_is_closed(content: bytes, value: bytes) -> None:
    descriptor = pipe(content)
    secret = read_descriptor(descriptor)
    assert secret is not None
    assert secret.reveal() == value
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(descriptor)


def test_nothing_to_read_is_no_pin() -> None:
    assert read_descriptor(pipe(b"")) is None
    assert read_descriptor(pipe(b"\n")) is None
    assert read_descriptor(987654) is None


async def test_a_script_gives_each_pin_once() -> None:
    said: list[str] = []
    person = GivenPerson(said.append, pin_fd=pipe(b"123456\n"), new_pin_fd=pipe(b"918273\n"))
    current = await person.current_pin(3, None)
    new = await person.new_pin(PinPolicy(), None)
    assert (current, new) == (Secret(b"123456"), Secret(b"918273"))
    assert await person.current_pin(2, errors.PinRejected(tries_left=2)) is None
    assert await person.new_pin(PinPolicy(), errors.PinPolicyViolated(rule="length")) is None
    assert not await person.confirm_few_tries(2)
    assert said == [
        "The PIN is wrong: 2 tries left.",
        "The PIN is too short or too long.",
        "The PIN is not given to the card, 2 tries left: a script leaves the last tries to its holder, at a terminal.",
    ]
    assert await GivenPerson(said.append).new_pin(PinPolicy(), None) is None


def typing(*values: str | None) -> Callable[[str], Secret | None]:
    left = iter(values)

    def read(_prompt: str) -> Secret | None:
        value = next(left)
        return None if value is None else Secret.from_text(value)

    return read


async def test_a_new_pin_is_typed_twice() -> None:
    said: list[str] = []
    person = TerminalPerson(said.append, typing("111222", "111223", "918273", "918273"))
    chosen = await person.new_pin(PinPolicy(), errors.PinPolicyViolated(rule="repeat"))
    assert chosen == Secret(b"918273")
    assert said == [
        "The PIN must not be one digit repeated.",
        "Digits only; no rows such as 1234 or 1111, nothing well-known.",
        "The two are not the same.",
    ]
    assert await TerminalPerson(said.append, typing(None)).new_pin(PinPolicy(), None) is None


async def test_the_rules_are_said_and_nothing_of_the_holder() -> None:
    said: list[str] = []
    policy = PinPolicy(
        characters=Characters.ANY, allow_repeats=True, personal=("19840307",), present=Secret(b"739154")
    )
    await TerminalPerson(said.append, typing(None)).new_pin(policy, None)
    lax = PinPolicy(allow_sequences=True, allow_repeats=True)
    await TerminalPerson(said.append, typing(None)).new_pin(lax, None)
    assert said[0] == (
        "Any characters of the keyboard; no rows such as 1234, nothing well-known; "
        "not the present PIN, no birth date or number of yours."
    )
    assert said[1:] == ["Digits only; nothing well-known."]


async def test_the_present_pin_is_asked_for_with_its_tries() -> None:
    prompts: list[str] = []

    def read(prompt: str) -> Secret | None:
        prompts.append(prompt)
        return None

    said: list[str] = []
    await TerminalPerson(said.append, read).current_pin(2, errors.PinRejected(tries_left=2))
    assert prompts == ["Enter the present PIN (2 tries left): "]
    assert said == ["The PIN is wrong: 2 tries left."]


TYPIST = """
import os, sys
os.open(sys.argv[1], os.O_RDWR)  # the first terminal that a session opens is its own
from kiosk.station.persons import read_masked
from shared.secret import Secret
sys.exit(read_masked("PIN: ") != Secret(b"91827"))
"""


def test_typed_characters_show_as_dots() -> None:
    """On a real terminal: the PIN is read, and what the screen shows does not have it."""
    master, slave = pty.openpty()
    try:
        typist = subprocess.Popen(
            [sys.executable, "-c", TYPIST, os.ttyname(slave)], start_new_session=True, close_fds=True
        )
        shown = bytearray()
        _read_until(master, shown, lambda: b"PIN: " in shown)
        os.write(master, b"918x\x7f27\r")
        _read_until(master, shown, lambda: typist.poll() is not None)
        assert typist.wait(10) == 0
    finally:
        os.close(slave)
        os.close(master)
    assert not any(character in shown for character in b"91827x")
    assert shown.count("•".encode()) == 6


def _read_until(master: int, shown: bytearray, enough: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not enough() and time.monotonic() < end:
        if select.select([master], [], [], 0.05)[0]:
            shown += os.read(master, 1024)


async def test_doctor_says_what_it_found(clock: FixedClock) -> None:
    backend = ScriptedBackend()
    readers, _ = await readers_with_card()
    (server,) = await doctor.check_server(backend, clock)
    assert (server.verdict, server.text) == (Verdict.GOOD, "test 1 knows this station as Desk 1, lab station")
    assert (await doctor.check_templates(backend)).text == "employee"
    assert (await doctor.check_readers(readers)).text == f"{READER} (virtual)"
    await readers.detach(READER)
    assert (await doctor.check_readers(readers)).verdict is Verdict.WARNING
    backend.failure = errors.ServerUnreachable(server="test", reason="down")
    checks = [*await doctor.check_server(backend, clock), await doctor.check_templates(backend)]
    assert [check.verdict for check in checks] == [Verdict.FAILED] * 2
    assert doctor.exit_code(checks) == 5
    assert doctor.exit_code([server]) == 0
    await readers.close()


async def test_doctor_compares_clocks(clock: FixedClock) -> None:
    class Timed(ScriptedBackend):
        async def who_am_i(self) -> ServerView:
            return ServerView(
                server="s", version="1", station="d", lab=False, time=datetime(2026, 3, 2, 12, 5, tzinfo=UTC)
            )

    _, check = await doctor.check_server(Timed(), clock)
    assert check.verdict is Verdict.WARNING
    assert "300 s apart" in check.text
    clock.move(timedelta(minutes=5))
    _, check = await doctor.check_server(Timed(), clock)
    assert check.verdict is Verdict.GOOD


def test_doctor_warns_before_a_certificate_ends(clock: FixedClock) -> None:
    def check(left: int) -> doctor.Check:
        ends = clock.now() + timedelta(days=left)
        renewed_from = ends - timedelta(days=240)
        return doctor.check_certificate("Desk", not_after=ends, renewed_from=renewed_from, clock=clock)

    fresh, due, soon = check(300), check(200), check(12)
    assert [each.verdict for each in (fresh, due, soon)] == [Verdict.GOOD, Verdict.GOOD, Verdict.WARNING]
    assert "renewed by itself from" in fresh.text
    assert "being renewed by itself" in due.text
    assert "join again" in soon.text
