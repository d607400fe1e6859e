import io
import json
import logging
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import errors
from shared.display import ORDERS
from shared.logs import TRAFFIC, Format, Level, LogSettings, set_up
from shared.secret import Secret

log = logging.getLogger("kiosk.test")

CANARY = b"canary-8080"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    for handler in handlers:
        root.removeHandler(handler)
    yield
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_people_get_lines_and_the_file_gets_json(tmp_path: Path) -> None:
    stream, path = io.StringIO(), tmp_path / "log"
    set_up(LogSettings(level=Level.INFO, file=path), stream=stream)
    log.info("card %s", "present", extra={"facts": {"reader": "Ü", "tries": 3}})
    log.debug("not shown")
    assert stream.getvalue().endswith("Z INFO kiosk.test: card present (reader=Ü, tries=3)\n")
    (line,) = lines(path)
    assert str(line.pop("at")).endswith("Z")
    assert line == {
        "level": "info",
        "logger": "kiosk.test",
        "text": "card present",
        "facts": {"reader": "Ü", "tries": 3},
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_traffic_is_below_debug(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for level, count in ((Level.DEBUG, 0), (Level.TRAFFIC, 1)):
        set_up(LogSettings(level=level, file=path), stream=None)
        log.log(TRAFFIC, "00A4")
        assert len(lines(path)) == count
    assert lines(path)[0]["level"] == "traffic"


def test_standard_error_may_have_json() -> None:
    stream = io.StringIO()
    set_up(LogSettings(format=Format.JSON), stream=stream)
    log.warning("twice\nas long")
    assert json.loads(stream.getvalue())["text"] == "twice\nas long"


def fail(pin: bytes) -> float:
    return 1 / (len(pin) - len(pin))


def test_a_traceback_shows_no_values(tmp_path: Path) -> None:
    stream, path = io.StringIO(), tmp_path / "log"
    set_up(LogSettings(file=path), stream=stream)
    try:
        fail(CANARY)
    except ZeroDivisionError:
        log.exception("failed", extra={"facts": {"pin": Secret(CANARY)}})
    for text in (stream.getvalue(), path.read_text()):
        assert "ZeroDivisionError" in text
        assert CANARY.decode() not in text
    assert "traceback" in lines(path)[0]


def test_quiet_means_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    set_up(LogSettings(), stream=None)
    log.error("a screen is drawn here")
    assert capfd.readouterr() == ("", "")


def test_warnings_are_logged(tmp_path: Path) -> None:
    set_up(LogSettings(file=tmp_path / "log"), stream=None)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old", UserWarning, stacklevel=1)
    assert "old" in (tmp_path / "log").read_text()


def test_libraries_do_not_tell_more_than_warnings(tmp_path: Path) -> None:
    set_up(LogSettings(level=Level.TRAFFIC, file=tmp_path / "log"), stream=None)
    logging.getLogger("grpc._channel").debug("metadata")
    logging.getLogger("sqlalchemy.engine").info("SELECT")
    assert lines(tmp_path / "log") == []


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    before = logging.getLogger().handlers[:]
    with pytest.raises(errors.ConfigInvalid) as refused:
        set_up(LogSettings(file=tmp_path / "nowhere" / "log"))
    assert refused.value.facts == {
        "key": "log.file",
        "why": f"{tmp_path}/nowhere/log: No such file or directory",
    }
    assert logging.getLogger().handlers == before


def test_text_of_others_gives_the_terminal_no_orders() -> None:
    stream = io.StringIO()
    set_up(LogSettings(), stream=stream)
    try:
        b"x".decode("\x1b[2J from a card")
    except LookupError:
        log.exception("name \x1b]0;x\x07", extra={"facts": {"reader": "R\u202e1\nforged line"}})
    written = stream.getvalue()
    assert not ORDERS.search(written.replace("\n", ""))
    assert "\nforged" not in written
    assert "\\x1b[2J from a card" in written
