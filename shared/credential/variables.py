"""Variables in templates: `${user.mail}`, `${user.sid?}` for a value that may be missing, and expressions of them.

Values come from the directory (`user.…`), the card (`card.…`), the credential (`credential.…`) and the server
(`system.…`). In a subject every value is escaped, so that nobody's name can add an attribute to a certificate.

Source: [RFC 4514] 2.4 (escaping).
"""

from collections.abc import Iterator, Mapping

from cryptography import x509

from shared import errors
from shared.credential.expression import Expression, read_expression
from shared.display import ORDERS

BEGIN = "${"


def check_variables(text: str) -> None:
    """Refuse a text with a variable or a function that does not exist, or that is written wrongly.

    Raises:
        TemplateInvalid: `why` says what.
    """
    for _ in _parts(text):
        pass


def expressions_in(text: str) -> tuple[tuple[str, Expression], ...]:
    """Return every expression of a text, with how it is written there; raises as `check_variables`."""
    return tuple(part for part in _parts(text) if not isinstance(part, str))


def variables_in(text: str) -> tuple[str, ...]:
    """Return the names of the variables that `text` cannot do without; raises as `check_variables`."""
    return tuple(name for _, expression in expressions_in(text) for name in expression.needs)


def fill(text: str, values: Mapping[str, str]) -> str:
    """Put values in place of variables.

    Raises:
        VariableMissing: a value that is not marked `?` is missing or empty.
        Invalid: a value has characters that nobody sees, or that make it look like another; or a function cannot take it.
        TemplateInvalid: see `check_variables`.
    """
    return "".join(part if isinstance(part, str) else evaluate(part[1], values) for part in _parts(text))


def evaluate(expression: Expression, values: Mapping[str, str]) -> str:
    """Return what an expression comes to; raises as `fill`."""
    for name in expression.names:
        if ORDERS.search(values.get(name, "")):
            raise errors.Invalid(field=name, why="it has control characters, or turns its direction around")
    try:
        found = expression.value(values)
    except ValueError as cause:
        raise errors.Invalid(field=expression.name, why=str(cause)) from cause
    if not found and not expression.optional:
        raise errors.VariableMissing(variable=expression.name)
    return found


def fill_subject(text: str, values: Mapping[str, str]) -> x509.Name:
    """Make a subject of an RFC 4514 text with variables; an attribute that ends up empty is left out.

    The text is taken apart first and filled in after, so that a value never counts as syntax.

    Raises:
        TemplateInvalid: the text is no distinguished name, or see `fill`.
        VariableMissing: see `fill`.
        Invalid: a value is longer than its attribute may be, or of another form, or see `fill`.
    """
    marked, marks = _marked(text)
    rdns = []
    for rdn in _name(text, marked).rdns:
        filled = []
        for attribute in rdn:
            value = _filled(str(attribute.value), marks, values)
            if value:
                filled.append(_attribute(attribute.oid, value))
        if filled:
            rdns.append(x509.RelativeDistinguishedName(filled))
    return x509.Name(rdns)


def check_subject(text: str) -> None:
    """Refuse a text that cannot become a subject for anybody.

    Raises:
        TemplateInvalid: see `fill_subject`.
    """
    marked, _ = _marked(text)
    _name(text, marked)


def _marked(text: str) -> tuple[str, dict[str, Expression]]:
    """Return the text with a mark for each variable, and what each mark stands for."""
    if "\x1f" in text:
        raise errors.TemplateInvalid(line=0, why="a control character in a name")
    marked, marks = "", dict[str, Expression]()
    for part in _parts(text):
        if isinstance(part, str):
            marked += part
        else:
            mark = f"\x1fV{len(marks)}\x1f"
            marks[mark] = part[1]
            marked += mark
    return marked, marks


def _name(text: str, marked: str) -> x509.Name:
    try:
        return x509.Name.from_rfc4514_string(marked)
    except ValueError as cause:
        raise errors.TemplateInvalid(line=0, why=f"not a distinguished name: {text}") from cause


def _filled(value: str, marks: Mapping[str, Expression], values: Mapping[str, str]) -> str:
    """Put values in place of marks, from left to right: a mark inside a value is none."""
    done = ""
    while value:
        before, begins, rest = value.partition("\x1f")
        done += before
        if begins:
            mark, _, rest = rest.partition("\x1f")
            done += evaluate(marks[f"\x1f{mark}\x1f"], values)
        value = rest
    return done


def _parts(text: str) -> Iterator[str | tuple[str, Expression]]:
    """Take a text apart: what stands as it is, and expressions with how they are written."""
    at = 0
    while (begin := text.find(BEGIN, at)) >= 0:
        if begin > at:
            yield text[at:begin]
        try:
            expression, at = read_expression(text, begin + len(BEGIN))
        except ValueError as cause:
            raise errors.TemplateInvalid(line=0, why=str(cause)) from cause
        yield text[begin:at], expression
    if at < len(text):
        yield text[at:]


def _attribute(oid: x509.ObjectIdentifier, value: str) -> x509.NameAttribute[str]:
    try:
        return x509.NameAttribute(oid, value)
    except ValueError as cause:
        raise errors.Invalid(field=f"subject {oid.dotted_string}", why=str(cause)) from cause
