"""Find out what a card of unknown make can do, by asking what changes nothing.

Nothing is authenticated meanwhile: a command that writes is refused for that reason by a card that knows it, and as
unknown by one that does not. Commands that act without authentication on any card (RESET) or whose parameters alone
would say what to do (SET PIN RETRIES, MOVE KEY) are never tried.
"""

from dataclasses import dataclass
from typing import Final

from shared.iso7816.apdu import ANY_STATUS, Command, Response
from shared.iso7816.conversation import Conversation, send_all
from shared.iso7816.status import SW
from shared.iso7816.tlv import encode
from shared.piv.ids import Ins, KeyRef, ManagementAlgorithm

_UNKNOWN: Final = frozenset(
    {SW.INSTRUCTION_NOT_SUPPORTED, SW.CLASS_NOT_SUPPORTED, SW.FUNCTION_NOT_SUPPORTED, SW.UNKNOWN}
)
_ASKED: Final = (Ins.SET_MANAGEMENT_KEY, Ins.IMPORT_KEY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """The management key's algorithm, None where the card does not tell, and the extensions that it knows."""

    management: ManagementAlgorithm | None
    commands: frozenset[Ins]


def probe() -> Conversation[Probed]:
    """Ask for a witness under each management algorithm, and for commands with nothing in them; one batch."""
    witnesses = [
        Command(
            ins=Ins.GENERAL_AUTHENTICATE,
            p1=algorithm,
            p2=KeyRef.MANAGEMENT,
            parts=(encode(0x7C, encode(0x80, b"")),),
            le=0,
            expect=ANY_STATUS,
            label=f"GENERAL AUTHENTICATE ({algorithm.name} known?)",
        )
        for algorithm in ManagementAlgorithm
    ]
    commands = [
        Command(ins=ins, p1=0xFF, p2=0xFF, expect=ANY_STATUS, label=f"{ins.name.replace('_', ' ')} (known?)")
        for ins in _ASKED
    ]
    responses = yield from send_all(*witnesses, *commands)
    known = zip(_ASKED, responses[len(witnesses) :], strict=True)
    return Probed(
        management=next(
            (
                algorithm
                for algorithm, response in zip(ManagementAlgorithm, responses, strict=False)
                if _is_witness(response, algorithm)
            ),
            None,
        ),
        commands=frozenset(ins for ins, response in known if response.sw not in _UNKNOWN),
    )


def _is_witness(response: Response, algorithm: ManagementAlgorithm) -> bool:
    """Whether this is a witness of the algorithm's block length, in its template."""
    length = algorithm.block_length
    return response.ok and response.data[:4] == bytes([0x7C, length + 2, 0x80, length])
