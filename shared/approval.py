"""An intent: what somebody asks a second person to approve, in the one form that is signed.

Who approves signs a text for this purpose (`shared.logon`) that names the digest of an intent, with the card and its PIN. A
station makes the digest itself from the intent that it shows, so that nobody has anything else approved than what was read.

The form is canonical: fields in their order, each behind its length in four bytes; a field that is a list holds its members
in the same way, sorted. Whatever is read is written again and has to be the same.

Source: card-rules section 7 (approvals).
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from shared import errors
from shared.credential.approval import ADMINISTRATIVE, MOST_APPROVALS, Approvers, Way
from shared.credential.effects import PERMITTED, Effect
from shared.credential.model import State

CONTEXT: Final = b"kiosk-intent-v1"
ID_LENGTH: Final = 16
DIGEST_LENGTH: Final = 32
NONCE_LENGTH: Final = 32
MAX_TEXT: Final = 1024
"""Bytes of one text."""
MAX_DETAIL: Final = 16_384
"""Bytes of what an administrative act says in full."""
MAX_INTENT: Final = 32_768
MAX_LIST: Final = 100

_LENGTH: Final = 4
_TIME_LENGTH: Final = 8
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What is asked for, by whom, for whom, on which card, and until when.

    `requester` is an operator's id, or the station's or the server's name for itself where nobody was logged on; `station`
    where it was asked. `holder` is the directory's immutable id. `card` is one record, or None: any card of the template;
    `credential` the one that is there already. `replaces` and `primary` are as an issue names them. `roles` are the names of
    those that the credential will give. `detail` is what an administrative act changes, in full, and whom it is about is the
    `holder`; for everything else it is a note of who asks. Times count whole seconds. The names are for people: the ids decide.
    """

    way: Way
    request_id: UUID
    requester: str
    requester_name: str
    station: UUID
    directory: str
    holder: str
    holder_name: str
    template: str
    template_digest: bytes
    state: State
    effects: frozenset[Effect]
    by: Approvers
    count: int
    created_at: datetime
    expires_at: datetime
    nonce: bytes
    card: UUID | None = None
    credential: UUID | None = None
    replaces: UUID | None = None
    primary: UUID | None = None
    roles: tuple[str, ...] = ()
    detail: str = ""

    def __post_init__(self) -> None:
        """Refuse an intent that could be read as another one, or that permits more than its way may do."""
        texts = (self.requester, self.requester_name, self.directory, self.holder, self.holder_name)
        acts = self.way in ADMINISTRATIVE
        allowed = PERMITTED[self.way] | (frozenset() if acts else {Effect.END_OTHERS})
        if (
            any(len(text.encode()) > MAX_TEXT for text in (*texts, self.template, *self.roles))
            or not self.requester
            or len(self.detail.encode()) > MAX_DETAIL
            or len(self.template_digest) != (0 if acts else DIGEST_LENGTH)
            or len(self.nonce) != NONCE_LENGTH
            or not 0 < self.count <= MOST_APPROVALS
            or len(self.roles) > MAX_LIST
            or self.roles != tuple(sorted(set(self.roles)))
            or not self.effects <= allowed
            or not _whole(self.created_at)
            or not _whole(self.expires_at)
            or self.expires_at <= self.created_at
        ):
            raise errors.Garbled(why="a field of an intent")

    def __bytes__(self) -> bytes:
        """Return the one form whose digest is signed."""
        return _joined(
            (
                CONTEXT,
                self.way.encode(),
                self.request_id.bytes,
                self.requester.encode(),
                self.requester_name.encode(),
                self.station.bytes,
                self.directory.encode(),
                self.holder.encode(),
                self.holder_name.encode(),
                self.template.encode(),
                self.template_digest,
                self.state.encode(),
                _joined(effect.encode() for effect in sorted(self.effects)),
                self.by.encode(),
                bytes((self.count,)),
                _time(self.created_at),
                _time(self.expires_at),
                self.nonce,
                *(each.bytes if each else b"" for each in (self.card, self.credential)),
                *(each.bytes if each else b"" for each in (self.replaces, self.primary)),
                _joined(role.encode() for role in self.roles),
                self.detail.encode(),
            )
        )

    @property
    def digest(self) -> bytes:
        """What a `LogonText` names."""
        return hashlib.sha256(bytes(self)).digest()


