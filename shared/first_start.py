"""The first start, as values on both ends of the wire: how far it is, and by which templates its cards are made."""

from dataclasses import dataclass, field
from datetime import datetime

from shared.credential.model import HolderId
from shared.secret import Secret

SYSTEM_OWNER: HolderId = HolderId("system-owner")
"""Whose card the System Owner's is: nobody's in a directory."""

BY_NAME = "name:"
"""What the id of somebody begins with who is in no directory; the rest is the name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorTemplate:
    """A template of operators' cards. With `by_name` they are made for people who are in no directory."""

    name: str
    title: str
    system_owner: bool = False
    by_name: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstStartView:
    """How far the first start is; its session ends at `ends_at`, on the server's clock.

    `owner_made`: the System Owner's card is active, and the first operator's comes next. `again`: there were operators
    before, and all of their cards are lost.
    """

    ends_at: datetime
    owner_made: bool
    again: bool = False
    templates: tuple[OperatorTemplate, ...] = ()

    @property
    def owner_template(self) -> OperatorTemplate | None:
        """The template of the System Owner's card."""
        return next((each for each in self.templates if each.system_owner), None)

    @property
    def operator_templates(self) -> tuple[OperatorTemplate, ...]:
        """The templates of operators' cards."""
        return tuple(each for each in self.templates if not each.system_owner)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstStartBegun:
    """The passcode was right: whoever shows `token` at this station makes the first start."""

    token: Secret = field(repr=False)
    view: FirstStartView


def named(name: str) -> HolderId:
    """Return the id of somebody who is in no directory."""
    return HolderId(f"{BY_NAME}{' '.join(name.split())}")
