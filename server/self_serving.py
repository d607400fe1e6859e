"""Self-service, put together from settings."""

from datetime import timedelta

from server.approving import approvals
from server.authority.console import Console
from server.authority.holders import HolderLimits, HolderSessions
from server.authority.self_service import SelfServices
from server.operations.services import Services
from server.settings import ServerSettings


def holder_sessions(services: Services, settings: ServerSettings) -> HolderSessions:
    """Return what begins and judges sessions of holders."""
    wanted = settings.self_service
    limits = HolderLimits(
        idle=timedelta(minutes=wanted.idle_minutes),
        absolute=timedelta(minutes=wanted.longest_minutes),
        tries=wanted.password_tries,
        within=timedelta(minutes=wanted.tries_within_minutes),
    )
    return HolderSessions(
        services.store, services.directories, services.clock, names=settings.names, limits=limits
    )


def self_services(
    services: Services, sessions: HolderSessions, console: Console, settings: ServerSettings
) -> SelfServices:
    """Return what holders ask."""
    return SelfServices(services, sessions, console, approvals(services, settings))
