"""GET DATA and PUT DATA.

Source: [SP 800-73-5] part 1, table 3 (access rules); part 2, sections 3.1.2 and 3.3.2.
"""

from typing import Final

from shared.iso7816.apdu import Apdu
from shared.iso7816.status import SW
from shared.piv.ids import PIV_AID, ObjectId
from shared.virtual.applet import Applet
from shared.virtual.profiles import TEMPLATE_OBJECTS
from shared.virtual.security import Refused
from shared.virtual.tlv import only, put, walk

NEEDS_PIN: Final = frozenset(
    {
        int(ObjectId.FINGERPRINTS),
        int(ObjectId.FACIAL_IMAGE),
        int(ObjectId.PRINTED_INFORMATION),
        int(ObjectId.IRIS),
        int(ObjectId.PAIRING_CODE_REFERENCE),
    }
)
"""Objects that only the holder may read."""

_DISCOVERY: Final = put(0x4F, PIV_AID) + put(0x5F2F, b"\x40\x00")


def get_data(applet: Applet, apdu: Apdu) -> bytes:
    """Return one data object."""
    if (apdu.p1, apdu.p2) != (0x3F, 0xFF):
        raise Refused(SW.INCORRECT_PARAMETERS)
    tag = int.from_bytes(only(apdu.data, 0x5C), "big")
    if tag in NEEDS_PIN:
        applet.needs_pin()
    value = applet.memory.objects.get(tag)
    if tag in TEMPLATE_OBJECTS:
        if value is None and tag == ObjectId.DISCOVERY:
            value = _DISCOVERY
        if value is not None:
            return put(tag, value)
    if value is None:
        raise Refused(SW.FILE_NOT_FOUND)
    return put(0x53, value)


def put_data(applet: Applet, apdu: Apdu) -> bytes:
    """Write one data object whole; without content it is deleted."""
    if (apdu.p1, apdu.p2) != (0x3F, 0xFF):
        raise Refused(SW.INCORRECT_PARAMETERS)
    applet.needs_management()
    match list(walk(apdu.data)):
        case [(0x5C, name), (0x53, content)]:
            tag = int.from_bytes(name, "big")
            known = applet.profile.knows(tag) and tag not in TEMPLATE_OBJECTS
        case [(tag, content)] if tag in TEMPLATE_OBJECTS:
            known = applet.profile.knows(tag)
        case _:
            raise Refused(SW.INCORRECT_DATA)
    if not known:
        raise Refused(SW.FILE_NOT_FOUND)
    memory, profile = applet.memory, applet.profile
    others = memory.used - len(memory.objects.get(tag, b""))
    if len(content) > profile.max_object or others + len(content) > profile.capacity:
        raise Refused(SW.NOT_ENOUGH_MEMORY)
    applet.memory = memory.with_object(tag, content)
    return b""
