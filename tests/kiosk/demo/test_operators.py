"""Who logs on in the demo: made by an ordinary first start, so that nobody else gets in, and the passcode is gone."""

import pytest

from kiosk.backend.first_start import GrpcFirstStart
from kiosk.demo.cards import OPERATORS_READER, desk_readers
from kiosk.demo.machine import Machine
from kiosk.demo.operators import PIN_DIGITS, PinHolder, draw_passcode, draw_pin, first_start, hand_out
from kiosk.station.logon import Logon
from shared import errors
from shared.clock import SystemClock
from shared.roles import SYSTEM_ADMINISTRATOR
from shared.secret import Secret

CODE_DIGITS = 8


async def test_the_first_start() -> None:
    clock, passcode, pin = SystemClock(), draw_passcode(), draw_pin()
    again = Secret(passcode.reveal())
    machine = Machine(clock, people=3, seed=1, passcode=passcode)
    readers = desk_readers(1, 1)
    try:
        line = await machine.start()
        assert (await line.who_am_i()).first_start
        assert machine.identity is not None
        person = machine.people[0]
        crew = await first_start(machine.identity, clock, passcode=passcode, pin=pin, holder=person["id"])
        assert passcode.wiped
        assert not (await line.who_am_i()).first_start
        with pytest.raises(errors.LogonNeeded):
            await line.find_people("", 1)
        with pytest.raises(errors.PasscodeRejected):
            await GrpcFirstStart(line).begin_first_start(again)

        await hand_out(readers, crew, person["name"])
        logon = Logon(readers, line, clock)
        session = await logon.log_on(OPERATORS_READER, PinHolder(pin))
        assert session.name == person["name"]
        assert [role.name for role in session.roles] == [SYSTEM_ADMINISTRATOR]
        assert (await line.find_people("", 1)).people
        await logon.close()

        owner = next(name for name in readers.cards() if crew.owners_code in name)
        await readers.pull(OPERATORS_READER)
        await readers.insert(OPERATORS_READER, owner)
        assert (await logon.log_on(OPERATORS_READER, PinHolder(pin))).name == "System Owner"
        await logon.close()
    finally:
        await readers.close()
        await machine.close()
    assert len(crew.owners_code) == CODE_DIGITS


def test_pins_are_of_the_form_that_templates_ask_for() -> None:
    pins = {draw_pin() for _ in range(50)}
    assert len(pins) > 1
    assert all(len(pin) == PIN_DIGITS and pin.isdigit() for pin in pins)
