"""From a directory's entry to a person."""

import base64
import contextlib
from collections.abc import Mapping, Sequence

from server.connectors.directory.schema import Schema, decode_sid, is_enabled, valid_until
from shared.credential.model import HolderId, Person


def person_from(values: Mapping[str, Sequence[bytes]], schema: Schema) -> Person | None:
    """Read an entry's raw values by attribute name; None where it has no immutable id or one of another form.

    Of several values the first counts. A photo is base64 text. What is not of its form is left out, so that one bad
    attribute hides nobody.
    """
    lowered = {name.lower(): tuple(found) for name, found in values.items()}
    ids = lowered.get(schema.id_attribute.lower())
    if not ids:
        return None
    try:
        holder = HolderId(schema.id_value(ids[0]))
    except ValueError:
        return None
    attributes: dict[str, str] = {}
    for name, attribute in schema.attributes.items():
        found = lowered.get(attribute.lower())
        if found and found[0]:
            with contextlib.suppress(ValueError):
                attributes[name] = _text(attribute, found[0], schema)
    return Person(
        holder=holder,
        name=_name(attributes),
        attributes=attributes,
        enabled=is_enabled(lowered),
        valid_until=valid_until(lowered),
    )


def _text(attribute: str, value: bytes, schema: Schema) -> str:
    if attribute in schema.binary:
        return base64.b64encode(value).decode("ascii")
    if attribute.lower() == "objectsid" and not value.startswith(b"S-"):
        return decode_sid(value)
    return value.decode()


def _name(attributes: Mapping[str, str]) -> str:
    """Return the name, or what comes nearest to it."""
    both = f"{attributes.get('given-name', '')} {attributes.get('surname', '')}".strip()
    return attributes.get("name") or both or attributes.get("user", "")
