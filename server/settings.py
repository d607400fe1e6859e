"""What the server needs to start: the table `[server]` of `kiosk.toml`.

Templates and policies are no settings; they live in the database.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from shared.config import Address, Document, find_file
from shared.credential.approval import ADMINISTRATIVE
from shared.logs import LogSettings
from shared.secret import Secret

MAX_PORT: Final = 65_535
DEFAULT_LISTEN: Final = Address("0.0.0.0", 7443)  # noqa: S104  # stations are on other machines
DEFAULT_JOIN_LISTEN: Final = Address("0.0.0.0", 7444)  # noqa: S104  # so are those that join


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStoreSettings:
    """`[server.key-store]`. Where `passphrase` is absent it is asked for at every start."""

    file: Path | None = None
    passphrase: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaSettings:
    """`[server.ca]`: the built-in certificate authority.

    With `listen` the server publishes revocation lists, issuers and answers to OCSP over HTTP there; `url` is how others reach
    it (by default the server's first name and that port) and goes into every certificate. `crl_url` names another place
    for the list, to which somebody copies it. Without any of them nobody is told where revocations stand.

    `algorithm` is that of the issuers' own keys, which `kiosk-server init` makes once: RSA where those who check certificates know
    nothing else (Kerberos in Samba, old controllers).
    """

    algorithm: Literal["P-256", "P-384", "RSA-3072", "RSA-4096"] = "P-256"
    crl_url: str = ""
    listen: Address | None = None
    url: str = ""

    def __post_init__(self) -> None:
        """Refuse what no relying party could fetch."""
        message = ""
        if self.crl_url and not self.crl_url.startswith(("http://", "https://", "ldap://")):
            message = "crl-url must begin with http://, https:// or ldap://"
        elif self.url and not self.url.startswith("http://"):
            message = "url must begin with http://: whoever checks a certificate must not need to check another one first"
        elif self.url and self.listen is None:
            message = "url says how others reach what listen opens; it is not there"
        if message:
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """`[server.jobs]`: how long something may wait.

    What certificate authorities have to do is late after `warn_after_hours`, overdue after `limit_hours`. After
    `orphan_after_days` certificates of a card are revoked whose issue was cut and not gone on with.
    """

    warn_after_hours: int = 12
    limit_hours: int = 18
    orphan_after_days: int = 7

    def __post_init__(self) -> None:
        """Refuse deadlines that come in the wrong order, or at once."""
        if not 1 <= self.warn_after_hours <= self.limit_hours or self.orphan_after_days < 1:
            message = "warn-after-hours must be 1 to limit-hours, and orphan-after-days at least 1"
            raise ValueError(message)


MAX_STEP_UP_MINUTES: Final = 15
MAX_SESSION_MINUTES: Final = 24 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """`[server.sessions]`: how long an operator stays logged on.

    A session ends `idle_minutes` after its last call, and `longest_minutes` after the log-on. For `step_up_minutes` after
    the operator's PIN was asked it is not asked again for what is sensitive; with 0 for half a
    minute, because what it was asked for comes after it. A session through an ssh-agent ends `agent_idle_minutes` after its last
    call, and never later than others; with 0 nobody logs on so.
    """

    idle_minutes: int = 10
    longest_minutes: int = 12 * 60
    step_up_minutes: int = 5
    agent_idle_minutes: int = 5

    def __post_init__(self) -> None:
        """Refuse sessions that never end, or that end before they begin."""
        if not 1 <= self.idle_minutes <= self.longest_minutes <= MAX_SESSION_MINUTES:
            message = f"idle-minutes must be 1 to longest-minutes, which is at most {MAX_SESSION_MINUTES}"
            raise ValueError(message)
        if not 0 <= self.step_up_minutes <= MAX_STEP_UP_MINUTES:
            message = f"step-up-minutes must be 0 to {MAX_STEP_UP_MINUTES}"
            raise ValueError(message)
        if not 0 <= self.agent_idle_minutes <= MAX_SESSION_MINUTES:
            message = f"agent-idle-minutes must be 0 to {MAX_SESSION_MINUTES}"
            raise ValueError(message)


MAX_PASSWORD_TRIES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfServiceSettings:
    """`[server.self-service]`: how long a holder stays logged on, and how often a directory password is tried.

    A session ends `idle_minutes` after its last call, and `longest_minutes` after the log-on. A wrong password is tried
    `password_tries` times for one person within `tries_within_minutes`: fewer than lock the account at the directory.
    """

    idle_minutes: int = 3
    longest_minutes: int = 15
    password_tries: int = 3
    tries_within_minutes: int = 30

    def __post_init__(self) -> None:
        """Refuse sessions that stay open at a place that anybody may use, and what would lock accounts."""
        if not 1 <= self.idle_minutes <= self.longest_minutes <= MAX_SESSION_MINUTES:
            message = f"idle-minutes must be 1 to longest-minutes, which is at most {MAX_SESSION_MINUTES}"
            raise ValueError(message)
        if not 1 <= self.password_tries <= MAX_PASSWORD_TRIES or self.tries_within_minutes < 1:
            message = f"password-tries must be 1 to {MAX_PASSWORD_TRIES}, and tries-within-minutes at least 1"
            raise ValueError(message)


MAX_APPROVAL_HOURS: Final = 720


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalSettings:
    """`[server.approvals]`: which of the server's own acts take a second person, and how strictly people are kept apart.

    `acts` are `set-operator-roles` (and what applications may do), `activate-operator`, `change-role`, `new-key-generation` and
    `apply-templates`; templates say the rest, so that without the last whoever applies them can take a rule away. With
    `approver_executes` who approved may also carry it out; without `same_station` that is done at another station than asking
    and approving.
    """

    acts: tuple[str, ...] = ()
    valid_for_hours: int = 24
    approver_executes: bool = False
    same_station: bool = True

    def __post_init__(self) -> None:
        """Refuse acts that nobody approves."""
        unknown = sorted(set(self.acts) - ADMINISTRATIVE)
        if unknown:
            message = f"no act {unknown[0]}; acts are {', '.join(sorted(ADMINISTRATIVE))}"
            raise ValueError(message)
        if not 1 <= self.valid_for_hours <= MAX_APPROVAL_HOURS:
            message = f"valid-for-hours must be 1 to {MAX_APPROVAL_HOURS}"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDirectorySettings:
    """`[server.directory.NAME]` with `kind = "file"`: people in a CSV or LDIF file."""

    kind: Literal["file"]
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class LdapDirectorySettings:
    """`[server.directory.NAME]` with `kind = "ldap"`; the wire is always encrypted.

    `attributes` maps names of ours (`user`, `mail` …) to the directory's where the defaults of `schema` do not fit.
    `ca_file` is PEM; without it the system's roots count.
    """

    kind: Literal["ldap"]
    host: str
    base: str
    bind_dn: str
    password: Secret
    port: int = 636
    tls: Literal["ldaps", "starttls"] = "ldaps"
    ca_file: Path | None = None
    schema: Literal["rfc2798", "active-directory"] = "rfc2798"
    attributes: dict[str, str] = field(default_factory=dict)
    timeout_s: int = 5

    def __post_init__(self) -> None:
        """Refuse what could only fail later."""
        message = ""
        if not (self.host and self.base and self.bind_dn):
            message = "host, base and bind-dn must not be empty"
        elif not 1 <= self.port <= MAX_PORT or self.timeout_s < 1:
            message = "port must be 1 to 65535 and timeout-s at least 1"
        if message:
            raise ValueError(message)


DirectorySettings = FileDirectorySettings | LdapDirectorySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """`[server]`. `names` are the DNS names and addresses in the server's own certificate.

    With `reflection` the stations' listener describes its services to whoever has a certificate of ours.
    """

    organisation: str
    names: tuple[str, ...]
    data_folder: Path
    listen: Address = DEFAULT_LISTEN
    join_listen: Address = DEFAULT_JOIN_LISTEN
    admin_socket: Path | None = None
    allow_lab: bool = False
    reflection: bool = False
    key_store: KeyStoreSettings = field(default_factory=KeyStoreSettings)
    ca: CaSettings = field(default_factory=CaSettings)
    jobs: JobSettings = field(default_factory=JobSettings)
    sessions: SessionSettings = field(default_factory=SessionSettings)
    self_service: SelfServiceSettings = field(default_factory=SelfServiceSettings)
    approvals: ApprovalSettings = field(default_factory=ApprovalSettings)
    directory: dict[str, DirectorySettings] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a server that no certificate could name."""
        if not self.organisation or not self.names:
            message = "organisation and names must not be empty"
            raise ValueError(message)

    @property
    def store_file(self) -> Path:
        """The database."""
        return self.data_folder / "store.db"

    @property
    def key_store_file(self) -> Path:
        """The key store: where the settings say, else in the data folder."""
        return self.key_store.file or self.data_folder / "keys"

    @property
    def admin_socket_file(self) -> Path:
        """The Unix socket of the administration: where the settings say, else in the data folder."""
        return self.admin_socket or self.data_folder / "admin.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that the server reads, and the file that it came from."""

    file: Path
    server: ServerSettings
    log: LogSettings


def read_settings(option: Path | None = None) -> Settings:
    """Read the server's part of the file that `--config` names, or of the one found.

    Raises:
        ConfigMissing: no file, no table `[server]`, or a key without a default is missing.
        ConfigInvalid: something in it is wrong, or a secret's reference leads nowhere.
    """
    document = Document(find_file(option))
    return Settings(
        file=document.path,
        server=document.read("server", ServerSettings),
        log=document.read("log", LogSettings),
    )
