"""Variables: filled in, missing, and never syntax."""

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from shared import errors
from shared.credential.variables import fill, fill_subject, variables_in
from shared.display import ORDERS


def test_values_take_the_place_of_variables() -> None:
    assert fill("${user.mail}", {"user.mail": "a@b"}) == "a@b"
    assert fill("x-${card.serial}-${user.sid?}", {"card.serial": "7"}) == "x-7-"
    assert fill("plain", {}) == "plain"


def test_a_missing_value_is_named() -> None:
    with pytest.raises(errors.VariableMissing) as caught:
        fill("${user.upn}", {"user.upn": ""})
    assert caught.value.facts["variable"] == "user.upn"


def test_only_variables_that_are_needed_are_listed() -> None:
    assert variables_in("CN=${user.name},OU=${user.department?}") == ("user.name",)


def test_an_empty_attribute_is_left_out() -> None:
    name = fill_subject("CN=${user.name},OU=${user.department?},O=Example", {"user.name": "Bob"})
    assert name.rfc4514_string() == "CN=Bob,O=Example"


def test_a_text_that_is_no_name_is_refused() -> None:
    with pytest.raises(errors.TemplateInvalid, match="not a distinguished name"):
        fill_subject("just words", {})


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=16)


@given(NAMES.filter(lambda value: not ORDERS.search(value)))
def test_no_value_adds_an_attribute(value: str) -> None:
    name = fill_subject("CN=${user.name},O=Example", {"user.name": value})
    assert [attribute.value for attribute in name] == ["Example", value] or [
        attribute.value for attribute in name
    ] == [value, "Example"]
    assert x509.Name.from_rfc4514_string(name.rfc4514_string()) == name
    assert name.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == value


def test_a_variable_twice_is_filled_twice() -> None:
    name = fill_subject("CN=${user.name} (${user.name})", {"user.name": "Bob"})
    assert name.rfc4514_string() == "CN=Bob (Bob)"


def test_a_value_that_does_not_fit_is_refused() -> None:
    with pytest.raises(errors.Invalid, match="64"):
        fill_subject("CN=${user.name}", {"user.name": "x" * 65})


@pytest.mark.parametrize(
    "value",
    [
        "Anna\x00",
        "Anna\nBerg",
        "\x1fV1\x1f",
        "\x1b[2J",
        "Anna\x85",
        "\u202egreB annA",
        "a\u2066b",
        "a\u200fb",
        "\u2028",
    ],
)
def test_a_name_that_looks_like_another_gets_into_no_certificate(value: str) -> None:
    with pytest.raises(errors.Invalid) as caught:
        fill_subject("CN=${user.name},OU=${user.department}", {"user.name": value, "user.department": "IT"})
    assert caught.value.facts["field"] == "user.name"
    with pytest.raises(errors.Invalid):
        fill("${user.upn}@example.test", {"user.upn": value})
