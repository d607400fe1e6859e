"""When the holder of a card has to change its PIN.

No card knows this, and none goes out of service for it: the desk says so and offers the change first.
"""

from datetime import datetime, timedelta
from typing import Final

from shared.credential.model import CredentialRecord
from shared.credential.template import PinSettings

PIN_CHANGE_DUE: Final = "pin-change-due"
"""The notice of a card whose PIN is to be changed."""


def pin_change_due(credential: CredentialRecord, pin: PinSettings, now: datetime) -> bool:
    """Whether the PIN is somebody else's choice, or older than the template allows.

    The PIN of a credential from before the record knew its age is as old as the activation: rather asked too early.
    """
    if credential.pin_change_due:
        return True
    since = credential.pin_set_at or credential.activated_at
    days = pin.change_after_days
    return days is not None and since is not None and now - since >= timedelta(days=days)
