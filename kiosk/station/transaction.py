"""The transaction of one operation with its card, and what the card is asked on our own account.

It is opened when the first command is to be sent, and closed, which resets the card, before a person is waited
for, after a batch with `release`, and at the end.
"""

from contextlib import AsyncExitStack, suppress

from kiosk.ports import CardSession, Readers
from kiosk.station.filling import plain
from shared import errors
from shared.iso7816.apdu import ANY_STATUS, Command
from shared.iso7816.status import SW, tries_left
from shared.piv.ids import Ins, KeyRef
from shared.piv.select import select_command


class Transaction:
    """The card in one reader, held only while commands go to it."""

    def __init__(self, readers: Readers, reader: str) -> None:
        """Open nothing yet."""
        self._readers = readers
        self._reader = reader
        self._stack = AsyncExitStack()
        self._session: CardSession | None = None

    async def opened(self) -> CardSession:
        """Return the session, opened if it is not.

        Raises:
            CardMissing, NoReader, ReaderBusy, ReaderFailed, PcscUnavailable: there is none to be had.
        """
        if self._session is None:
            self._session = await self._stack.enter_async_context(self._readers.session(self._reader))
        return self._session

    async def close(self) -> None:
        """Reset the card and end the transaction; a card that is gone has done both."""
        self._session = None
        with suppress(errors.CardError, errors.DeviceError):
            await self._stack.aclose()

    async def tries_left_alone(self) -> int | None:
        """Ask for the PIN's tries in a transaction of its own; None where the card does not tell or is not there.

        Raises:
            NoReader, ReaderBusy, ReaderFailed, PcscUnavailable: there is no session to be had.
        """
        try:
            session = await self.opened()
            spoken = await session.exchange([plain(select_command())])
            if spoken.lost or not spoken.responses[0].ok:
                return None
            return (await ask_for_tries(session, KeyRef.PIN))[0]
        except (errors.CardLost, errors.CardMissing):
            return None
        finally:
            await self.close()


async def ask_for_tries(session: CardSession, reference: int) -> tuple[int | None, bool]:
    """Send an empty VERIFY, which costs no try; return the tries left where the card tells, and whether it is lost.

    Source: [SP 800-73-5] part 2, section 3.2.1 (VERIFY without data returns 63Cx).
    """
    probe = Command(ins=Ins.VERIFY, label="tries left", p2=reference, expect=ANY_STATUS)
    spoken = await session.exchange([plain(probe)])
    if spoken.lost or not spoken.responses:
        return None, True
    (response,) = spoken.responses
    return (0 if response.sw == SW.AUTHENTICATION_BLOCKED else tries_left(response.sw)), False
