"""What a PIN must look like."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.credential.personal import personal_texts
from shared.credential.pins import PADDING, PIN_FIELD_LENGTH, Characters, PinPolicy, check_pin, pad
from shared.errors import PinPolicyViolated
from shared.piv.ids import FACTORY_PIN
from shared.secret import Secret

DIGITS = PinPolicy()
ALPHANUMERIC = PinPolicy(characters=Characters.ALPHANUMERIC)
ANY = PinPolicy(characters=Characters.ANY)
BORN = PinPolicy(
    characters=Characters.ANY,
    personal=personal_texts(("user.birth-date",), {"user.birth-date": "1984-03-07"}),
)
LAX = PinPolicy(allow_sequences=True, allow_repeats=True, forbidden=())


@pytest.mark.parametrize(
    ("pin", "policy", "rule"),
    [
        (b"739154", DIGITS, None),
        (b"73915482", DIGITS, None),
        (b"", DIGITS, "length"),
        (b"73915", DIGITS, "length"),
        (b"739154821", DIGITS, "length"),
        (b"73915a", DIGITS, "characters"),
        (b"7391 4", DIGITS, "characters"),
        ("739\N{ARABIC-INDIC DIGIT ONE}54".encode(), DIGITS, "characters"),
        (b"73915a", ALPHANUMERIC, None),
        (b"abcxyz", ALPHANUMERIC, None),
        (b"73915-", ALPHANUMERIC, "characters"),
        ("bärlau".encode(), ALPHANUMERIC, "characters"),
        (b"7391 -", ANY, None),
        (b"7391\x00x", ANY, "characters"),
        (b"7391\x1fx", ANY, "characters"),
        (b"7391\x7fx", ANY, "characters"),
        (b"7391\xffx", ANY, "characters"),
        (b"123456", DIGITS, "factory"),
        (b"654321", PinPolicy(forbidden=("654321",)), "well-known"),
        (b"12345678", DIGITS, "well-known"),
        (b"777777", DIGITS, "repeat"),
        (b"aaaaaa", ANY, "repeat"),
        (b"234567", DIGITS, "sequence"),
        (b"765432", DIGITS, "sequence"),
        (b"abcdef", ANY, "sequence"),
        (b"135790", DIGITS, None),
        (b"777778", DIGITS, None),
        (b"123457", DIGITS, None),
        (b"777777", LAX, None),
        (b"123456", LAX, "factory"),
        (b"234567", LAX, None),
        (b"fedcba", PinPolicy(characters=Characters.ANY, allow_sequences=True), None),
        (b"secret", PinPolicy(characters=Characters.ANY, forbidden=("secret",)), "well-known"),
        (b"070384", BORN, "personal"),
        (b"9840307", BORN, "personal"),
        (b"07.03.84", BORN, "personal"),
        (b"070385", BORN, None),
        (b"739154", PinPolicy(present=Secret(b"739154")), "same"),
        (b"739155", PinPolicy(present=Secret(b"739154")), None),
        (b"7391548", PinPolicy(min_length=8), "length"),
        (b"7391548", PinPolicy(max_length=6), "length"),
    ],
)
def test_the_rules(pin: bytes, policy: PinPolicy, rule: str | None) -> None:
    if rule is None:
        check_pin(pin, policy)
        return
    with pytest.raises(PinPolicyViolated) as caught:
        check_pin(pin, policy)
    assert caught.value.facts == {"rule": rule}
    assert pin.decode("latin-1") not in str(caught.value) or not pin


@given(pin=st.binary(max_size=10), policy=st.builds(PinPolicy, characters=st.sampled_from(Characters)))
def test_what_passes_fits_the_field_and_the_policy(pin: bytes, policy: PinPolicy) -> None:
    try:
        check_pin(pin, policy)
    except PinPolicyViolated:
        return
    assert policy.min_length <= len(pin) <= policy.max_length
    assert pin.isascii()
    assert PADDING not in pin
    assert len({after - before for before, after in itertools.pairwise(pin)}) > 1 or abs(pin[1] - pin[0]) > 1


@given(st.text("0123456789", min_size=6, max_size=8))
def test_digits_are_refused_for_a_reason(text: str) -> None:
    """Only what is well known, repeated or counted through is refused of all numbers."""
    pin = text.encode()
    steps = {int(after) - int(before) for before, after in itertools.pairwise(text)}
    weak = text in {FACTORY_PIN.decode(), *DIGITS.forbidden} or steps in ({0}, {1}, {-1})
    try:
        check_pin(pin, DIGITS)
    except PinPolicyViolated:
        assert weak
    else:
        assert not weak


@given(
    pin=st.text("0123456789", min_size=6, max_size=8),
    personal=st.lists(st.text("0123456789", max_size=10), max_size=3),
    present=st.none() | st.text("0123456789", min_size=6, max_size=8),
)
def test_more_rules_never_let_more_pass(pin: str, personal: list[str], present: str | None) -> None:
    """A policy with the holder's own data and the present PIN is stricter than one without, and in no other way."""
    strict = replace(
        DIGITS, personal=tuple(personal), present=None if present is None else Secret.from_text(present)
    )
    violations = [_violation(pin, policy) for policy in (DIGITS, strict)]
    assert not any(pin in repr(violation) for violation in violations)
    rules = [violation and violation.facts["rule"] for violation in violations]
    assert rules[0] == rules[1] or (rules[0] is None and rules[1] in {"personal", "same"})
    assert (rules[1] == "same") <= (pin == present)
    assert pin != present or rules[1] is not None


def _violation(pin: str, policy: PinPolicy) -> PinPolicyViolated | None:
    try:
        check_pin(pin.encode(), policy)
    except PinPolicyViolated as violated:
        return violated
    return None


def test_a_policy_shows_nothing_of_its_holder() -> None:
    policy = replace(BORN, present=Secret(b"739154"))
    assert policy.personal
    assert not any(text in repr(policy) for text in (*policy.personal, "739154"))


@given(st.binary(max_size=PIN_FIELD_LENGTH))
def test_padding_fills_the_field(pin: bytes) -> None:
    padded = pad(pin)
    assert len(padded) == PIN_FIELD_LENGTH
    assert padded.startswith(pin)
    assert set(padded[len(pin) :]) <= {PADDING}


def test_more_than_the_field_is_refused() -> None:
    with pytest.raises(PinPolicyViolated):
        pad(b"123456789")
