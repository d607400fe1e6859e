"""What screens ask the app to do."""

from dataclasses import dataclass

from textual.message import Message

from shared.credential.lifecycle import OperationKind


@dataclass
class Wanted(Message):
    """Do this operation to the card in this reader."""

    operation: OperationKind
    reader: str


@dataclass
class MoreWanted(Message):
    """List everything that may be done to the card in this reader."""

    reader: str


@dataclass
class FindWanted(Message):
    """Find a credential whose card need not be here."""


@dataclass
class ApprovalsWanted(Message):
    """Show what waits for an approval."""


@dataclass
class OperatorsWanted(Message):
    """Show the operators."""


@dataclass
class LogOnWanted(Message):
    """Log on with the operator's card in this reader."""

    reader: str


@dataclass
class LogOffWanted(Message):
    """End the session of who is logged on."""


@dataclass
class StopWanted(Message):
    """Stop the operation in this reader at the next border between two steps."""

    reader: str


@dataclass
class Reread(Message):
    """Read the card in this reader again."""

    reader: str


@dataclass
class OutcomeSeen(Message):
    """The outcome of the last operation in this reader was read; put it away."""

    reader: str


@dataclass
class AgentLogOnWanted(Message):
    """Log on through the forwarded ssh-agent."""


@dataclass
class VirtualWanted(Message):
    """Offer to insert or pull a virtual card; `reader` is the chosen one."""

    reader: str


@dataclass
class Search(Message):
    """Find what the open list is about; a newer search replaces an older one."""

    text: str

    def can_replace(self, message: Message) -> bool:
        """Only the last text typed matters."""
        return isinstance(message, Search)
