"""Nothing of the holder's own in a PIN."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import errors
from shared.credential.personal import RUN, SHORTEST, personal_texts, required, taken_from

BORN = {"user.birth-date": "1984-03-07"}
ORDERS = ("19840307", "07031984", "03071984", "070384", "840307", "030784")


def texts(value: str, name: str = "user.employee-id") -> tuple[str, ...]:
    return personal_texts((name,), {name: value})


@pytest.mark.parametrize(
    "written",
    [
        "1984-03-07",
        "19840307",
        " 1984-03-07 ",
        "1984-03-07T00:00:00Z",
        "1984-03-07 12:30",
        "19840307000000Z",
        "1984030700Z",
        "19840307000000.0Z",
        "19840307000000+0100",
    ],
)
def test_a_date_in_the_directorys_forms(written: str) -> None:
    assert texts(written, "user.birth-date") == ORDERS
    assert texts(written, "user.date-of-birth") == ORDERS


@pytest.mark.parametrize(
    "written", ["7.3.1984", "1984-13-07", "1984-3-7", "1984-0307", "unknown", "19840230"]
)
def test_what_is_no_date_is_an_error_that_does_not_say_it(written: str) -> None:
    with pytest.raises(errors.Invalid) as caught:
        texts(written, "user.birth-date")
    assert caught.value.facts["field"] == "user.birth-date"
    assert written not in repr(caught.value) + str(caught.value.facts)


@given(
    day=st.dates(date(1900, 1, 1), date(2099, 12, 31)),
    order=st.sampled_from(["%Y%m%d", "%d%m%Y", "%m%d%Y", "%d%m%y", "%y%m%d", "%m%d%y"]),
    around=st.text("0123456789", max_size=2),
    behind=st.booleans(),
)
def test_a_date_is_found_however_it_is_written(day: date, order: str, around: str, behind: bool) -> None:  # noqa: FBT001  # drawn
    written = day.strftime(order)
    pin = written + around if behind else around + written
    assert taken_from(pin.encode(), texts(day.isoformat(), "user.birth-date"))


@given(number=st.text("0123456789", min_size=RUN, max_size=20), data=st.data())
def test_six_in_a_row_of_a_number_are_found(number: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(number) - RUN))
    around = data.draw(st.text("0123456789", max_size=2))
    assert taken_from((around + number[start : start + RUN]).encode(), texts(number))


@given(
    pin=st.text("0123456789", min_size=6, max_size=8),
    number=st.text("0123456789", min_size=1, max_size=12),
)
def test_nothing_else_is_found(pin: str, number: str) -> None:
    """A PIN is refused only where six characters of the number, or all of a shorter one, stand in it."""
    runs = {number[at : at + RUN] for at in range(max(1, len(number) - RUN + 1))}
    guilty = len(number) >= SHORTEST and any(run in pin for run in runs)
    assert taken_from(pin.encode(), texts(number)) == guilty


@pytest.mark.parametrize(
    ("pin", "value", "found"),
    [
        (b"994711", "4711", True),
        (b"947110", "471", False),
        (b"312345", "12345", True),
        (b"312345", "AB-12345", True),
        (b"ab123499", "AB-12345", True),
        (b"912-3456", "12.34.56", True),
        (b"berg1984", "Anna Berg", True),
        (b"BERG1984", "Anna Berg", True),
        (b"muller84", "Jürgen Müller", True),
        (b"739154", "Anna Berg", False),
        (b"739154", "Wei", False),
    ],
)
def test_numbers_and_names(pin: bytes, value: str, *, found: bool) -> None:
    assert taken_from(pin, texts(value)) is found


def test_a_missing_value_is_an_error_unless_the_template_says_it_may_be() -> None:
    wanted = ("user.birth-date", "user.employee-id?")
    assert required(wanted) == ("user.birth-date",)
    assert personal_texts(wanted, BORN) == ORDERS
    for values in ({}, {"user.birth-date": "", "user.employee-id": "4711"}):
        with pytest.raises(errors.VariableMissing) as caught:
            personal_texts(wanted, values)
        assert caught.value.facts == {"variable": "user.birth-date"}
    assert personal_texts(("user.employee-id?",), {}) == ()


def test_nothing_short_is_sent() -> None:
    assert texts("12") == ()
    assert not taken_from(b"739154", ("", "7", "73", "739"))
