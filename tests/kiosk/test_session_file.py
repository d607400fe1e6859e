"""The session of the command line: a file for its owner alone, gone with the session."""

import stat
from pathlib import Path

import pytest

from kiosk.backend.token import HeldToken
from kiosk.session_file import FILE, KeptSession
from shared import errors
from shared.secret import Secret

TOKEN = bytes(range(32))


def test_what_one_command_keeps_the_next_one_shows(tmp_path: Path) -> None:
    kept, token = KeptSession(tmp_path), HeldToken()
    kept.lend(token)
    assert token.value is None
    kept.keep(Secret(TOKEN))
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    kept.lend(token)
    assert token.metadata == (("kiosk-session-bin", TOKEN),)


def test_a_new_session_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    kept, token = KeptSession(tmp_path), HeldToken()
    kept.keep(Secret(bytes(32)))
    kept.keep(Secret(TOKEN))
    kept.lend(token)
    assert token.value == Secret(TOKEN)


def test_it_goes_when_the_server_says_that_it_ended(tmp_path: Path) -> None:
    kept, token = KeptSession(tmp_path), HeldToken()
    kept.keep(Secret(TOKEN))
    kept.lend(token)
    token.end()
    assert token.value is None
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    kept = KeptSession(tmp_path)
    kept.keep(Secret(TOKEN))
    (tmp_path / FILE).chmod(mode)
    with pytest.raises(errors.ConfigInvalid, match="0600"):
        kept.lend(HeldToken())


@pytest.mark.parametrize("content", [b"", TOKEN[1:], TOKEN + b"\n"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / FILE
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(errors.ConfigInvalid, match="damaged"):
        KeptSession(tmp_path).lend(HeldToken())


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(TOKEN)
    elsewhere.chmod(0o600)
    (tmp_path / FILE).symlink_to(elsewhere)
    with pytest.raises(errors.ConfigInvalid):
        KeptSession(tmp_path).lend(HeldToken())
    KeptSession(tmp_path).keep(Secret(bytes(32)))
    assert elsewhere.read_bytes() == TOKEN
