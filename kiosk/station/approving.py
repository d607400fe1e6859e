"""Approve at this station: what is shown is what the card signs, and nothing else.

The server sends an intent in the form whose digest is signed. The digest is made here, from the very bytes that are shown, and
the text to sign has to name it: a server that lies about one of them gets no signature.

Source: card-rules section 7 (approvals).
"""

from collections.abc import Sequence
from typing import Final, Protocol
from uuid import UUID

from kiosk.ports import LineEnds, Readers
from kiosk.station.faces import Job, Person
from kiosk.station.operator_card import OperatorCard, prove_operator, read_operator_card
from shared import errors
from shared.approvals import ApprovalState, ApprovalView, ApprovalWish
from shared.clock import Clock
from shared.credential.approval import Way
from shared.logon import LogonPurpose, LogonText, check_logon_text
from shared.piv.chuid import Chuid
from shared.sessions import LogonProof

OVER: Final = "it does not wait any more"


class ApprovalLine(Protocol):
    """The server, where approvals are asked for and given. Every call raises the server's own error."""

    @property
    def ends(self) -> LineEnds:
        """Who speaks with whom, as TLS has proven it."""
        ...

    async def request_approval(self, wish: ApprovalWish) -> ApprovalView:
        """Ask for approvals of what one may do oneself."""
        ...

    async def approvals(self) -> Sequence[ApprovalView]:
        """Return the requests that wait: those that whoever is logged on may approve, and their own."""
        ...

    async def approval(self, request_id: UUID) -> ApprovalView:
        """Return one request, whatever became of it."""
        ...

    async def approval_challenge(self, request_id: UUID) -> bytes:
        """Ask for a text that the approver's card is to sign."""
        ...

    async def approve(self, request_id: UUID, proof: LogonProof, card: UUID | None) -> ApprovalView:
        """Bring an approval; `card` is the record of the card that signed, as the card says."""
        ...

    async def decline(self, request_id: UUID, why: str) -> ApprovalView:
        """Decline a request for good."""
        ...

    async def withdraw(self, request_id: UUID) -> ApprovalView:
        """Take back one's own request."""
        ...


async def approve(
    readers: Readers, line: ApprovalLine, seen: ApprovalView, reader: str, person: Person, clock: Clock
) -> ApprovalView:
    """Have the card in `reader` approve what was `seen`; its PIN is asked of `person`.

    Raises:
        ApprovalRefused: the request does not wait any more, or whoever's card it is does not approve it.
        ChallengeRefused: the server wanted something else signed than was seen; nothing was.
        LogonRefused: the card is nobody's who approves here.
        Cancelled, TooManyAttempts, CardError, DeviceError, ConnectorError: as a log-on.
    """
    if seen.state is not ApprovalState.OPEN:
        raise errors.ApprovalRefused(why=OVER)
    intent = seen.intent
    card = await read_operator_card(readers, reader)

    async def challenge() -> LogonText:
        ends = line.ends
        return check_logon_text(
            await line.approval_challenge(intent.request_id),
            server=ends.server,
            station=ends.station,
            purpose=LogonPurpose.APPROVE,
            now=clock.now(),
            intent=intent.digest,
        )

    proof = await prove_operator(readers, card, person, challenge)
    return await line.approve(intent.request_id, proof, _record_of(card))


def wish_for(error: errors.ApprovalNeeded, job: Job, note: str = "") -> ApprovalWish:
    """Return what to ask for; the refusal says which way and which card, the job for whom; `note` is for who approves."""
    way = Way(str(error.facts["operation"]))
    if way is not Way.ISSUE:
        return ApprovalWish(way=way, card=str(error.facts.get("card", "")), note=note)
    return ApprovalWish(
        way=way,
        holder=job.holder,
        template=job.template,
        replaces=job.replaces,
        primary=job.primary,
        roles=job.roles,
        note=note,
    )


def _record_of(card: OperatorCard) -> UUID | None:
    """Return the record that a card says it has: a hint, by which the server finds a colleague's credential."""
    if card.chuid is None:
        return None
    try:
        return Chuid.from_bytes(card.chuid).guid
    except errors.KioskError:
        return None
