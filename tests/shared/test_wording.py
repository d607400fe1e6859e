import string

import pytest

from shared import errors, wording

RULES = ("length", "characters", "factory", "well-known", "sequence", "repeat", "personal", "same")


def sentence(text: str) -> bool:
    return text[:1].isupper() and text[-1] in ".?" and not set("{}[]") & set(text) and len(text) > 8


@pytest.mark.parametrize("code", sorted(errors.BY_CODE))
def test_every_failure_is_a_sentence_with_and_without_its_facts(code: str) -> None:
    bare = wording.failure(errors.from_code(code, {}))
    assert sentence(bare), bare
    names = [name for _, name, _, _ in string.Formatter().parse(wording._FAILURES[code]) if name]
    facts: dict[str, errors.Fact] = {name: f"the-{name}" for name in names}
    said = wording.failure(errors.from_code(code, facts))
    assert all(f"the-{name}" in said for name in names), said


def test_no_sentence_is_left_over() -> None:
    assert set(wording._FAILURES) == set(errors.BY_CODE)


@pytest.mark.parametrize("rule", RULES)
def test_every_broken_rule_has_its_own_sentence(rule: str) -> None:
    said = wording.failure(errors.PinPolicyViolated(rule=rule))
    assert sentence(said)
    assert said != wording.failure(errors.PinPolicyViolated(rule="another"))


def test_tries_read_like_speech() -> None:
    assert wording.failure(errors.PinRejected(tries_left=2)) == "The PIN is wrong: 2 tries left."
    assert wording.failure(errors.PinRejected(tries_left=1)) == "The PIN is wrong: one try left."


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.NoReader(), "There is no reader."),
        (errors.NoReader(reader="ACR"), "There is no reader of the name “ACR”."),
        (errors.ServerUnreachable(), "The server does not answer."),
        (errors.ServerUnreachable(server="s:1", reason="gone"), "The server s:1 does not answer (gone)."),
        (errors.Invalid(field="holder", why="two"), "A value is missing or wrong: holder: two."),
        (errors.ConfigMissing(key="server.names"), "The setting server.names is missing."),
        (errors.ConfigMissing(file="x", what="join first"), "The file x is missing: join first."),
        (errors.StoreUnavailable(why="another server uses {it} [now]"),
         "The record cannot be opened: another server uses {it} [now]."),
    ],
)  # fmt: skip
def test_a_sentence_has_the_facts_that_came(error: errors.KioskError, words: str) -> None:
    assert wording.failure(error) == words


def test_a_wrong_setting_names_place_and_nearest_key() -> None:
    error = errors.ConfigInvalid(
        file="kiosk.toml", line=7, key="serverr", why="unknown key", nearest="server"
    )
    assert wording.failure(error) == (
        "The configuration is wrong in kiosk.toml, line 7: serverr: unknown key. Did you mean “server”?"
    )
    no_key = errors.ConfigInvalid(file="kiosk.toml", why="cannot be read")
    assert wording.failure(no_key) == "The configuration is wrong in kiosk.toml: cannot be read."
