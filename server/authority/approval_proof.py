"""The proof that somebody approves: their own card, in a reader, signs a text that names one intent.

A challenge is given out for one intent and whoever asks for it at one station; it is good once, for a minute. Whose card
answers it is found out from the card: an operator who is logged on there approves nothing by that. An agent's signature has
another form, and is none.

Source: card-rules section 7 (approvals, identities on the wire).
"""

import hashlib
from typing import Final

from cryptography.exceptions import InvalidSignature

from server.authority.access import Caller
from server.authority.operator_keys import public_key_of
from server.authority.proofs import Proofs
from server.ports.operators import LogonMethod, OperatorRecord
from server.ports.store import Store
from shared.approval import Intent
from shared.clock import Clock
from shared.logon import LogonPurpose, verify_logon
from shared.sessions import LogonProof

_CARD: Final = LogonMethod.CARD


class ApprovalProofs:
    """Give out challenges for intents, and judge what cards make of them."""

    def __init__(self, store: Store, clock: Clock, proofs: Proofs) -> None:
        """`proofs` gives out the texts, and counts what fails."""
        self._store = store
        self._clock = clock
        self._proofs = proofs

    async def challenge(self, caller: Caller, intent: Intent, server: str) -> bytes:
        """Return a text for a card to sign; `server` is the name under which the station calls.

        Raises:
            TooManyAttempts: this station, or all together, asked too often.
            Invalid: no name of this server.
        """
        bound, purpose = _bound(caller, intent), LogonPurpose.APPROVE
        return await self._proofs.challenge(caller, purpose, bound, server, intent=intent.digest)

    async def operator(self, caller: Caller, intent: Intent, proof: LogonProof) -> OperatorRecord:
        """Return the operator whose card signed a challenge of ours for this intent; the challenge is spent in any case.

        Raises:
            TooManyAttempts: the station, or this operator, failed too often; nothing was judged.
            LogonRefused: not our challenge, no operator's card, one that does not count now, or not its signature.
        """
        return (await self._proofs.judge(caller, _bound(caller, intent), proof)).operator

    async def anybody(self, caller: Caller, intent: Intent, proof: LogonProof) -> None:
        """Make sure that the key of this certificate signed a challenge of ours for this intent; whose it is is not judged.

        Raises:
            LogonRefused: it did not.
        """
        digest = hashlib.sha256(proof.text).digest()
        spent = await self._store.challenges.spend(digest, self._clock.now())
        wanted = (caller.station_id, _bound(caller, intent))
        if spent is None or (spent.station_id, spent.purpose) != wanted:
            await self._proofs.failed(caller, None, "challenge", _CARD)
        try:
            verify_logon(public_key_of(proof.certificate), proof.text, proof.signature)
        except InvalidSignature:
            await self._proofs.failed(caller, None, "signature", _CARD)


def _bound(caller: Caller, intent: Intent) -> str:
    return f"{LogonPurpose.APPROVE.value} {caller.actor} {intent.digest.hex()}"
