"""Ask for the approval that an operation was refused for want of, and show a request to people and programs."""

from dataclasses import replace

from kiosk.backend.approvals import GrpcApprovals
from kiosk.backend.client import GrpcBackend
from kiosk.commands import Result
from kiosk.station.faces import Job
from shared import approval_words, errors
from shared.approvals import ApprovalView, ApprovalWish
from shared.credential.approval import Way


async def asked_for(line: GrpcBackend, error: errors.ApprovalNeeded, job: Job) -> Result:
    """Ask for what `job` was refused for want of; it is done again once somebody has approved it."""
    view = await GrpcApprovals(line).request_approval(wish_for(error, job))
    result = shown(view)
    return replace(
        result,
        document={**result.document, "ok": False, "error": error.code, "facts": error.facts},
        exit_code=error.exit_code,
    )


def wish_for(error: errors.ApprovalNeeded, job: Job) -> ApprovalWish:
    """Return what to ask for; the refusal says which way and which card, the job for whom."""
    way = Way(str(error.facts["operation"]))
    if way is not Way.ISSUE:
        return ApprovalWish(way=way, card=str(error.facts.get("card", "")))
    return ApprovalWish(
        way=way,
        holder=job.holder,
        template=job.template,
        replaces=job.replaces,
        primary=job.primary,
        roles=job.roles,
    )


def shown(view: ApprovalView) -> Result:
    """Return a request as a result."""
    return Result(
        lines=approval_words.lines(view), document={"ok": True, "approval": approval_words.document(view)}
    )
