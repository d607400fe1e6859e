"""What the servicer of holders needs from rules and operations, values in and out."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from server.authority.access import Caller
from shared.approvals import ApprovalView, ApprovalWish
from shared.console import CardHints, CardView
from shared.credential.lifecycle import OperationKind
from shared.credentials import DecisionView, FoundCredentials
from shared.self_service import DeviceCode, DeviceWaits, HolderGiven, HolderReply, HolderView


class SelfServiceCalls(Protocol):
    """Holders at the calling station, and their own cards and credentials."""

    async def challenge(self, caller: Caller, server: str) -> bytes:
        """Return a text for a holder's card to sign.

        Raises:
            NotAllowed, TooManyAttempts, Invalid: there is none.
        """
        ...

    async def log_on(self, caller: Caller, given: HolderGiven) -> HolderReply:
        """Begin a session.

        Raises:
            NotAllowed, TooManyAttempts, HolderLogonRefused, ConnectorUnreachable, ConnectorRefused: nobody is logged on.
        """
        ...

    async def begin_device(self, caller: Caller, name: str) -> DeviceCode:
        """Begin a log-on that somebody finishes on another device.

        Raises:
            NotAllowed, TooManyAttempts, HolderLogonRefused, ConnectorUnreachable, ConnectorRefused: there is none.
        """
        ...

    async def ask_device(self, caller: Caller, logon_id: UUID) -> HolderReply | DeviceWaits:
        """Begin the session of whoever finished it, or say that nobody has yet.

        Raises:
            NotAllowed, HolderLogonRefused: there is none any more.
            ConnectorUnreachable, ConnectorRefused: the directory does not say; it still waits.
        """
        ...

    async def cancel_device(self, caller: Caller, logon_id: UUID) -> None:
        """Take it back; nothing where there is none."""
        ...

    async def log_off(self, caller: Caller) -> None:
        """End the session; `LogonNeeded` where there is none."""
        ...

    async def who_is(self, caller: Caller) -> HolderView:
        """Return who is logged on; `LogonNeeded` where nobody is."""
        ...

    async def look_up(self, caller: Caller, hints: CardHints) -> CardView:
        """Return what the record says of a card that is the holder's, or nobody's.

        Raises:
            NotYours: it is somebody else's; nothing is told of it.
        """
        ...

    async def credentials(self, caller: Caller, text: str) -> FoundCredentials:
        """Return the holder's credentials that `text` means: all of them where it is empty."""
        ...

    async def decide(
        self, caller: Caller, record_id: UUID, operation: OperationKind, reason: str
    ) -> DecisionView:
        """Suspend or revoke a credential of the holder.

        Raises:
            NotYours, NotAllowed, OtherProofNeeded: the holder may not.
            TransitionForbidden, Invalid, CardLeased: nothing was decided.
        """
        ...

    async def request_approval(self, caller: Caller, wish: ApprovalWish) -> ApprovalView:
        """Ask a second person for what the holder may do.

        Raises:
            NotYours, NotAllowed, OtherProofNeeded, TooManyAttempts, Invalid, UnknownTemplate, HolderDisabled: nobody is asked.
        """
        ...

    async def approvals(self, caller: Caller) -> Sequence[ApprovalView]:
        """Return what the holder asked for and that waits, the oldest first."""
        ...

    async def withdraw_approval(self, caller: Caller, request_id: UUID) -> ApprovalView:
        """Take it back.

        Raises:
            NotYours, ApprovalRefused: there is none of theirs, or it does not wait any more.
        """
        ...
