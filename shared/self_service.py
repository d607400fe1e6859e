"""Log-ons of holders, as values on both ends of the wire."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from shared.credential.self_service import HolderProof
from shared.secret import Secret
from shared.sessions import LogonProof


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordGiven:
    """Who somebody says they are (log-on name, UPN or mail), and the directory's password."""

    name: str
    password: Secret = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CardShown:
    """What a holder's card made of a challenge. `card` is the GUID in its CHUID: where to look, and no proof."""

    card: UUID
    proof: LogonProof


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeGiven:
    """A code that an operator made for the credential on this card."""

    card: UUID
    code: Secret = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCode:
    """What somebody does on another device: open `address` and type `code`; `whole_address` has the code in it, or is empty.

    `logon_id` names the log-on at the calling station and is worth nothing elsewhere. It ends at `ends_at`; ask what became of
    it every `interval_s` seconds.
    """

    logon_id: UUID
    code: str
    address: str
    whole_address: str
    ends_at: datetime
    interval_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceWaits:
    """Nobody has finished it yet; ask again after `interval_s` seconds."""

    interval_s: int


HolderGiven = PasswordGiven | CardShown | CodeGiven


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderView:
    """The holder who is logged on at this station, and by which proof.

    It ends at `ends_at`, and before that when nothing was done for `idle`. Times are the server's.
    """

    holder: str
    name: str
    proof: HolderProof
    began_at: datetime
    ends_at: datetime
    idle: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderReply:
    """A log-on that succeeded. Whoever shows `token` at this station acts as the holder."""

    token: Secret = field(repr=False)
    session: HolderView
