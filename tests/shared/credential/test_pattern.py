"""Patterns: what Python's own module finds, in bounded time, and nothing that makes matching slow."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.credential.pattern import PATTERN_MAX, Pattern

ATOMS = st.sampled_from(
    ["a", "b", "c", ".", "[ab]", "[^a]", "[a-c]", r"\d", r"\D", r"\w", r"\s", r"\S", r"\W", r"\."]
)
REPEATS = st.sampled_from(["", "*", "+", "?", "{2}", "{1,2}", "{1,}", "{0,1}"])


def _wider(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("({})".format, inner),
        st.builds("(?:{}|{})".format, inner, inner),
        st.builds("({}|{})".format, inner, inner),
    )


PATTERNS = st.recursive(st.builds("{}{}".format, ATOMS, REPEATS), _wider, max_leaves=8)
EDGES = st.builds("{}(?:{}){}".format, st.sampled_from(["", "^"]), PATTERNS, st.sampled_from(["", "$"]))
TEXTS = st.text("abc1. _\n", max_size=12)


@given(EDGES, TEXTS)
def test_it_finds_what_pythons_module_finds(pattern: str, text: str) -> None:
    expected = re.search(pattern.replace("$", r"\Z"), text)
    found = Pattern(pattern).find(text)
    if expected is None:
        assert found is None
    else:
        assert found == (expected[0], *(group or "" for group in expected.groups()))


@given(st.builds("{}{}".format, ATOMS, st.sampled_from(["", "+", "{2}"])), TEXTS)
def test_it_replaces_what_pythons_module_replaces(pattern: str, text: str) -> None:
    assert Pattern(pattern).replace(text, r"<\0>") == re.sub(pattern, r"<\g<0>>", text)


def test_an_empty_match_leaves_every_character() -> None:
    assert Pattern("x*").replace("abc", "-") == "-a-b-c-"


def test_groups_and_backslashes_in_a_replacement() -> None:
    assert Pattern("([^@]+)@(.+)").replace("bob@lab.test", r"\2\\\1") == r"lab.test\bob"
    assert Pattern("(a)|(b)").replace("ab", r"[\1\2]") == "[a][b]"
    for wrong in (r"\3", r"\x", "\\"):
        with pytest.raises(ValueError, match="names no group"):
            Pattern("(a)(b)").replace("ab", wrong)


@pytest.mark.parametrize(
    "pattern",
    [
        "", "a" * (PATTERN_MAX + 1), "(", ")", "(a", "[", "[a", "[]", "[z-a]", r"[a-\d]", "*", "+a", "?", "{2}", "a{", "a{x}", "a{2",
        "a{3,2}", "a{101}", "a{99999}", "a**", "a+?", "(?=a)", "(?!a)", "(?<a>b)", "(?P<a>b)", "(?i)a", r"(a)\1", r"\b", r"\q",
        "\\", "]", "}", "a]", "^*", "$+", "(a){2}", "(?:(?:(?:a{100}){100}){100}){100}", "(" * 21 + "a" + ")" * 21,
        "(?:a{50}|b{50}){50}",
    ],
)  # fmt: skip
def test_what_is_no_pattern_here(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"pattern, character \d+: "):
        Pattern(pattern)


def test_sets_and_escapes() -> None:
    assert Pattern(r"[\]\-x]+").find("a]-x") == ("]-x",)
    assert Pattern("[a-]+").find("x-a") == ("-a",)
    assert Pattern(r"[^\d]").find("1a") == ("a",)
    assert Pattern("()a").find("a") == ("a", "")


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(?:a*)*b", "a" * 512),
        ("(?:a|aa)+$", "a" * 511 + "b"),
        ("(?:a|a)*(?:a|a)*(?:a|a)*b", "a" * 512),
        ("(?:.*.*.*.*.*.*)x", "a" * 512),
        ("a.*b|a", "a" * 512),
        ("(?:a?){100}(?:a){100}", "a" * 512),
    ],
)
def test_no_pattern_keeps_a_server_busy(pattern: str, text: str) -> None:
    begun = time.process_time()
    made = Pattern(pattern)
    for use in (made.find, lambda each: made.replace(each, "")):
        try:
            use(text)
        except ValueError as error:
            assert "takes too long" in str(error)  # noqa: PT017  # either is right: an answer, or giving up in time
    assert time.process_time() - begun < 10
