"""Templates that the scenarios issue by."""

from shared.piv.ids import Algorithm, PinPolicyId, Slot, TouchPolicyId

EMPLOYEE = """\
name = "employee"
title = "Employee badge"
directory = "people"

[[certificate]]
slot = "9A"
algorithm = "P-256"
ca = "built-in"
profile = "smart-card-logon"
subject = "CN=${user.name},OU=${user.department?},O=Example"
upn = "${user.upn}"
sid = "${user.sid?}"

[[certificate]]
slot = "9C"
algorithm = "P-256"
ca = "built-in"
profile = "signature"
subject = "CN=${user.name},O=Example"
mail = "${user.mail}"

[[certificate]]
slot = "9D"
algorithm = "P-256"
ca = "built-in"
profile = "key-management"
subject = "CN=${user.name},O=Example"
mail = "${user.mail}"

[[certificate]]
slot = "9E"
algorithm = "P-256"
ca = "built-in"
profile = "card-authentication"
subject = "CN=${card.id},O=Example"
"""

_PROFILES = {
    Slot.AUTHENTICATION: "piv-authentication",
    Slot.SIGNATURE: "signature",
    Slot.CARD_AUTHENTICATION: "card-authentication",
}


def certificate(
    slot: Slot,
    algorithm: Algorithm,
    *,
    pin: PinPolicyId | None = None,
    touch: TouchPolicyId | None = None,
    subject: str = "CN=${user.name},O=Example",
) -> str:
    """Return a `[[certificate]]` table with the profile that is usual for its slot."""
    lines = [
        "[[certificate]]",
        f'slot = "{slot.text}"',
        f'algorithm = "{algorithm.text}"',
        'ca = "built-in"',
        f'profile = "{_PROFILES.get(slot, "key-management")}"',
        f'subject = "{subject}"',
    ]
    if pin is not None:
        lines.append(f'pin-policy = "{pin.name.lower()}"')
    if touch is not None:
        lines.append(f'touch-policy = "{touch.name.lower()}"')
    return "\n".join(lines)


def template(*certificates: str, head: str = "", tables: str = "") -> str:
    """Return a template named `breadth`; `head` are more lines of its first table, `tables` more tables."""
    first = f'name = "breadth"\ntitle = "Breadth"\ndirectory = "people"\n{head}'
    return "\n\n".join((first, tables, *certificates)) + "\n"
