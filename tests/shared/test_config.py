import os
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kiosk.settings
import server.settings
from shared import errors
from shared.config import Address, Document, find_file, resolve_secret
from shared.logs import LogSettings
from shared.secret import Secret

SAMPLE = Path(__file__).parents[2] / "kiosk.toml"


class Colour(StrEnum):
    RED = "red"
    DARK_BLUE = "dark-blue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Square:
    kind: Literal["square"]
    side: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Circle:
    kind: Literal["circle"]
    radius: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Below:
    call_timeout_s: float = 2.0
    wide: bool = False

    def __post_init__(self) -> None:
        if self.call_timeout_s > 60:
            message = "call-timeout-s is too long"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    name: str
    count: int = 1
    colour: Colour = Colour.RED
    address: Address | None = None
    folder: Path | None = None
    password: Secret | None = None
    tags: tuple[str, ...] = ()
    below: Below = field(default_factory=Below)
    shape: dict[str, Square | Circle] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "kiosk.toml"
        path.write_text(textwrap.dedent(text))
        return path

    return write


Write = Callable[[str], Path]


def test_every_kind_of_value(write: Write) -> None:
    path = write(
        """
        [server]
        name = "Ü"
        count = 3
        colour = "dark-blue"
        address = "[::1]:443"
        folder = "below/here"
        password = "file:secret"
        tags = ["a", "b"]
        shape.small = { kind = "square", side = 2 }
        words = { mail = "mailAddress" }
        [server.below]
        call-timeout-s = 5
        wide = true
        [server.shape."very round"]
        kind = "circle"
        radius = 2.5
        """
    )
    (path.parent / "secret").write_bytes(b"pass word\r\n")
    (path.parent / "secret").chmod(0o640)
    assert Document(path).read("server", Whole) == Whole(
        name="Ü",
        count=3,
        colour=Colour.DARK_BLUE,
        address=Address("::1", 443),
        folder=path.parent / "below/here",
        password=Secret(b"pass word"),
        tags=("a", "b"),
        below=Below(call_timeout_s=5.0, wide=True),
        shape={
            "small": Square(kind="square", side=2),
            "very round": Circle(kind="circle", radius=2.5),
        },
        words={"mail": "mailAddress"},
    )


@pytest.mark.parametrize(
    ("line", "facts"),
    [
        ("nmae = 'x'", {"key": "server.nmae", "why": "unknown key", "nearest": "name"}),
        ("zzz = 1", {"key": "server.zzz", "why": "unknown key"}),
        ("count = '3'", {"key": "server.count", "why": "must be a whole number"}),
        ("count = true", {"key": "server.count", "why": "must be a whole number"}),
        ("count = 3.0", {"key": "server.count", "why": "must be a whole number"}),
        ("colour = 'green'", {"key": "server.colour", "why": "must be one of red, dark-blue"}),
        ("colour = 1", {"key": "server.colour", "why": "must be one of red, dark-blue"}),
        ("colour = []", {"key": "server.colour", "why": "must be one of red, dark-blue"}),
        ("address = 'nowhere'", {"key": "server.address", "why": "must be host:port"}),
        ("address = 1", {"key": "server.address", "why": "must be a text"}),
        ("folder = 1", {"key": "server.folder", "why": "must be a text"}),
        (
            "password = 'hunter2'",
            {"key": "server.password", "why": "must be a reference: env:NAME, file:PATH or fd:N"},
        ),
        ("tags = 'a'", {"key": "server.tags", "why": "must be a list"}),
        ("tags = ['a', 2]", {"key": "server.tags", "why": "must be a text"}),
        ("below = 1", {"key": "server.below", "why": "must be a table"}),
        ("below = { wide = 1 }", {"key": "server.below.wide", "why": "must be true or false"}),
        ("below.wied = true", {"key": "server.below.wied", "why": "unknown key", "nearest": "wide"}),
        ("below = { call-timeout-s = 61 }", {"key": "server.below", "why": "call-timeout-s is too long"}),
        (
            "shape.a = { kind = 'line' }",
            {"key": "server.shape.a.kind", "why": "must be one of square, circle"},
        ),
        ("shape.a = { kind = 'circle', side = 1 }", {"key": "server.shape.a.side", "why": "unknown key"}),
        ("shape = 7", {"key": "server.shape", "why": "must be a table"}),
        ("[servers]", {"key": "servers", "why": "unknown table", "nearest": "server"}),
    ],
)
def test_what_is_wrong_is_named_with_its_line(write: Write, line: str, facts: dict[str, str]) -> None:
    path = write("# a comment\n[server]\nname = '''\nx = 1\n'''\n\n" + line + "\n")
    with pytest.raises(errors.ConfigInvalid) as refused:
        Document(path).read("server", Whole)
    assert refused.value.facts == {"file": str(path), "line": 7, **facts}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("", "server"),
        ("[server]\ncount = 1", "server.name"),
        ("[server]\nname = 'x'\n[server.shape.a]\nside = 1", "server.shape.a.kind"),
        ("[server]\nname = 'x'\n[server.shape.a]\nkind = 'square'", "server.shape.a.side"),
    ],
)
def test_what_is_missing_is_named(write: Write, text: str, key: str) -> None:
    path = write(text)
    with pytest.raises(errors.ConfigMissing) as refused:
        Document(path).read("server", Whole)
    assert refused.value.facts == {"file": str(path), "key": key}


