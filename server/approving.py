"""Approvals, put together: who is asked, and by which names stations call this server."""

import secrets
from datetime import timedelta

from server.authority.approval_proof import ApprovalProofs
from server.authority.approvals import Approvals
from server.authority.approved import ApprovalPolicy
from server.authority.proofs import Proofs
from server.operations.services import Services
from server.rpc.approvals import ApprovalAdminServicer
from server.settings import ServerSettings
from shared.credential.approval import Way


def approvals(services: Services, settings: ServerSettings) -> Approvals:
    """Return what answers questions about approvals."""
    proofs = Proofs(services.store, services.clock, names=settings.names, random=secrets.token_bytes)
    return Approvals(services, ApprovalProofs(services.store, services.clock, proofs))


def approval_admin(services: Services, settings: ServerSettings, actor: str) -> ApprovalAdminServicer:
    """Return what an administrator on this machine sees of approvals, who is `actor` in evidence."""
    return ApprovalAdminServicer(approvals(services, settings), policy(settings), actor)


def policy(settings: ServerSettings) -> ApprovalPolicy:
    """Return what this server asks for besides its templates."""
    return ApprovalPolicy(
        acts=frozenset(map(Way, settings.approvals.acts)),
        valid_for=timedelta(hours=settings.approvals.valid_for_hours),
        approver_executes=settings.approvals.approver_executes,
        same_station=settings.approvals.same_station,
    )