_FIELDS: Final = 24


def read_intent(content: bytes) -> Intent:
    """Read an intent, all of it.

    Raises:
        Garbled: it is none, or not in the one form.
    """
    if len(content) > MAX_INTENT:
        raise errors.Garbled(why="an intent is longer than any")
    parts = _split(content)
    if len(parts) != _FIELDS or parts[0] != CONTEXT or len(parts[14]) != 1:
        raise errors.Garbled(why="not the fields of an intent")
    try:
        intent = Intent(
            way=Way(parts[1].decode()),
            request_id=UUID(bytes=parts[2]),
            requester=parts[3].decode(),
            requester_name=parts[4].decode(),
            station=UUID(bytes=parts[5]),
            directory=parts[6].decode(),
            holder=parts[7].decode(),
            holder_name=parts[8].decode(),
            template=parts[9].decode(),
            template_digest=parts[10],
            state=State(parts[11].decode()),
            effects=frozenset(Effect(each.decode()) for each in _split(parts[12])),
            by=Approvers(parts[13].decode()),
            count=parts[14][0],
            created_at=_read_time(parts[15]),
            expires_at=_read_time(parts[16]),
            nonce=parts[17],
            card=_read_id(parts[18]),
            credential=_read_id(parts[19]),
            replaces=_read_id(parts[20]),
            primary=_read_id(parts[21]),
            roles=tuple(each.decode() for each in _split(parts[22])),
            detail=parts[23].decode(),
        )
    except (ValueError, OverflowError) as cause:
        raise errors.Garbled(why="a field of an intent") from cause
    if bytes(intent) != content:
        raise errors.Garbled(why="an intent in another form")
    return intent


def differences(approved: Intent, wanted: Intent) -> tuple[str, ...]:
    """Name what of `wanted` is not as it was approved; nothing where the approval covers it.

    What is wanted permits itself exactly what it is about to do: that has to be among what was approved. An intent for any
    card covers each of them. Names, times and the nonce are the approval's own.
    """
    if wanted.way is not approved.way:
        return ("way",)
    same = replace(
        wanted,
        request_id=approved.request_id,
        requester=approved.requester,
        requester_name=approved.requester_name,
        station=approved.station,
        holder_name=approved.holder_name,
        count=approved.count,
        created_at=approved.created_at,
        expires_at=approved.expires_at,
        nonce=approved.nonce,
        effects=approved.effects,
        detail=wanted.detail if wanted.way in ADMINISTRATIVE else approved.detail,
        card=wanted.card if approved.card is not None else None,
    )
    found = [
        name
        for name in (each.name for each in fields(Intent))
        if getattr(same, name) != getattr(approved, name)
    ]
    if not wanted.effects <= approved.effects:
        found.append("effects")
    if wanted.count > approved.count:
        found.append("count")
    return tuple(found)


# --- the form -------------------------------------------------------------------------------------------


def _joined(parts: Iterable[bytes]) -> bytes:
    return b"".join(len(each).to_bytes(_LENGTH, "big") + each for each in parts)


def _split(content: bytes) -> list[bytes]:
    found: list[bytes] = []
    while content:
        length = int.from_bytes(content[:_LENGTH], "big")
        if len(content) < _LENGTH + length or len(found) > MAX_LIST:
            raise errors.Garbled(why="an intent ends early, or never")
        found.append(content[_LENGTH : _LENGTH + length])
        content = content[_LENGTH + length :]
    return found


def _whole(at: datetime) -> bool:
    since = at - _EPOCH
    return since >= timedelta() and not since % _SECOND


def _time(at: datetime) -> bytes:
    return ((at - _EPOCH) // _SECOND).to_bytes(_TIME_LENGTH, "big")


def _read_time(field: bytes) -> datetime:
    if len(field) != _TIME_LENGTH:
        raise errors.Garbled(why="a time of an intent")
    return _EPOCH + int.from_bytes(field, "big") * _SECOND


def _read_id(field: bytes) -> UUID | None:
    return UUID(bytes=field) if field else None
