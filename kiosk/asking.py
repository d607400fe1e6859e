"""Ask for the approval that an operation was refused for want of, and show a request to people and programs."""

from dataclasses import replace

from kiosk.commands import Result
from kiosk.station.approving import ApprovalLine, wish_for
from kiosk.station.faces import Job
from shared import approval_words, errors
from shared.approvals import ApprovalView


async def asked_for(line: ApprovalLine, error: errors.ApprovalNeeded, job: Job) -> Result:
    """Ask for what `job` was refused for want of; it is done again once somebody has approved it."""
    view = await line.request_approval(wish_for(error, job))
    result = shown(view)
    return replace(
        result,
        document={**result.document, "ok": False, "error": error.code, "facts": error.facts},
        exit_code=error.exit_code,
    )


def shown(view: ApprovalView) -> Result:
    """Return a request as a result."""
    return Result(
        lines=approval_words.lines(view), document={"ok": True, "approval": approval_words.document(view)}
    )