def test_a_table_of_defaults_may_be_missing(write: Write) -> None:
    assert Document(write("")).read("log", LogSettings) == LogSettings()


def test_the_tables_of_others_are_not_read(write: Write) -> None:
    document = Document(write("[station]\nnobody-knows = 'env:NOT_TAKEN'\n[server]\nname = 'x'"))
    assert document.read("server", Whole).name == "x"


@pytest.mark.parametrize(
    ("text", "line"),
    [("[server]\nname = x\n", 2), ("[server]\n\na = 1\na = 2", 4), ("[server\n", 1), ('a = """\n\n', 2)],
)
def test_broken_toml_is_named_with_its_line(write: Write, text: str, line: int) -> None:
    with pytest.raises(errors.ConfigInvalid) as refused:
        Document(write(text))
    assert refused.value.facts["line"] == line
    assert "line" not in str(refused.value.facts["why"])


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kiosk.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(errors.ConfigInvalid, match="UTF-8"):
        Document(tmp_path / "kiosk.toml")
    with pytest.raises(errors.ConfigInvalid, match="directory"):
        Document(tmp_path)
    with pytest.raises(errors.ConfigMissing):
        Document(tmp_path / "nowhere.toml")


# --- the file ---------------------------------------------------------------------------------------------


def test_the_option_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("option", "variable", "kiosk.toml"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KIOSK_CONFIG", str(tmp_path / "variable"))
    assert find_file(tmp_path / "option") == tmp_path / "option"
    assert find_file() == tmp_path / "variable"
    monkeypatch.delenv("KIOSK_CONFIG")
    assert find_file() == Path("kiosk.toml")


def test_a_named_file_is_not_replaced_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kiosk.toml").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.ConfigMissing, match="nowhere"):
        find_file(tmp_path / "nowhere")


# --- addresses and secrets --------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["host:1", "10.0.0.1:65535", "[fe80::1]:7443", "localhost:0"])
def test_an_address_reads_as_it_is_written(text: str) -> None:
    assert str(Address.from_text(text)) == text


@pytest.mark.parametrize(
    "text", ["", "host", "host:", ":1", "host:65536", "host:-1", "::1:443", "[]:1", "h:¹"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        Address.from_text(text)


@given(st.text(max_size=30))
def test_reading_an_address_gives_one_or_says_why(text: str) -> None:
    try:
        address = Address.from_text(text)
    except ValueError:
        return
    assert Address.from_text(str(address)) == address


def test_a_secret_leaves_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "hunter2")
    assert resolve_secret("env:A_SECRET", tmp_path) == Secret(b"hunter2")
    assert "A_SECRET" not in os.environ
    with pytest.raises(ValueError, match="env:A_SECRET is empty or not there"):
        resolve_secret("env:A_SECRET", tmp_path)


def test_a_secret_from_a_descriptor_is_read_once(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"hunter2\n")
    os.close(writing)
    assert resolve_secret(f"fd:{reading}", tmp_path) == Secret(b"hunter2")
    with pytest.raises(ValueError, match="Bad file descriptor"):
        resolve_secret(f"fd:{reading}", tmp_path)


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o666])
def test_a_secret_that_everybody_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "secret"
    path.write_text("hunter2")
    path.chmod(mode)
    with pytest.raises(ValueError, match="open to everybody") as refused:
        resolve_secret("file:secret", tmp_path)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("reference", ["hunter2", "fd:x", "ENV:X", "http://x", ""])
