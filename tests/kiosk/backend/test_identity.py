"""The station's identity on disk."""

import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from kiosk.backend.identity import FILE, StationIdentity, load_identity, store_identity
from shared import errors
from shared.secret import Secret
from tests.server.rpc.world import World


@pytest.fixture
def lonely() -> World:
    """A world that serves nobody."""
    return World()


@pytest.fixture
def identity(lonely: World) -> StationIdentity:
    return lonely.identity(lonely.pair())


def test_what_is_stored_is_loaded(tmp_path: Path, lonely: World, identity: StationIdentity) -> None:
    folder = tmp_path / "new" / "state"
    path = store_identity(folder, identity)
    assert load_identity(folder, lonely.clock) == identity
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [each.name for each in folder.iterdir()] == [FILE]


def test_a_name_may_hold_what_a_heading_holds(
    tmp_path: Path, lonely: World, identity: StationIdentity
) -> None:
    odd = replace(identity, name="Gate: 3 · Außen")
    store_identity(tmp_path, odd)
    assert load_identity(tmp_path, lonely.clock) == odd


def test_an_older_one_is_replaced(tmp_path: Path, lonely: World, identity: StationIdentity) -> None:
    store_identity(tmp_path, identity)
    newer = replace(lonely.identity(lonely.pair()), name="Desk 2")
    store_identity(tmp_path, newer)
    assert load_identity(tmp_path, lonely.clock).name == "Desk 2"


def test_no_identity_says_join(tmp_path: Path, lonely: World) -> None:
    with pytest.raises(errors.ConfigMissing) as caught:
        load_identity(tmp_path, lonely.clock)
    assert caught.value.facts["file"] == str(tmp_path / FILE)


def test_an_expired_one_says_so(tmp_path: Path, lonely: World, identity: StationIdentity) -> None:
    store_identity(tmp_path, identity)
    lonely.clock.later = timedelta(days=3)
    with pytest.raises(errors.StationExpired) as caught:
        load_identity(tmp_path, lonely.clock)
    assert caught.value.facts["expired"] == identity.not_after.date().isoformat()


def test_one_that_others_may_read_is_refused(
    tmp_path: Path, lonely: World, identity: StationIdentity
) -> None:
    store_identity(tmp_path, identity).chmod(0o644)
    with pytest.raises(errors.ConfigInvalid, match="0600"):
        load_identity(tmp_path, lonely.clock)


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[:0],
        lambda raw: raw[: len(raw) // 2],
        lambda raw: raw.replace(b"Station-Id: 0", b"Station-Id: x"),
        lambda raw: raw.replace(b"Server: ", b"Servant: "),
        lambda raw: raw.replace(b"BEGIN PRIVATE", b"BEGIN PUBLIC"),
        lambda raw: b"\xff" + raw,
        lambda raw: raw + raw,
    ],
)
def test_a_damaged_one_is_refused(
    tmp_path: Path, lonely: World, identity: StationIdentity, damage: "object"
) -> None:
    path = store_identity(tmp_path, identity)
    assert callable(damage)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(errors.ConfigInvalid):
        load_identity(tmp_path, lonely.clock)


def test_a_key_of_another_certificate_is_refused(
    tmp_path: Path, lonely: World, identity: StationIdentity
) -> None:
    store_identity(tmp_path, replace(identity, key=Secret(lonely.pair().key_pem)))
    with pytest.raises(errors.ConfigInvalid):
        load_identity(tmp_path, lonely.clock)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path, identity: StationIdentity) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(errors.ConfigInvalid):
        store_identity(tmp_path / "file", identity)


def test_the_key_does_not_show(identity: StationIdentity) -> None:
    assert b"PRIVATE KEY" in identity.key.reveal()
    assert "PRIVATE KEY" not in repr(identity)
