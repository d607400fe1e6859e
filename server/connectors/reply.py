"""What came back over HTTP, and what it means where nobody expected it. No error quotes an answer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from shared import errors
from shared.clock import Clock

CREDENTIALS: Final = frozenset({401, 403})
HTML: Final = (
    b"<!doctype html",
    b"<html",
    b"<head",
    b'<?xml version="1.0" encoding="utf-8"?>\n<!doctype html',
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back. Names of headers are in lower case; of several with one name the last counts."""

    connection: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    def parsed(self) -> Any:
        """Return the body as JSON.

        Raises:
            ConnectorAnswerWrong: it is none.
        """
        if self.is_html:
            raise self.wrong(
                reason="an HTML page came instead of JSON; is the address right, is a proxy or a log-on page between?"
            )
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as cause:
            raise self.wrong(reason="it is not JSON") from cause

    def object(self) -> dict[str, Any]:
        """Return the body as a JSON object; `ConnectorAnswerWrong` where it is none."""
        found = self.parsed()
        if not isinstance(found, dict):
            raise self.wrong(reason="it is not a JSON object")
        return found

    @property
    def is_html(self) -> bool:
        """Whether this is a page for people."""
        return self.media_type in {"text/html", "application/xhtml+xml"} or self.body[
            :200
        ].lstrip().lower().startswith(HTML)

    @property
    def media_type(self) -> str:
        """The media type without its parameters, in lower case; empty where there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def wrong(self, *, reason: str) -> errors.ConnectorAnswerWrong:
        """Return the error that says why this answer cannot be used; `reason` never quotes it."""
        return errors.ConnectorAnswerWrong(connection=self.connection, reason=f"HTTP {self.status}: {reason}")


def retry_after(reply: Reply, clock: Clock) -> float | None:
    """Return for how many seconds an answer asks to be left alone; None where it does not ([RFC 9110] 10.2.3)."""
    text = reply.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    moment = date_of(text)
    return None if moment is None else max(0.0, (moment - clock.now()).total_seconds())


def refusal(reply: Reply) -> errors.ConnectorError:
    """Name a status that the caller did not expect."""
    if reply.status in CREDENTIALS:
        reason = f"HTTP {reply.status}: it does not accept our credential, or gives it no right to this"
    elif reply.status < 300:
        reason = "an HTML page" if reply.is_html else "another kind of success"
        return reply.wrong(reason=f"{reason} came instead of an answer")
    elif 300 <= reply.status < 400:
        return reply.wrong(reason="it points to another address, which is not followed")
    elif reply.status == 500:
        return errors.ConnectorUnreachable(connection=reply.connection, reason="HTTP 500: a fault of its own")
    elif reply.is_html:
        reason = f"HTTP {reply.status}, with an HTML page; is the address right?"
    else:
        reason = f"HTTP {reply.status}"
    return errors.ConnectorRefused(connection=reply.connection, reason=reason)


def date_of(text: str) -> datetime | None:
    """Return the moment that a header tells; None where it tells none."""
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found
