"""What stands between `${` and `}`: a value by its name, and functions that it goes through.

    user.mail  ·  user.sid?  ·  user.name|upper|substring:1,8  ·  user.given-name|join:" ",user.surname
    user.mail|default:user.upn,"nobody@example.org"  ·  user.upn|regex:"^[^@]+"  ·  system.date|date:"%Y"

The language is total: every expression comes to an end, in bounded time and space, and what it comes to depends on nothing
but its values. Names, functions and the number and kind of arguments are checked when a template is read, so that what is
left to go wrong at the counter is the value of one person.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum, unique
from typing import Final, NoReturn

from shared.credential.pattern import Pattern, check_replacement
from shared.display import ORDERS

VALUE_MAX: Final = 1024
"""Characters of a value that a function takes, and of what it makes."""
PATTERN_VALUE_MAX: Final = 512
"""Characters of a value that a pattern is tried on."""
FUNCTIONS_MAX: Final = 16

NAMESPACES: Final = {
    "user": None,
    "card": frozenset({"id", "serial"}),
    "credential": frozenset({"template", "version"}),
    "system": frozenset({"date", "time"}),
}
"""Where values come from, and which there are; the directory decides what it knows of people."""

_TOKEN: Final = re.compile(
    r"""[ ]*(?:(?P<name>[a-z][a-z0-9-]*(?:\.[a-z0-9][a-z0-9-]*)*)|(?P<number>-?[0-9]{1,4})"""
    r"""|(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<sign>[?|:,}]))"""
)
_DATE: Final = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)(?:[T ]?(\d\d):?(\d\d)(?::?(\d\d))?(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)
_FORMATS: Final = {
    "Y": "{0:%Y}", "y": "{0:%y}", "m": "{0:%m}", "d": "{0:%d}", "H": "{0:%H}", "M": "{0:%M}", "S": "{0:%S}", "j": "{0:%j}",
    "%": "%",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Name:
    """Another value, as an argument."""

    name: str


@dataclass(frozen=True, slots=True)
class Text:
    """A text that stands there, as an argument."""

    text: str


@dataclass(frozen=True, slots=True)
class Number:
    """A number, as an argument."""

    number: int


Argument = Name | Text | Number
Values = Mapping[str, str]
Step = Callable[[str, Values], str]


@unique
class _Takes(Enum):
    """What an argument may be."""

    TEXT = "a text in quotes"
    NUMBER = "a number"
    VALUE = "a text in quotes or a variable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """An expression that was read. `optional`: it may come to nothing. `needs` are the variables without which it does."""

    name: str
    optional: bool
    needs: tuple[str, ...]
    names: tuple[str, ...]
    """Every variable that it looks at."""
    steps: tuple[tuple[str, Step], ...]

    def value(self, values: Values) -> str:
        """Return what it comes to for these values; empty where the variable is missing.

        Raises:
            ValueError: a value is too long, no date, or takes too long; its text says so with the function's name.
        """
        found = values.get(self.name, "")
        for function, step in self.steps:
            _bounded(function, found)
            found = step(found, values)
            _bounded(function, found)
        return found


def _bounded(function: str, value: str) -> None:
    if len(value) > VALUE_MAX:
        message = f"{function}: longer than {VALUE_MAX} characters"
        raise ValueError(message)


def read_expression(text: str, start: int) -> tuple[Expression, int]:
    """Read the expression that begins after `${` at `start`; return it and where the text goes on after its `}`.

    Raises:
        ValueError: it is none; its text says why.
    """
    return _Reader(text, start).read()


class _Reader:
    def __init__(self, text: str, start: int) -> None:
        self._text = text
        self._start = start
        self._at = start
        self._names: list[str] = []

    def read(self) -> tuple[Expression, int]:
        name = self._variable(self._take("name"))
        optional = self._takes("?")
        steps: list[tuple[str, Step]] = []
        may_be_missing = optional
        while self._takes("|"):
            function = self._take("name")
            if function not in FUNCTIONS:
                self._fail(f"there is no function {function}; there are {', '.join(FUNCTIONS)}")
            may_be_missing |= function in {"default", "join"}
            steps.append((function, FUNCTIONS[function](self._arguments(function))))
        if len(steps) > FUNCTIONS_MAX:
            self._fail(f"more than {FUNCTIONS_MAX} functions")
        if not self._takes("}"):
            self._fail("it ends with }")
        needs = () if may_be_missing else (name,)
        names = tuple(dict.fromkeys(self._names))
        return (
            Expression(name=name, optional=optional, needs=needs, names=names, steps=tuple(steps)),
            self._at,
        )

    def _arguments(self, function: str) -> Sequence[Argument]:
        found: list[Argument] = []
        if self._takes(":"):
            found.append(self._argument())
            while self._takes(","):
                found.append(self._argument())
        takes, least = SIGNATURES[function]
        most = VARIABLE_MANY if takes and takes[-1] is _Takes.VALUE else len(takes)
        if not least <= len(found) <= most:
            self._fail(f"{function} takes {_many(least, most)}")
        for place, argument in enumerate(found):
            wanted = takes[min(place, len(takes) - 1)]
            if not isinstance(argument, _KINDS[wanted]):
                self._fail(f"{function} takes {wanted.value} as its {_ORDINALS[min(place, 2)]} argument")
        try:
            CHECKS.get(function, _nothing)(found)
        except ValueError as cause:
            message = f"{function}: {cause}"
            raise ValueError(message) from cause
        return found

    def _argument(self) -> Argument:
        match = self._match()
        if match["name"]:
            return Name(self._variable(match["name"]))
        if match["number"]:
            return Number(int(match["number"]))
        if not match["text"]:
            self._fail("an argument is a text in quotes, a number or a variable")
        text = re.sub(r"\\([\"'\\])", r"\1", match["text"][1:-1])
        if ORDERS.search(text) or len(text) > VALUE_MAX:
            self._fail("a text with control characters, or a very long one")
        return Text(text)

    def _variable(self, name: str) -> str:
        namespace, _, rest = name.partition(".")
        if namespace not in NAMESPACES or not rest:
            self._fail(f"no variable {name}: they begin with {', '.join(f'{each}.' for each in NAMESPACES)}")
        known = NAMESPACES[namespace]
        if known is not None and rest not in known:
            self._fail(f"no variable {name}: there is {', '.join(sorted(known))} after {namespace}.")
        self._names.append(name)
        return name

    def _match(self) -> re.Match[str]:
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            self._fail("a name, a text in quotes, a number, or one of ? | : , }")
        self._at = match.end()
        return match

    def _take(self, kind: str) -> str:
        match = self._match()
        if not match[kind]:
            self._fail(f"a {kind} is missing")
        found: str = match[kind]
        return found

    def _takes(self, sign: str) -> bool:
        match = _TOKEN.match(self._text, self._at)
        if match is None or match["sign"] != sign:
            return False
        self._at = match.end()
        return True

    def _fail(self, why: str) -> NoReturn:
        message = f"${{{self._text[self._start : self._at + 1]}: {why}"
        raise ValueError(message)


# --- functions --------------------------------------------------------------------------------------------


def _of(argument: Argument, values: Values) -> str:
    """Return what an argument stands for; numbers are read by those who take them."""
    if isinstance(argument, Name):
        return values.get(argument.name, "")
    assert isinstance(argument, Text)
    return argument.text


def _default(arguments: Sequence[Argument]) -> Step:
    def step(value: str, values: Values) -> str:
        return next((found for found in (value, *(_of(each, values) for each in arguments)) if found), "")

    return step


def _join(arguments: Sequence[Argument]) -> Step:
    separator, *others = arguments

    def step(value: str, values: Values) -> str:
        parts = (value, *(_of(each, values) for each in others))
        return _of(separator, values).join(part for part in parts if part)

    return step


def _substring(arguments: Sequence[Argument]) -> Step:
    first, length = _numbers(arguments)

    def step(value: str, values: Values) -> str:
        del values
        begin = first - 1 if first > 0 else max(0, len(value) + first)
        return value[begin:] if length is None else value[begin : begin + length]

    return step


def _regex(arguments: Sequence[Argument]) -> Step:
    pattern = Pattern(_of(arguments[0], {}))
    replacement = _of(arguments[1], {}) if len(arguments) > 1 else None

    def step(value: str, values: Values) -> str:
        del values
        if len(value) > PATTERN_VALUE_MAX:
            message = f"regex: longer than {PATTERN_VALUE_MAX} characters"
            raise ValueError(message)
        if replacement is not None:
            return pattern.replace(value, replacement)
        found = pattern.find(value)
        return "" if found is None else found[1] if pattern.groups else found[0]

    return step


def _date(arguments: Sequence[Argument]) -> Step:
    wanted = _of(arguments[0], {}) if arguments else "%Y-%m-%d"

    def step(value: str, values: Values) -> str:
        del values
        return _format(read_date(value), wanted) if value else ""

    return step


def read_date(value: str) -> datetime:
    """Read a date, with or without a time, as ISO 8601 and LDAP (GeneralizedTime) write it.

    Raises:
        ValueError: it is none.
    """
    match = _DATE.fullmatch(value.strip())
    if match is None:
        message = "date: the value is no date such as 2026-01-31"
        raise ValueError(message)
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
    try:
        date(year, month, day)
        return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001  # the zone is whatever the value's is
    except ValueError as cause:
        message = "date: there is no such day or time"
        raise ValueError(message) from cause


def _format(moment: datetime, wanted: str) -> str:
    done, characters = "", iter(wanted)
    for character in characters:
        done += _FORMATS[next(characters)].format(moment) if character == "%" else character
    return done


def _without(change: Callable[[str], str]) -> Callable[[Sequence[Argument]], Step]:
    def function(arguments: Sequence[Argument]) -> Step:
        del arguments
        return lambda value, _: change(value)

    return function


FUNCTIONS: Final[dict[str, Callable[[Sequence[Argument]], Step]]] = {
    "default": _default,
    "upper": _without(str.upper),
    "lower": _without(str.lower),
    "trim": _without(lambda value: " ".join(value.split())),
    "substring": _substring,
    "regex": _regex,
    "join": _join,
    "date": _date,
}
"""Each makes a step of its arguments."""

VARIABLE_MANY: Final = 8
"""Arguments of a function that takes as many as there are."""

SIGNATURES: Final[dict[str, tuple[tuple[_Takes, ...], int]]] = {
    "default": ((_Takes.VALUE,), 1),
    "upper": ((), 0),
    "lower": ((), 0),
    "trim": ((), 0),
    "substring": ((_Takes.NUMBER, _Takes.NUMBER), 1),
    "regex": ((_Takes.TEXT, _Takes.TEXT), 1),
    "join": ((_Takes.TEXT, _Takes.VALUE), 2),
    "date": ((_Takes.TEXT,), 0),
}
"""What each takes, and how many arguments at the least; the last kind may come again where it is a value."""

_KINDS: Final[dict[_Takes, tuple[type, ...]]] = {
    _Takes.TEXT: (Text,),
    _Takes.NUMBER: (Number,),
    _Takes.VALUE: (Text, Name),
}
_ORDINALS: Final = ("first", "second", "next")


def _numbers(arguments: Sequence[Argument]) -> tuple[int, int | None]:
    numbers = [argument.number for argument in arguments if isinstance(argument, Number)]
    return numbers[0], numbers[1] if len(numbers) > 1 else None


def _check_substring(arguments: Sequence[Argument]) -> None:
    first, length = _numbers(arguments)
    if first == 0 or (length is not None and length < 1):
        message = "the first character is 1, the last one -1, and a length is at least 1"
        raise ValueError(message)


def _check_regex(arguments: Sequence[Argument]) -> None:
    pattern = Pattern(_of(arguments[0], {}))
    if len(arguments) > 1:
        check_replacement(_of(arguments[1], {}), pattern.groups)
    elif pattern.groups > 1:
        message = "without a replacement, one group says what is taken; use (?:…) for the others"
        raise ValueError(message)


def _check_date(arguments: Sequence[Argument]) -> None:
    characters = iter(_of(arguments[0], {}) if arguments else "")
    for character in characters:
        if character == "%" and next(characters, "") not in _FORMATS:
            message = f"a date has %{' %'.join(_FORMATS)}"
            raise ValueError(message)


def _nothing(arguments: Sequence[Argument]) -> None:
    del arguments


CHECKS: Final[dict[str, Callable[[Sequence[Argument]], None]]] = {
    "substring": _check_substring,
    "regex": _check_regex,
    "date": _check_date,
}
"""What more has to be right of a function's arguments."""


def _many(least: int, most: int) -> str:
    return f"{least} to {most} arguments" if most else "no arguments"
