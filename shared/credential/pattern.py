r"""Patterns in templates: the part of regular expressions that is matched in bounded time.

Literals, `.`, sets, `\d \w \s` and their opposites, groups, `|`, `? * + {m,n}`, `^` and `$`. What makes matching
slow or strange elsewhere (references back, looking around) does not exist, and is refused by name. All ways through a
pattern are followed at once, one character at a time: a text is read once, and no pattern of whoever writes templates
keeps a server busy.

Source: R. Cox, *Regular Expression Matching: the Virtual Machine Approach* (2009): the machine of K. Thompson and R. Pike.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

PATTERN_MAX: Final = 200
"""Characters of a pattern."""
PROGRAM_MAX: Final = 1000
"""What a pattern comes to when repetitions are written out."""
REPEAT_MAX: Final = 100
NESTING_MAX: Final = 20
STEPS_MAX: Final = 400_000
"""What one use of a pattern may take: some tenths of a second."""

Test = Callable[[str], bool]
Saved = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class _Take:
    """Take one character."""

    test: Test


@dataclass(frozen=True, slots=True)
class _Both:
    """Go on at two places; the first is preferred. Places are relative."""

    first: int
    second: int


@dataclass(frozen=True, slots=True)
class _Save:
    """Remember where a group begins or ends."""

    slot: int


@dataclass(frozen=True, slots=True)
class _Edge:
    """Go on only at the beginning, or at the end."""

    end: bool


@dataclass(frozen=True, slots=True)
class _Jump:
    """Go on elsewhere."""

    to: int


@dataclass(frozen=True, slots=True)
class _Done:
    """It matches."""


_Step = _Take | _Both | _Save | _Edge | _Jump | _Done
_Code = tuple[_Step, ...]

_EMPTY: Final[_Code] = ()

_SHORTHAND: Final[dict[str, Test]] = {
    "d": lambda character: "0" <= character <= "9",
    "D": lambda character: not "0" <= character <= "9",
    "w": lambda character: character.isalnum() or character == "_",
    "W": lambda character: not (character.isalnum() or character == "_"),
    "s": str.isspace,
    "S": lambda character: not character.isspace(),
}
_SPECIAL: Final = frozenset("\\.[]{}()*+?^$|-/\"' @,:;=<>#&%!~_")


class Pattern:
    """A pattern that was read."""

    def __init__(self, text: str) -> None:
        """Read a pattern.

        Raises:
            ValueError: it is none, or too large; its text says why.
        """
        reader = _Reader(text)
        code = reader.read()
        self._code: Final[_Code] = (_Save(0), *code, _Save(1), _Done())
        self.groups: Final = reader.groups
        """How many groups it has."""

    def find(self, text: str) -> tuple[str, ...] | None:
        """Return the first match from the left: the whole, then each group (empty where it took no part); None where there is none.

        Raises:
            ValueError: it takes too long.
        """
        saved = self._search(text, 0, _Budget())
        return None if saved is None else self._texts(text, saved)

    def replace(self, text: str, replacement: str) -> str:
        r"""Put `replacement` in place of every match; `\1` in it is what the first group took, `\0` the whole.

        Raises:
            ValueError: it takes too long, or names a group that is not there.
        """
        check_replacement(replacement, self.groups)
        budget, done, at = _Budget(), "", 0
        while at <= len(text):
            saved = self._search(text, at, budget)
            if saved is None:
                break
            begin, end = saved[0] or 0, saved[1] or 0
            done += text[at:begin] + _filled(replacement, self._texts(text, saved))
            at = end
            if end == begin:  # an empty match: the character after it stays
                done += text[end : end + 1]
                at = end + 1
        return done + text[at:]

    def _texts(self, text: str, saved: Saved) -> tuple[str, ...]:
        return tuple(
            text[begin:end] if begin is not None and end is not None else ""
            for begin, end in zip(saved[::2], saved[1::2], strict=True)
        )

    def _search(self, text: str, start: int, budget: "_Budget") -> Saved | None:
        """Follow all ways from all beginnings at once; the earlier beginning counts, then the preferred way."""
        nothing: Saved = (None,) * (2 * (self.groups + 1))
        ways: list[tuple[int, Saved]] = []
        best: Saved | None = None
        for at in range(start, len(text) + 1):
            fresh = [(0, nothing)] if best is None else []
            open_ways = self._follow([*ways, *fresh], text, at, budget)
            ways = []
            for place, saved in open_ways:
                step = self._code[place]
                if isinstance(step, _Done):
                    best = saved
                    break  # ways that are preferred less do not count any more
                if isinstance(step, _Take) and at < len(text) and step.test(text[at]):
                    ways.append((place + 1, saved))
            if not ways and best is not None:
                break
        return best

    def _follow(
        self, ways: Sequence[tuple[int, Saved]], text: str, at: int, budget: "_Budget"
    ) -> list[tuple[int, Saved]]:
        """Go on without a character as far as possible; each place counts once, the most preferred way to it."""
        seen: set[int] = set()
        found = []
        waiting = list(reversed(ways))
        while waiting:
            place, saved = waiting.pop()
            if place in seen:
                continue
            seen.add(place)
            budget.spend()
            match self._code[place]:
                case _Jump(to):
                    waiting.append((place + to, saved))
                case _Both(first, second):
                    waiting += [(place + second, saved), (place + first, saved)]
                case _Save(slot):
                    waiting.append((place + 1, (*saved[:slot], at, *saved[slot + 1 :])))
                case _Edge(end):
                    if at == (len(text) if end else 0):
                        waiting.append((place + 1, saved))
                case _:
                    found.append((place, saved))
        return found


def check_replacement(replacement: str, groups: int) -> None:
    """Refuse a replacement that names a group which is not there.

    Raises:
        ValueError: it does.
    """
    _filled(replacement, ("",) * (groups + 1))


def _filled(replacement: str, texts: Sequence[str]) -> str:
    done, characters = "", iter(replacement)
    for character in characters:
        if character != "\\":
            done += character
            continue
        name = next(characters, "")
        if name == "\\":
            done += name
        elif name in "0123456789" and name and int(name) < len(texts):
            done += texts[int(name)]
        else:
            message = f"\\{name} in a replacement names no group"
            raise ValueError(message)
    return done


class _Budget:
    """What one use of a pattern may take."""

    def __init__(self) -> None:
        self._left = STEPS_MAX

    def spend(self) -> None:
        self._left -= 1
        if self._left < 0:
            message = "the pattern takes too long on this value"
            raise ValueError(message)


class _Reader:
    """Turn a pattern's text into steps."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self.groups = 0

    def read(self) -> _Code:
        if not 0 < len(self._text) <= PATTERN_MAX:
            self._fail(f"a pattern has 1 to {PATTERN_MAX} characters")
        code = self._either()
        if self._at < len(self._text):
            self._fail("a ) without its (")
        return code

    def _either(self) -> _Code:
        code = self._sequence()
        while self._takes("|"):
            other = self._sequence()
            code = (_Both(1, len(code) + 2), *code, _Jump(len(other) + 1), *other)
        return self._checked(code)

    def _sequence(self) -> _Code:
        code = _EMPTY
        while self._at < len(self._text) and self._peek() not in "|)":
            code = self._checked(code + self._repeated())
        return code

    def _repeated(self) -> _Code:
        before = self.groups
        code = self._one()
        times = self._times()
        if times is None:
            return code
        if self._peek() in ("*", "+", "?", "{"):
            self._fail("a repetition of a repetition; put it into a group")
        if isinstance(code[0], _Edge):
            self._fail("an edge that is repeated")
        low, high = times
        if self.groups > before and low > 1:
            self._fail("a group that is repeated by a number; use (?:…)")
        body = code * low
        if high is None:
            loop = (_Both(1, len(code) + 2), *code, _Jump(-len(code) - 1))
            return self._checked(body + loop)
        for _ in range(high - low):
            body = self._checked((*body, _Both(1, len(code) + 1), *code))
        return self._checked(body)

    def _times(self) -> tuple[int, int | None] | None:
        for sign, times in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._takes(sign):
                return times
        if not self._takes("{"):
            return None
        low = self._number()
        high: int | None = low
        if self._takes(","):
            high = None if self._peek() == "}" else self._number()
        if not self._takes("}"):
            self._fail("a { without its }")
        if high is not None and high < low:
            self._fail("a repetition from many to few")
        return low, high

    def _number(self) -> int:
        digits = ""
        while self._peek() in tuple("0123456789"):
            digits += self._next()
        if not digits or int(digits[:4]) > REPEAT_MAX:
            self._fail(f"a repetition is a number up to {REPEAT_MAX}")
        return int(digits)

    def _one(self) -> _Code:
        character = self._next()
        match character:
            case "(":
                return self._group()
            case "[":
                return (_Take(self._set()),)
            case ".":
                return (_Take(lambda each: each != "\n"),)
            case "^" | "$":
                return (_Edge(character == "$"),)
            case "\\":
                return (_Take(self._escaped()),)
            case "*" | "+" | "?" | "{":
                self._fail(f"nothing before {character}")
            case "]" | "}":
                self._fail(f"a {character} that closes nothing; write \\{character}")
        return (_Take(_is(character)),)

    def _group(self) -> _Code:
        self._depth += 1
        if self._depth > NESTING_MAX:
            self._fail(f"groups are nested {NESTING_MAX} deep at the most")
        if self._takes("?"):
            if not self._takes(":"):
                self._fail("(?: is the only group that begins with (?")
            code = self._either()
        else:
            self.groups += 1
            slot = 2 * self.groups
            code = (_Save(slot), *self._either(), _Save(slot + 1))
        if not self._takes(")"):
            self._fail("a ( without its )")
        self._depth -= 1
        return code or (_Jump(1),)

    def _set(self) -> Test:
        opposite = self._takes("^")
        tests: list[Test] = []
        while not self._takes("]"):
            if self._at >= len(self._text):
                self._fail("a [ without its ]")
            first = self._next()
            if first == "\\":
                tests.append(self._escaped())
            elif self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._next()
                last = self._next()
                if last == "\\" or last < first:
                    self._fail("a range from a later character to an earlier one")
                tests.append(_between(first, last))
            else:
                tests.append(_is(first))
        if not tests:
            self._fail("a set without characters")
        every = tuple(tests)
        return lambda character: any(test(character) for test in every) is not opposite

    def _escaped(self) -> Test:
        name = self._next()
        if name in _SHORTHAND:
            return _SHORTHAND[name]
        if name not in _SPECIAL:
            self._fail(f"there is no \\{name} here")
        return _is(name)

    def _checked(self, code: _Code) -> _Code:
        if len(code) > PROGRAM_MAX:
            self._fail("its repetitions come to too much")
        return code

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        if self._at >= len(self._text):
            self._fail("it ends too early")
        self._at += 1
        return self._text[self._at - 1]

    def _takes(self, character: str) -> bool:
        found = self._peek() == character
        self._at += found
        return found

    def _fail(self, why: str) -> NoReturn:
        message = f"pattern, character {self._at}: {why}"
        raise ValueError(message)


def _is(wanted: str) -> Test:
    return lambda character: character == wanted


def _between(first: str, last: str) -> Test:
    return lambda character: first <= character <= last
