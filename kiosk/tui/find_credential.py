"""Find a credential by its holder, as you type; its card need not be here."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from textual.content import Content

from kiosk.station import wording
from kiosk.tui.find import LIMIT, Find
from kiosk.tui.labels import CAUSES, STATE_NAMES
from shared.credential.reasons import Cause
from shared.credential.update import CARRY_DUE
from shared.credentials import CredentialView, FoundCredentials

DATE: Final = 10
"""Characters of a date in ISO 8601."""


class FindCredential(Find[CredentialView]):
    """Asks which credential it is about; says more of the one under the cursor."""

    COLUMNS = (("Holder", 36), ("Template", 31), ("State", 18), ("Since", 15))
    PLACEHOLDER = "name or number of the holder"
    NONE = "No credential is found. Try fewer letters, or another part of the name."
    KIND = ("credential", "credentials")

    def __init__(
        self, credentials: Callable[[str, int], Awaitable[FoundCredentials]], text: str = ""
    ) -> None:
        """`credentials` is who knows them; `text` is what was looked for before."""
        super().__init__("Find a credential; its card need not be here", text)
        self._credentials = credentials

    @property
    def text(self) -> str:
        """What is looked for."""
        return self._text

    async def ask(self, text: str) -> tuple[Sequence[CredentialView], bool]:
        """Ask the record."""
        found = await self._credentials(text, LIMIT)
        return found.credentials, found.more

    def cells(self, one: CredentialView) -> Sequence[Content]:
        """Return whose it is, what and how; a mark where something waits."""
        waits = one.waits_for_card or one.waiting or one.interrupted is not None
        return (
            Content(holder_of(one)),
            Content(one.template_title),
            Content(f"{STATE_NAMES[one.state]}{' !' if waits else ''}"),
            Content((one.since or one.issued_at)[:DATE]),
        )

    def about(self, one: CredentialView) -> Content:
        """Return its card, why it is out of use, and what waits."""
        return Content("\n").join(about_lines(one))


def holder_of(view: CredentialView) -> str:
    """Name whoever holds it; one that is only being issued has no name yet."""
    return view.holder_name or view.holder or "nobody yet"


def card_of(view: CredentialView) -> str:
    """Name its card."""
    return view.profile if view.serial is None else f"{view.profile} · {view.serial}"


def reason_of(view: CredentialView) -> str:
    """Say why it is out of use; a reason that this version does not know names itself."""
    return CAUSES[Cause(view.reason)] if view.reason in set(Cause) else view.reason


def about_lines(view: CredentialView) -> list[Content]:
    """Say what a line of the list has no room for."""
    parts = [card_of(view), reason_of(view)]
    lines = [Content.styled(" · ".join(filter(None, parts)), "$text-dim")]
    if view.ends_at:
        lines.append(Content(wording.ends(view.ends_at)))
    if view.interrupted is not None:
        lines.append(Content(f"! {wording.notice('interrupted')}"))
    if view.waits_for_card:
        lines.append(Content(f"! {wording.notice(CARRY_DUE)}"))
    if view.waiting:
        lines.append(Content(f"! {wording.waiting(view.waiting)}"))
    return lines
