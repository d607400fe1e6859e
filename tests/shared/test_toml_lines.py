import textwrap
import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.toml_lines import KeyPath, find_lines


def test_places_in_a_file_with_everything() -> None:
    text = textwrap.dedent(
        '''\
        top = 1
        [a]  # [not.this]
        b = """
        c = 1
        [d]
        """
        e.f = [
          "g = 1",  # h = 2
          "]",
        ]
        "quoted key".'single' = { inner = 1 }

        [ a . "x.y" ]
        z = '#'
        [[list]]
        one = 1
        [[list]]
        one = 2
        '''
    )
    assert find_lines(text) == {
        ("top",): 1,
        ("a",): 2,
        ("a", "b"): 3,
        ("a", "e"): 7,
        ("a", "e", "f"): 7,
        ("a", "quoted key"): 11,
        ("a", "quoted key", "single"): 11,
        ("a", "x.y"): 13,
        ("a", "x.y", "z"): 14,
        ("list",): 15,
        ("list", "one"): 16,
    }


def paths(table: dict[str, Any], above: KeyPath = ()) -> set[KeyPath]:
    found = set()
    for key, value in table.items():
        found.add((*above, key))
        if isinstance(value, dict):
            found |= paths(value, (*above, key))
    return found


KEYS = st.from_regex(r"[a-z][a-z0-9-]{0,6}", fullmatch=True)
VALUES = st.one_of(
    st.integers().map(str),
    st.booleans().map(lambda value: str(value).lower()),
    st.lists(st.integers(), max_size=3).map(lambda values: "[\n" + ",\n".join(map(str, values)) + "\n]"),
    st.from_regex(r"[a-z =\[\]#\n]{0,12}", fullmatch=True).map(lambda value: f"'''{value}'''"),
)


@given(st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, max_size=4), max_size=4))
def test_every_table_and_key_has_its_own_line(tables: dict[str, dict[str, str]]) -> None:
    lines = []
    for name, keys in tables.items():
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in keys.items())]
    text = "\n".join(lines)
    found = find_lines(text)
    assert found.keys() == paths(tomllib.loads(text))
    numbered = text.split("\n")
    for path, line in found.items():
        assert numbered[line - 1].startswith((f"[{path[-1]}]", f"{path[-1]} ="))


def test_lines_end_like_on_windows_too() -> None:
    assert find_lines("[a]\r\nb = 1\r\n") == {("a",): 1, ("a", "b"): 2}
