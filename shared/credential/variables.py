"""Variables in templates: `${user.mail}`, and `${user.sid?}` for a value that may be missing.

Values come from the directory (`user.…`), the card (`card.…`) and the credential (`credential.…`). In a
subject every value is escaped, so that nobody's name can add an attribute to a certificate.

Source: [RFC 4514] 2.4 (escaping).
"""

import re
from collections.abc import Mapping
from typing import Final

from cryptography import x509

from shared import errors
from shared.display import ORDERS

VARIABLE: Final = re.compile(r"\$\{([a-z][a-z0-9.-]*)(\?)?\}")


def variables_in(text: str) -> tuple[str, ...]:
    """Return the names of the variables that `text` cannot do without."""
    return tuple(match[1] for match in VARIABLE.finditer(text) if not match[2])


def fill(text: str, values: Mapping[str, str]) -> str:
    """Put values in place of variables.

    Raises:
        VariableMissing: a value that is not marked `?` is missing or empty.
        Invalid: a value has characters that nobody sees, or that make it look like another.
    """

    def value(match: re.Match[str]) -> str:
        found = values.get(match[1], "")
        if not found and not match[2]:
            raise errors.VariableMissing(variable=match[1])
        if ORDERS.search(found):
            raise errors.Invalid(
                field=match[1], why="it has control characters, or turns its direction around"
            )
        return found

    return VARIABLE.sub(value, text)


def fill_subject(text: str, values: Mapping[str, str]) -> x509.Name:
    """Make a subject of an RFC 4514 text with variables; an attribute that ends up empty is left out.

    The text is taken apart first and filled in after, so that a value never counts as syntax.

    Raises:
        TemplateInvalid: the text is no distinguished name.
        VariableMissing: see `fill`.
        Invalid: a value is longer than its attribute may be, or of another form, or see `fill`.
    """
    marks = {f"\x1fV{index}\x1f": match[0] for index, match in enumerate(VARIABLE.finditer(text))}
    marked = text
    for mark, variable in marks.items():
        marked = marked.replace(variable, mark, 1)
    try:
        name = x509.Name.from_rfc4514_string(marked)
    except ValueError as cause:
        raise errors.TemplateInvalid(line=0, why=f"not a distinguished name: {text}") from cause
    rdns = []
    for rdn in name.rdns:
        filled = []
        for attribute in rdn:
            value = str(attribute.value)
            for mark, variable in marks.items():
                value = value.replace(mark, fill(variable, values))
            if value:
                filled.append(_attribute(attribute.oid, value))
        if filled:
            rdns.append(x509.RelativeDistinguishedName(filled))
    return x509.Name(rdns)


def _attribute(oid: x509.ObjectIdentifier, value: str) -> x509.NameAttribute[str]:
    try:
        return x509.NameAttribute(oid, value)
    except ValueError as cause:
        raise errors.Invalid(field=f"subject {oid.dotted_string}", why=str(cause)) from cause
