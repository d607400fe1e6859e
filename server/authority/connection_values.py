"""The values of a connection: held against the fields of its kind, and in the form in which they are kept.

What is no secret is kept as JSON. Secrets are another JSON object, which is sealed before it is kept and never leaves the server
again; nothing here quotes a value in an error.
"""

import base64
import difflib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography import x509

from server.ports.connection import CONNECTION_NAME, Configured, Field, FieldKind, Kind, Value
from shared import errors
from shared.secret import Secret

LONGEST_TEXT: Final = 4096
LONGEST_PEM: Final = 256 << 10
LONGEST_SECRET: Final = 64 << 10
MOST_ITEMS: Final = 256
PRINTABLE: Final = re.compile(r"[^\x00-\x1f\x7f]*")
SCHEMES: Final = frozenset({"http", "https", "ldap", "ldaps"})


def check_name(name: str) -> str:
    """Return the name; `Invalid` where a connection may not be called so."""
    if not CONNECTION_NAME.fullmatch(name):
        raise errors.Invalid(field="name", why="a to z, 0 to 9 and -, a letter first, at most 40 characters")
    return name


def configured(name: str, kind: Kind, values: Mapping[str, Value]) -> Configured:
    """Return values that fit the kind's fields, defaults filled in.

    Raises:
        Invalid: a field is unknown, missing, or of another form; `field` names it.
    """
    fields = {field.name: field for field in kind.fields}
    for each in values:
        if each not in fields:
            near = difflib.get_close_matches(each, fields, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise errors.Invalid(field=each, why=f"{kind.name} has no such field{hint}")
    complete: dict[str, Value] = {}
    for field in kind.fields:
        value = values.get(field.name, field.default)
        if value is None or value in ("", ()) or value == {}:
            if field.required:
                raise errors.Invalid(field=field.name, why="it is needed")
            continue
        complete[field.name] = _checked(field, value)
    return Configured(name=name, kind=kind.name, values=complete)


def _checked(field: Field, value: Value) -> Value:
    """Return a value of the field's form."""
    why = _wrong(field, value)
    if why:
        raise errors.Invalid(field=field.name, why=why)
    return value


def _wrong(field: Field, value: Value) -> str:
    """Say what is wrong with a value, without quoting it; empty where nothing is."""
    match field.kind:
        case FieldKind.NUMBER:
            return _wrong_number(field, value)
        case FieldKind.CHOICE:
            return "" if value in field.choices else f"there are {', '.join(field.choices)}"
        case kind:
            good, needed = _FORMS[kind]
            return "" if good(value) else needed


def _wrong_number(field: Field, value: Value) -> str:
    if not isinstance(value, int) or isinstance(value, bool):
        return "a number is needed"
    low, high = field.minimum, field.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        return f"it must be {low} to {high}"
    return ""


def _is_secret(value: object) -> bool:
    return isinstance(value, Secret) and 0 < len(value.reveal()) <= LONGEST_SECRET


def _is_list(value: object) -> bool:
    return isinstance(value, tuple) and len(value) <= MOST_ITEMS and all(map(_is_text, value))


def _is_table(value: object) -> bool:
    if not isinstance(value, Mapping) or len(value) > MOST_ITEMS:
        return False
    return all(_is_text(name) and _is_text(each) for name, each in value.items())


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_TEXT and PRINTABLE.fullmatch(value) is not None


def _is_pem(value: object) -> bool:
    if not isinstance(value, str) or len(value) > LONGEST_PEM:
        return False
    try:
        return bool(x509.load_pem_x509_certificates(value.encode()))
    except ValueError:
        return False


def _is_address(value: object) -> bool:
    if not isinstance(value, str) or not _is_text(value):
        return False
    try:
        found = urlsplit(value)
    except ValueError:
        return False
    return found.scheme in SCHEMES and bool(found.hostname) and found.username is None


_FORMS: Final[Mapping[FieldKind, tuple[Callable[[object], bool], str]]] = {
    FieldKind.TEXT: (_is_text, "a text of one line is needed"),
    FieldKind.FLAG: (lambda value: isinstance(value, bool), "true or false is needed"),
    FieldKind.URL: (_is_address, "an address is needed, without a name and a password in it"),
    FieldKind.SECRET: (_is_secret, "a secret is needed, of at most 64 KiB"),
    FieldKind.CERTIFICATES: (_is_pem, "certificates in PEM are needed"),
    FieldKind.TEXTS: (_is_list, "a list of texts is needed"),
    FieldKind.MAP: (_is_table, "a table of texts is needed"),
}


# --- how they are kept ----------------------------------------------------------------------------------


def sealing_context(name: str) -> str:
    """Return under what a connection's secrets are sealed: another's do not open in their place."""
    return f"connection/{name}"


def settings_text(values: Mapping[str, Value]) -> str:
    """Return as JSON what is no secret, in the order of names."""
    plain = {
        name: dict(value) if isinstance(value, Mapping) else value
        for name, value in sorted(values.items())
        if not isinstance(value, Secret)
    }
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def read_settings(text: str) -> dict[str, Value]:
    """Undo `settings_text`."""
    found: dict[str, Any] = json.loads(text)
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}


def secrets_of(values: Mapping[str, Value]) -> dict[str, Secret]:
    """Return what is secret."""
    return {name: value for name, value in values.items() if isinstance(value, Secret)}


def secrets_text(secrets: Mapping[str, Secret]) -> Secret:
    """Return secrets as one secret, to be sealed."""
    encoded = {name: base64.b64encode(value.reveal()).decode() for name, value in sorted(secrets.items())}
    return Secret.from_text(json.dumps(encoded))


def read_secrets(opened: Secret) -> dict[str, Secret]:
    """Undo `secrets_text`."""
    found: dict[str, str] = json.loads(opened.reveal())
    return {name: Secret(base64.b64decode(value)) for name, value in found.items()}
