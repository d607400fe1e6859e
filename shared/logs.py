"""Where both programs write what they do: lines for people on standard error, JSON lines into a file.

A record may carry facts: `log.info("card present", extra={"facts": {"reader": name}})`. A traceback shows where,
never the values of variables. What is secret is masked by whoever logs it: traffic by `kiosk.devices.tracing`,
everything else by `Secret`.
"""

import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum, unique
from pathlib import Path
from typing import Final, TextIO

from shared import errors
from shared.display import json_line, visible, visible_lines

TRAFFIC: Final = 5
"""Below DEBUG: commands to cards and their responses, redacted by their writer."""

logging.addLevelName(TRAFFIC, "TRAFFIC")

_LOUD_LIBRARIES: Final = ("asyncio", "grpc", "alembic", "sqlalchemy", "PIL", "ldap3")
"""Libraries whose own debugging tells what nobody here checked for secrets."""


@unique
class Level(StrEnum):
    """How much is written."""

    TRAFFIC = "traffic"
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def number(self) -> int:
        """The level as `logging` counts."""
        return TRAFFIC if self is Level.TRAFFIC else int(logging.getLevelNamesMapping()[self.name])


@unique
class Format(StrEnum):
    """How lines look on standard error; the file always has JSON."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """The table `[log]`."""

    level: Level = Level.INFO
    format: Format = Format.TEXT
    file: Path | None = None


def set_up(settings: LogSettings, *, stream: TextIO | None = sys.stderr) -> None:
    """Send all records where the settings say, and nowhere else.

    `stream` None keeps standard error quiet, for a full-screen face. The file is appended to, private to its
    owner, one JSON object a line.

    Raises:
        ConfigInvalid: the file cannot be opened; nothing was changed.
    """
    file = None if settings.file is None else _file_handler(settings.file)
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(settings.level.number)
    if stream is not None:
        lines = logging.StreamHandler(stream)
        lines.setFormatter(JsonFormatter() if settings.format is Format.JSON else TextFormatter())
        root.addHandler(lines)
    if file is not None:
        root.addHandler(file)
    if not root.handlers:
        root.addHandler(logging.NullHandler())  # or `logging` would write warnings to standard error itself
    for name in _LOUD_LIBRARIES:
        logging.getLogger(name).setLevel(max(logging.WARNING, settings.level.number))
    logging.captureWarnings(capture=True)


def _file_handler(path: Path) -> logging.Handler:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise errors.ConfigInvalid(key="log.file", why=f"{path}: {error.strerror}") from error
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(JsonFormatter())
    return handler


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.000Z INFO server.rpc: text (fact=1)`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line, with a traceback below it where there is one."""
        shown = ", ".join(f"{name}={value}" for name, value in _facts(record).items())
        line = f"{_at(record)} {record.levelname} {record.name}: {record.getMessage()}"
        line = visible(f"{line} ({shown})" if shown else line)
        return f"{line}\n{visible_lines(self.formatException(record.exc_info))}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One object with stable keys: at, level, logger, text, facts, traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON on one line."""
        line: dict[str, object] = {
            "at": _at(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "text": record.getMessage(),
        }
        if facts := _facts(record):
            line["facts"] = dict(facts)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json_line(line)


def _at(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _facts(record: logging.LogRecord) -> Mapping[str, object]:
    facts = getattr(record, "facts", {})
    return facts if isinstance(facts, Mapping) else {}
