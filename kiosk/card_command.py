"""What `kiosk card` does: say what is in the readers, what the record says of it, and where the two differ."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kiosk.commands import Result, opened
from kiosk.station import drift_words, wording
from kiosk.station.faces import ReaderView, Station
from shared import errors
from shared.console import CardView, Comparison
from shared.credential.difference import Difference
from shared.credential.drift_kinds import Drift
from shared.errors import KioskError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """One reader, and where it was asked for, its card beside a template, or why there is no such comparison."""

    view: ReaderView
    comparison: Comparison | None = None
    error: KioskError | None = None


async def card(config: Path | None, reader: str, *, diff: bool = False, template: str = "") -> Result:
    """Read every card that is there, or the one in `reader`, and look it up.

    With `diff` each card is compared with `template`, or with the template that it was issued by. That a card differs
    is no failure.

    Raises:
        NoReader, CardMissing: there is nothing to look at.
    """
    async with opened(config) as parts:
        names = [info.name for info in await parts.readers.all()]
        if reader and reader not in names:
            raise errors.NoReader(reader=reader)
        wanted = [reader] if reader else names
        if not wanted:
            raise errors.NoReader
        seen = await asyncio.gather(*(_look(parts.core, name, template if diff else None) for name in wanted))
    if reader and not seen[0].view.present and seen[0].view.error is None:
        raise errors.CardMissing(reader=reader)
    failures = [error for each in seen for error in (each.view.error, each.error) if error is not None]
    code = failures[0].exit_code if failures else 0
    return Result(
        lines=[line for each in seen for line in _lines(each)],
        document={"ok": code == 0, "readers": [_document(each) for each in seen]},
        exit_code=code,
    )


async def _look(station: Station, name: str, template: str | None) -> _Seen:
    """Read the card in one reader, and compare it where `template` is not None."""
    view = await station.refresh(name)
    if template is None or view.card is None or view.error is not None:
        return _Seen(view=view)
    try:
        return _Seen(view=view, comparison=await station.compare(name, template))
    except KioskError as error:
        return _Seen(view=view, error=error)


# --- for people -----------------------------------------------------------------------------------------


def _lines(seen: _Seen) -> Sequence[str]:
    view = seen.view
    lines = [view.name + (" (virtual)" if view.virtual else "")]
    if view.card is not None:
        serial = "" if view.card.serial is None else f", serial {view.card.serial}"
        pin = "" if view.card.pin_tries_left is None else f", PIN: {wording.tries(view.card.pin_tries_left)}"
        lines.append(f"  {view.card.product}{serial}{pin}")
        lines += [f"  {certificate}" for certificate in view.card.certificates]
    elif view.error is None:
        lines.append("  empty")
    if view.record is not None:
        lines += [f"  {line}" for line in _record_lines(view.record)]
    if seen.comparison is not None:
        lines += [f"  {line}" for line in _comparison_lines(seen.comparison)]
    lines += [f"  {wording.failure(error)}" for error in (view.error, seen.error) if error is not None]
    return lines


def _record_lines(record: CardView) -> Sequence[str]:
    lines = [wording.state(record.state)]
    if record.holder is not None:
        lines.append(f"{record.holder.name} · {record.template_title} v{record.template_version}")
    if record.interrupted is not None:
        lines.append(wording.notice("interrupted"))
    lines += [wording.notice(notice) for notice in drift_words.notices(record)]
    lines += [str(line) for line in drift_words.drift_lines(record)]
    if record.reachable:
        lines.append("Possible now: " + ", ".join(wording.operation(kind) for kind in record.reachable))
    return lines


def _comparison_lines(comparison: Comparison) -> Sequence[str]:
    if not comparison.template:
        return ["Nothing to compare with: the card has no credential. Name a template with --template."]
    against = f"{comparison.title} v{comparison.version}"
    if not comparison.differences:
        return [f"As {against} asks for."]
    return [
        f"Compared with {against}:",
        *(f"  {line}" for line in drift_words.difference_lines(comparison.differences)),
    ]


# --- for programs ---------------------------------------------------------------------------------------


def _document(seen: _Seen) -> dict[str, Any]:
    view, found = seen.view, seen.comparison
    error = view.error or seen.error
    document: dict[str, Any] = {
        "reader": view.name,
        "virtual": view.virtual,
        "present": view.present,
        "error": None if error is None else error.code,
        "card": None
        if view.card is None
        else {
            "product": view.card.product,
            "profile": view.card.profile,
            "serial": view.card.serial,
            "pin_tries_left": view.card.pin_tries_left,
            "puk_tries_left": view.card.puk_tries_left,
            "certificates": list(view.card.certificates),
        },
        "record": None if view.record is None else _record_document(view.record),
    }
    if found is not None:
        document["comparison"] = {
            "template": found.template or None,
            "template_version": found.version or None,
            "differences": [_difference_document(each) for each in found.differences],
        }
    return document


def _record_document(record: CardView) -> Mapping[str, Any]:
    return {
        "state": record.state.value,
        "holder": None if record.holder is None else record.holder.holder,
        "holder_name": None if record.holder is None else record.holder.name,
        "template": record.template or None,
        "template_version": record.template_version or None,
        "issued_at": record.issued_at or None,
        "interrupted": None if record.interrupted is None else record.interrupted.value,
        "reachable": [kind.value for kind in record.reachable],
        "notices": list(record.notices),
        "drift": [_drift_document(each) for each in record.drift],
    }


def _drift_document(drift: Drift) -> Mapping[str, str]:
    return {
        "sign": drift.sign,
        "key": drift.key,
        "subject": drift.subject,
        "expected": drift.expected,
        "found": drift.found,
        "mend": drift.mend,
        "message": drift_words.drift(drift),
    }


def _difference_document(difference: Difference) -> Mapping[str, str | bool]:
    return {
        "sign": difference.sign,
        "aspect": difference.aspect,
        "subject": difference.subject,
        "expected": difference.expected,
        "found": difference.found,
    }
