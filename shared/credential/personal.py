"""What a PIN must not be taken from: dates, numbers and names of its holder.

Whoever finds a card knows a name, and soon a birth date. The server takes the values from the directory and makes
texts of them; the station refuses a PIN that has one of them in it (`shared.credential.pins`). Both are personal data:
no error, log or representation has them.

Sources: [ISO 8601-1] 5.2.2 (dates), [RFC 4517] 3.3.13 (generalizedTime).
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Final

from shared import errors

RUN: Final = 6
"""So many characters in a row of a longer text are too many: every PIN has at least six."""

SHORTEST: Final = 4
"""A text that is shorter is in too many PINs by chance."""

VARIABLE: Final = re.compile(r"(user|card)\.[a-z0-9-]+\??")
"""How a template names a value, with `?` where it may be missing."""

_DATE: Final = re.compile(
    r"(\d{4})(-?)(\d{2})\2(\d{2})"
    r"(?:[T ]?\d{2}[\d:.,]*(?:Z|[+-]\d{2}(?::?\d{2})?)?)?",
    re.ASCII,
)


def required(variables: Iterable[str]) -> tuple[str, ...]:
    """Return the names of those that a holder cannot be without."""
    return tuple(name for name in variables if not name.endswith("?"))


def personal_texts(variables: Sequence[str], values: Mapping[str, str]) -> tuple[str, ...]:
    """Return what must not be in a PIN, for the variables that a template names.

    A missing value is an error, so that a name that was mistyped in the template never switches the rule off;
    `?` behind it says that some people have none.

    Raises:
        VariableMissing: a value without `?` is missing or empty.
        Invalid: what should be a date is none.
    """
    texts: dict[str, None] = {}
    for variable in variables:
        name = variable.removesuffix("?")
        value = values.get(name, "").strip()
        if value:
            texts |= dict.fromkeys(_dates(name, value) if _is_date(name) else _words(value))
        elif name == variable:
            raise errors.VariableMissing(variable=name)
    return tuple(text for text in texts if len(text) >= SHORTEST)


def taken_from(pin: bytes, texts: Iterable[str]) -> bool:
    """Whether a PIN has six characters in a row of one of the texts in it, or the whole of a shorter one.

    Only letters and digits count, and small ones are as capitals: a date with dots is a date.
    """
    bare = "".join(filter(str.isalnum, pin.decode("ascii", "ignore"))).lower()
    return any(
        text[start : start + RUN] in bare
        for text in texts
        if len(text) >= SHORTEST
        for start in range(max(1, len(text) - RUN + 1))
    )


def _is_date(name: str) -> bool:
    """Whether a variable holds a date: `birth-date`, `date-of-birth`."""
    return "date" in name.partition(".")[2].split("-")


def _dates(name: str, value: str) -> Sequence[str]:
    """Return a date in the orders that people write it in, with four digits of the year and with two."""
    found = _DATE.fullmatch(value)
    try:
        day = date(int(found[1]), int(found[3]), int(found[4])) if found else None
    except ValueError:
        day = None
    if day is None:
        raise errors.Invalid(field=name, why="the directory's value is no date such as 1984-03-07")
    return [day.strftime(order) for order in ("%Y%m%d", "%d%m%Y", "%m%d%Y", "%d%m%y", "%y%m%d", "%m%d%y")]


def _words(value: str) -> Sequence[str]:
    """Return a number or name without what stands between its characters, its digits alone, and the words of a name."""
    plain = unicodedata.normalize("NFKD", value).encode("ascii", "ignore").decode().lower()
    pieces = re.findall(r"[a-z0-9]+", plain)
    whole = "".join(pieces)
    return [whole, "".join(filter(str.isdigit, whole)), *filter(str.isalpha, pieces)]
