"""What `docs/reference/connections.md` says of every kind of connection, from what the kinds say of themselves."""

from collections.abc import Sequence

from server.connectors.kinds import KINDS
from server.ports.connection import Ability, Field, FieldKind, Kind, Port


def connections_block() -> str:
    """Return what every kind can do, and its fields."""
    parts: list[str] = []
    for port, title in ((Port.CA, "Certificate authorities"), (Port.DIRECTORY, "Directories")):
        kinds = [kind for kind in KINDS.values() if kind.port is port]
        parts += [f"## {title}", "", *_abilities(kinds), ""]
        for kind in kinds:
            if kind.fields:
                parts += [*_fields(kind), ""]
    return "\n".join(parts).rstrip()


def _abilities(kinds: Sequence[Kind]) -> list[str]:
    known = [each for each in Ability if any(each in kind.abilities for kind in kinds)]
    lines = [f"| kind | {' | '.join(each.value for each in known)} |", "| --- " * (len(known) + 1) + "|"]
    for kind in kinds:
        marks = " | ".join("yes" if each in kind.abilities else "" for each in known)
        lines.append(f"| [`{kind.name}`](../connectors/{kind.page}) | {marks} |")
    return lines


def _fields(kind: Kind) -> list[str]:
    extra = f" Needs the extra `{kind.extra}`." if kind.extra else ""
    return [
        f"### `{kind.name}`: {kind.title}",
        "",
        *([extra.strip(), ""] if extra else []),
        "| field | holds | default | |",
        "| --- | --- | --- | --- |",
        *(_field(each) for each in kind.fields),
    ]


def _field(field: Field) -> str:
    name = f"`{field.name}`" + (" (needed)" if field.required else "")
    default = "" if field.default is None else f"`{str(field.default).lower()}`"
    said = f"{field.title}. {field.help}".strip().replace("|", "\\|")
    return f"| {name} | {_holds(field)} | {default} | {said} |"


def _holds(field: Field) -> str:
    match field.kind:
        case FieldKind.CHOICE:
            return " or ".join(f"`{each}`" for each in field.choices)
        case FieldKind.NUMBER if field.minimum is not None and field.maximum is not None:
            return f"{field.minimum} to {field.maximum}"
        case kind:
            return {
                FieldKind.TEXT: "a text",
                FieldKind.NUMBER: "a number",
                FieldKind.FLAG: "yes or no",
                FieldKind.URL: "an address",
                FieldKind.SECRET: "a secret",
                FieldKind.CERTIFICATES: "certificates in PEM",
                FieldKind.TEXTS: "a list of texts",
                FieldKind.MAP: "a table of texts",
            }[kind]
