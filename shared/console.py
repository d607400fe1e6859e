"""What a station's faces ask the server between operations, and the answers, as values."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from shared.credential.difference import Difference
from shared.credential.drift_kinds import Drift
from shared.credential.model import Person, State
from shared.credential.sight import Sight
from shared.relay import OperationKind
from shared.station_profile import EVERYTHING, StationProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class CardHints:
    """What a station saw of a card, for looking it up. Nothing here is proof of anything.

    `guid` is from the CHUID; `profile` is a `ProfileName`; `sight` is None where the card was not read.
    """

    profile: str
    serial: int | None = None
    guid: UUID | None = None
    virtual: bool = False
    sight: Sight | None = None

    @property
    def factory_management_key(self) -> bool | None:
        """Whether the card says that its management key is the factory's; None where it does not tell."""
        return self.sight.management.default if self.sight is not None else None

    @property
    def pin_tries_left(self) -> int | None:
        """How many tries the PIN has left; None where the card does not tell."""
        return self.sight.pin.tries_left if self.sight is not None else None

    @property
    def puk_tries_left(self) -> int | None:
        """How many tries the PUK has left; None where the card does not tell."""
        return self.sight.puk.tries_left if self.sight is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CardView:
    """What the record says of the card in a reader, and what may be done now.

    `reachable` are the operations that lifecycle and rights allow, the obvious next one first. `interrupted` is
    the operation that was cut and goes on when it is chosen again. `notices` are stable keys for words (`card is
    in factory state but known`, …). `issued_at` is ISO 8601 in UTC or empty. `drift` is where the card differs from the
    record, as far as the station's word goes. `at_sight` is what is done to the card as soon as it is seen: what was
    decided about it while it was away.
    """

    state: State
    reachable: tuple[OperationKind, ...] = ()
    interrupted: OperationKind | None = None
    holder: Person | None = None
    template: str = ""
    template_title: str = ""
    template_version: int = 0
    issued_at: str = ""
    key_generation: int = 0
    notices: tuple[str, ...] = ()
    drift: tuple[Drift, ...] = ()
    at_sight: OperationKind | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A card beside a template. `template` is empty where the card has no credential and no template was named."""

    template: str = ""
    title: str = ""
    version: int = 0
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateView:
    """A template as a face offers it. `slots` are texts such as `9A P-256 smart-card-logon`.

    One that is `temporary` makes credentials that stand in for another one, and no others. `directory` is the connection whose
    people get it; the credentials of an `operator` one carry roles. `unrevocable` names certificate authorities that need not
    be able to revoke what they issue for it.
    """

    name: str
    title: str
    version: int
    slots: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    temporary: bool = False
    directory: str = ""
    operator: bool = False
    unrevocable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerView:
    """The server and this station as the server knows it. `time` is the server's clock when it answered.

    `first_start`: it waits for whoever knows the passcode of the first start.
    """

    server: str
    version: str
    station: str
    lab: bool
    time: datetime | None = None
    profile: StationProfile = EVERYTHING
    first_start: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """People that matched a search; `more` says that the limit cut the list. `directories` are those that can be searched."""

    people: tuple[Person, ...] = field(default_factory=tuple)
    more: bool = False
    directories: tuple[str, ...] = ()