def test_a_secret_is_never_in_the_file_itself(reference: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be a reference") as refused:
        resolve_secret(reference, tmp_path)
    assert "hunter2" not in str(refused.value)


def test_a_secret_file_must_be_there_and_have_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No such file"):
        resolve_secret("file:secret", tmp_path)
    (tmp_path / "secret").write_text("\n")
    (tmp_path / "secret").chmod(0o600)
    with pytest.raises(ValueError, match="empty"):
        resolve_secret("file:secret", tmp_path)


# --- the sample ---------------------------------------------------------------------------------------------


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the sample, with its references leading somewhere."""
    (tmp_path / "ldap-password").write_text("ldap")
    (tmp_path / "ldap-password").chmod(0o600)
    text = SAMPLE.read_text().replace("/etc/issuance-kiosk/ldap-password", "ldap-password")
    (tmp_path / "kiosk.toml").write_text(text)
    monkeypatch.setenv("KIOSK_PASSPHRASE", "canary")
    return tmp_path / "kiosk.toml"


def test_both_programs_read_the_sample(sample: Path) -> None:
    station = kiosk.settings.read_settings(sample)
    assert station.station.server.address == Address("cards.example.org", 7443)
    assert os.environ["KIOSK_PASSPHRASE"] == "canary"
    settings = server.settings.read_settings(sample)
    assert settings.server.key_store.passphrase == Secret(b"canary")
    assert {type(each) for each in settings.server.directory.values()} == {
        server.settings.FileDirectorySettings,
        server.settings.LdapDirectorySettings,
    }
    assert station.log == settings.log
    assert "canary" not in repr(settings)


def described(kind: Any) -> set[str]:
    """Return every key that a dataclass and those below it know, by its name."""
    found: set[str] = set()
    for each in fields(kind):
        found.add(each.name.replace("_", "-"))
        waiting = [get_type_hints(kind)[each.name]]
        while waiting:
            inner = waiting.pop()
            if is_dataclass(inner) and inner is not Address:
                found |= described(inner)
            waiting += get_args(inner)
    return found


@pytest.mark.parametrize(
    "kind", [kiosk.settings.StationSettings, server.settings.ServerSettings, LogSettings]
)
def test_the_sample_shows_every_key(kind: type) -> None:
    text = SAMPLE.read_text()
    for key in described(kind):
        assert f"\n{key} = " in text or f".{key}]" in text or f".{key}." in text, key


def test_defaults_in_the_sample_are_the_real_ones(sample: Path) -> None:
    station = kiosk.settings.read_settings(sample).station
    assert station.readers == kiosk.settings.ReaderSettings()
    assert station.server == kiosk.settings.ServerSettings(address=station.server.address)
    settings = server.settings.read_settings(sample).server
    assert (settings.listen, settings.join_listen) == (
        server.settings.DEFAULT_LISTEN,
        server.settings.DEFAULT_JOIN_LISTEN,
    )
    assert settings.ca == server.settings.CaSettings(
        crl_url=settings.ca.crl_url, listen=settings.ca.listen, url=settings.ca.url
    )
    assert settings.jobs == server.settings.JobSettings()
    assert settings.sessions == server.settings.SessionSettings()
    assert settings.allow_lab is False


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('host = "ldap.example.org"', 'host = ""', "host, base and bind-dn"),
        ('tls = "ldaps"', 'tls = "none"', "must be one of ldaps, starttls"),
        ("port = 636", "port = 65536", "port must be"),
        ("timeout-s = 5\n", "timeout-s = 0\n", "timeout-s at least 1"),
        ('crl-url = "http:', 'crl-url = "file:', "crl-url must begin"),
        ('url = "http://cards', 'url = "https://cards', "url must begin"),
        ('listen = "0.0.0.0:7480"', "", "url says how others reach"),
        ('names = ["cards.example.org"]', "names = []", "names must not be empty"),
        ("warn-after-hours = 12", "warn-after-hours = 19", "must be 1 to limit-hours"),
        ("idle-minutes = 10", "idle-minutes = 721", "must be 1 to longest-minutes"),
        ("longest-minutes = 720", "longest-minutes = 1441", "at most 1440"),
        ("step-up-minutes = 5", "step-up-minutes = 16", "must be 0 to 15"),
        ("agent-idle-minutes = 5", "agent-idle-minutes = -1", "must be 0 to 1440"),
        ("orphan-after-days = 7", "orphan-after-days = 0", "at least 1"),
    ],
)
def test_a_server_that_could_not_work_is_refused(sample: Path, old: str, new: str, why: str) -> None:
    text = sample.read_text()
    assert old in text
    sample.write_text(text.replace(old, new))
    with pytest.raises(errors.ConfigInvalid, match=why):
        server.settings.read_settings(sample)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("call-timeout-s = 10.0", "call-timeout-s = 0.0", "more than 0"),
        ("virtual-count = 1", "virtual-count = 65", "virtual-count"),
        ('kind = "pcsc"', 'kind = "ccid"', "pcsc, virtual"),
    ],
)
def test_a_station_that_could_not_work_is_refused(sample: Path, old: str, new: str, why: str) -> None:
    text = sample.read_text()
    assert old in text
    sample.write_text(text.replace(old, new))
    with pytest.raises(errors.ConfigInvalid, match=why):
        kiosk.settings.read_settings(sample)


def test_files_of_the_server_have_places_in_its_data_folder() -> None:
    plain = server.settings.ServerSettings(organisation="x", names=("x",), data_folder=Path("/data"))
    assert [plain.store_file, plain.key_store_file, plain.admin_socket_file] == [
        Path("/data/store.db"),
        Path("/data/keys"),
        Path("/data/admin.sock"),
    ]
