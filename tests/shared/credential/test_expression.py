"""Expressions: what each function makes of a value, what is refused when a template is read, and that all come to an end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import errors
from shared.credential.expression import FUNCTIONS, PATTERN_VALUE_MAX, VALUE_MAX
from shared.credential.variables import check_subject, check_variables, expressions_in, fill, variables_in

BOB = {
    "user.name": "Bob Smith",
    "user.mail": "Bob.Smith@Lab.Test",
    "user.upn": "bob@lab.test",
    "user.given-name": "Bob",
    "user.surname": "Smith",
    "user.birth-date": "1999-12-31",
    "user.until": "20301231235959Z",
    "user.employee-id": "000123",
    "card.serial": "7",
    "system.date": "2026-03-02",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${user.mail|lower}", "bob.smith@lab.test"),
        ("${user.name|upper}", "BOB SMITH"),
        ("${user.title?|upper}", ""),
        ("${user.title|default:'none'}", "none"),
        ('${user.title|default:"a \\"b\\" \\\\"}', 'a "b" \\'),
        ("${user.title|default:user.upn}", "bob@lab.test"),
        ("${user.title|default:user.phone,user.sid,'x'}", "x"),
        ("${user.name|default:'x'}", "Bob Smith"),
        ("${user.name|substring:1,3}", "Bob"),
        ("${user.name|substring:5}", "Smith"),
        ("${user.name|substring:-5}", "Smith"),
        ("${user.name|substring:-5,2}", "Sm"),
        ("${user.employee-id|substring:-100,2}", "00"),
        ("${user.upn|regex:'^[^@]+'}", "bob"),
        ("${user.upn|regex:'@(.+)$'}", "lab.test"),
        ("${user.name?|regex:'[0-9]+'}", ""),
        ("${user.employee-id|regex:'^0+',''}", "123"),
        ("${user.name|regex:'(.+) (.+)','\\2, \\1'}", "Smith, Bob"),
        ("${user.given-name|join:'.',user.surname|lower}", "bob.smith"),
        ("${user.title|join:'-',user.given-name,user.phone,'x'}", "Bob-x"),
        ("${user.birth-date|date:'%d.%m.%y'}", "31.12.99"),
        ("${user.until|date:'%Y-%m-%dT%H:%M:%S'}", "2030-12-31T23:59:59"),
        ("${user.until|date}", "2030-12-31"),
        ("${user.started?|date}", ""),
        ("${system.date|date:'%j %%'}", "061 %"),
        ("${user.name|trim}", "Bob Smith"),
        ("${ user.name | substring : 1 , 3 | upper }", "BOB"),
        ("a ${user.given-name} b ${user.surname|upper} $c {d}", "a Bob b SMITH $c {d}"),
        ("${user.title|default:'}'}", "}"),
    ],
)
def test_what_it_comes_to(text: str, expected: str) -> None:
    check_variables(text)
    assert fill(text, BOB) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("${", "a name, a text"),
        ("${}", "a name is missing"),
        ("${user.name", "it ends with }"),
        ("${user.name|}", "a name is missing"),
        ("${User.name}", "a name, a text"),
        ("${name}", "they begin with user., card., credential., system."),
        ("${user}", "no variable user"),
        ("${people.name}", "no variable people.name"),
        ("${card.colour}", "there is id, serial after card."),
        ("${system.password}", "there is date, time after system."),
        ("${user.name|shout}", "there is no function shout; there are default, upper"),
        ("${user.name|upper:'x'}", "upper takes no arguments"),
        ("${user.name|default}", "default takes 1 to 8 arguments"),
        ("${user.name|default:7}", "default takes a text in quotes or a variable"),
        ("${user.name|default:'a','b','c','d','e','f','g','h','i'}", "default takes 1 to 8"),
        ("${user.name|join:','}", "join takes 2 to 8"),
        ("${user.name|join:user.upn,'x'}", "join takes a text in quotes as its first"),
        ("${user.name|substring:'1'}", "substring takes a number"),
        ("${user.name|substring:0}", "the first character is 1"),
        ("${user.name|substring:1,0}", "a length is at least 1"),
        ("${user.name|substring:1,2,3}", "substring takes 1 to 2"),
        ("${user.name|regex:'('}", "a ( without its )"),
        ("${user.name|regex:'(a)(b)'}", "one group says what is taken"),
        ("${user.name|regex:'a','\\1'}", "names no group"),
        ("${user.name|regex:user.upn}", "regex takes a text"),
        ("${user.name|date:'%Q'}", "a date has %Y"),
        ("${user.name|date:'%'}", "a date has %Y"),
        ("${user.name|default:}", "an argument is a text"),
        ("${user.name|default:'x}", "a name, a text"),
        ("${user.name|default:'a\u202eb'}", "control characters"),
        ("${user.name|default:'" + "x" * 1100 + "'}", "a very long one"),
        ("${user.name" + "|trim" * 17 + "}", "more than 16 functions"),
        ("${user.name}${user.name|}", "a name is missing"),
    ],
)
def test_what_is_refused_when_a_template_is_read(text: str, why: str) -> None:
    with pytest.raises(errors.TemplateInvalid) as caught:
        check_variables(text)
    assert why in str(caught.value.facts["why"])
    with pytest.raises(errors.TemplateInvalid):
        fill(text, BOB)


@pytest.mark.parametrize(
    ("text", "values", "why"),
    [
        ("${user.name|date}", {}, "no date such as"),
        ("${user.d|date}", {"user.d": "2026-02-30"}, "no such day"),
        ("${user.d|date}", {"user.d": "2026-02-03T25:00"}, "no such day or time"),
        ("${user.d|upper}", {"user.d": "x" * (VALUE_MAX + 1)}, f"upper: longer than {VALUE_MAX}"),
        ("${user.d|join:'',user.d}", {"user.d": "x" * VALUE_MAX}, f"join: longer than {VALUE_MAX}"),
        (
            "${user.d|regex:'x'}",
            {"user.d": "x" * (PATTERN_VALUE_MAX + 1)},
            f"longer than {PATTERN_VALUE_MAX}",
        ),
        ("${user.d|regex:'a.*b|a',''}", {"user.d": "a" * PATTERN_VALUE_MAX}, "takes too long"),
        ("${user.name|default:user.d}", {"user.d": "a\u202eb"}, "control characters"),
    ],
)
def test_a_value_that_does_not_go_through(text: str, values: dict[str, str], why: str) -> None:
    with pytest.raises(errors.Invalid) as caught:
        fill(text, BOB | values)
    assert why in str(caught.value.facts["why"])


def test_what_comes_to_nothing_is_named() -> None:
    for text in (
        "${user.title}",
        "${user.title|upper}",
        "${user.name|regex:'[0-9]'}",
        "${user.title|default:user.sid}",
    ):
        with pytest.raises(errors.VariableMissing) as caught:
            fill(text, BOB)
        assert str(caught.value.facts["variable"]).startswith("user.")


def test_what_a_text_cannot_do_without() -> None:
    text = (
        "${user.a|upper} ${user.b?} ${user.c|default:user.d} ${user.e|join:' ',user.f} ${user.g|substring:1}"
    )
    assert variables_in(text) == ("user.a", "user.g")
    ((written, expression),) = expressions_in("x${user.c|default:user.d,user.c}y")
    assert written == "${user.c|default:user.d,user.c}"
    assert expression.names == ("user.c", "user.d")


def test_a_subject_is_checked_without_anybody() -> None:
    check_subject("CN=${user.name|upper},OU=${user.department|default:'Research, and \"more\"'},O=Lab")
    for wrong in ("just ${user.name}", "CN=${user.name|shout}", "CN=\x1fV0\x1f"):
        with pytest.raises(errors.TemplateInvalid):
            check_subject(wrong)


WORDS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cf", "Zl", "Zp"]), max_size=40)
CALLS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "upper",
                "lower",
                "trim",
                "substring:2,5",
                "substring:-3",
                "regex:'[a-z]+'",
                "regex:'(.)','\\1\\1'",
            ]
        ),
        st.sampled_from(["default:'x'", "default:user.b", "join:'-',user.b,'c'"]),
    ),
    max_size=6,
)


@given(WORDS, WORDS, CALLS)
def test_every_expression_comes_to_something(first: str, second: str, calls: list[str]) -> None:
    text = "${" + "|".join(["user.a?", *calls]) + "}"
    values = {"user.a": first, "user.b": second}
    try:
        found = fill(text, values)
    except errors.Invalid as error:
        assert "longer than" in str(error.facts["why"])  # noqa: PT017  # either is right: a value, or a bound
    else:
        assert len(found) <= VALUE_MAX
        assert found == fill(text, values)


@given(st.text(max_size=60))
def test_no_text_makes_the_reader_fail_otherwise(text: str) -> None:
    for written in (text, "${" + text, "${user.a|" + text + "}"):
        try:
            check_variables(written)
        except errors.TemplateInvalid as error:
            assert error.facts["why"]  # noqa: PT017  # either is right: it is one, or it is refused


def test_functions_are_those_that_are_described() -> None:
    assert list(FUNCTIONS) == ["default", "upper", "lower", "trim", "substring", "regex", "join", "date"]
