"""Read and write data objects.

Sources: [SP 800-73-5] part 2, sections 3.1.2 (GET DATA) and 3.3.2 (PUT DATA).
"""

from dataclasses import replace
from typing import Final

from shared.iso7816.apdu import ANY_STATUS, ONLY_OK, Command, Response
from shared.iso7816.conversation import Conversation, send
from shared.iso7816.status import SW, error_for
from shared.iso7816.tlv import encode, unwrap
from shared.piv.ids import Ins, ObjectId

_CONTENT: Final = 0x53
_TAG_LIST: Final = 0x5C
_OWN_TEMPLATE: Final = frozenset({ObjectId.DISCOVERY, ObjectId.BIOMETRIC_GROUP_TEMPLATE})
"""Objects that are BER-TLV templates themselves and have no 53 around their content."""


def object_name(object_id: ObjectId) -> str:
    """Return the words for an object in labels and notes."""
    short = {ObjectId.CHUID: "CHUID", ObjectId.CCC: "CCC", ObjectId.SECURITY: "security object"}
    return short.get(object_id, object_id.name.replace("_", " ").lower())


def container_tag(object_id: ObjectId) -> int:
    """Return the tag around an object's content: 53, or its own for the two interindustry templates."""
    return int(object_id) if object_id in _OWN_TEMPLATE else _CONTENT


def get_data(
    object_id: ObjectId, *, expect: frozenset[int] | None = ONLY_OK, answer: bytes | None = None
) -> Command:
    """Return GET DATA for one object."""
    return Command(
        ins=Ins.GET_DATA,
        p1=0x3F,
        p2=0xFF,
        parts=(encode(_TAG_LIST, _tag_bytes(object_id)),),
        le=0,
        expect=expect,
        answer=answer,
        label=f"GET DATA {object_name(object_id)}",
    )


def read_object(object_id: ObjectId) -> Conversation[bytes]:
    """Read an object and return its content, without the 53 (7E, 7F61) around it.

    Raises:
        ObjectMissing: it is not on the card.
        NotAuthorised: it wants the PIN first (Printed Information, facial image, fingerprints).
        CardMalformed: what the card returned is not one element with the right tag.
    """
    response = yield from send(get_data(object_id))
    return unwrap(container_tag(object_id), response.data, object_name(object_id))


def read_optional(object_id: ObjectId) -> Conversation[bytes | None]:
    """Read an object, or return None where the card does not have it; else as `read_object`."""
    command = get_data(object_id, expect=ANY_STATUS)
    response = yield from send(command)
    return content_of(object_id, response)


def content_of(object_id: ObjectId, response: Response) -> bytes | None:
    """Return an object's content from a response to GET DATA; None where the object is missing or was emptied."""
    if response.sw in {SW.FILE_NOT_FOUND, SW.REFERENCE_NOT_FOUND}:
        return None
    if not response.ok:
        raise error_for(response.sw, f"GET DATA {object_name(object_id)}")
    return unwrap(container_tag(object_id), response.data, object_name(object_id)) or None


def write_object(object_id: ObjectId, content: bytes) -> Conversation[None]:
    """Write an object; `content` is what goes into the 53 (7E, 7F61).

    Raises:
        NotAuthorised: the card wants the management key first.
        CardFull: no room.
    """
    yield from send(_put_data(object_id, content))


def delete_object(object_id: ObjectId, *, missing_ok: bool = False) -> Conversation[None]:
    """Empty an object: PUT DATA without content, which cards treat as absent from then on.

    With `missing_ok` a card may refuse, as some do for objects that they do not have: reading it shows what is left.
    """
    command = _put_data(object_id, b"")
    yield from send(replace(command, expect=ANY_STATUS) if missing_ok else command)


def still_there(object_id: ObjectId) -> Conversation[bool]:
    """Whether an object can be read and is not empty; a card that refuses to show it, for any reason, has none."""
    response = yield from send(get_data(object_id, expect=ANY_STATUS))
    return response.ok and content_of(object_id, response) is not None


def _put_data(object_id: ObjectId, content: bytes) -> Command:
    if object_id in _OWN_TEMPLATE:
        parts = encode(object_id, content)
    else:
        parts = encode(_TAG_LIST, _tag_bytes(object_id)) + encode(_CONTENT, content)
    return Command(
        ins=Ins.PUT_DATA,
        p1=0x3F,
        p2=0xFF,
        parts=(parts,),
        label=f"PUT DATA {object_name(object_id)}",
    )


def _tag_bytes(object_id: ObjectId) -> bytes:
    return int(object_id).to_bytes((int(object_id).bit_length() + 7) // 8, "big")
