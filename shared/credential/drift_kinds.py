"""What may differ between a card and its record, as values: a stable key, what was expected, what was found.

The comparison is made in `drift`; what each key means for a person is worded by the station. `docs/reference/drift.md`
is made from the texts below.
"""

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final


@unique
class Kind(StrEnum):
    """What may differ; the values are stable keys for words and programs."""

    OPERATION_CUT = "operation-cut"
    """An operation on the card was cut; the rest is compared when it is done. `found` is the day it began."""
    CARD_RESET = "card-reset"
    """The management key is the factory's: somebody reset the card, or it is another one with a copied number."""
    MANAGEMENT_KEY_ALGORITHM = "management-key-algorithm"
    """The management key is of another algorithm, so somebody else has set it."""
    MANAGEMENT_KEY_OLDER = "management-key-older"
    """The management key comes from an older generation of the master key than `expected`, the newest."""
    PUK_DEFAULT = "puk-default"
    """The PUK is the factory's, although the record has one of ours."""
    PUK_UNKNOWN = "puk-unknown"
    """The PUK did not fit when it was used last: somebody else has changed it."""
    PUK_BLOCKED = "puk-blocked"
    """The PUK has no tries left."""
    PUK_TRIES = "puk-tries"
    """The PUK has another number of tries than the template asks for."""
    PUK_OLDER = "puk-older"
    """The PUK is due for a new one: it comes from an older generation of the master key, or somebody was told it."""
    PIN_DEFAULT = "pin-default"
    """The PIN is the factory's, although the record has another."""
    PIN_BLOCKED = "pin-blocked"
    """The PIN has no tries left."""
    PIN_TRIES = "pin-tries"
    """The PIN has another number of tries than the template asks for."""
    CHUID_FOREIGN = "chuid-foreign"
    """The CHUID has another GUID than ours; the card was found by its serial number."""
    OBJECT_MISSING = "object-missing"
    """The object `subject` is not on the card."""
    OBJECT_UNVOUCHED = "object-unvouched"
    """The Security Object does not cover the object `subject`, or not as it is."""
    KEY_MISSING = "key-missing"
    """The slot `subject` is empty."""
    KEY_FOREIGN = "key-foreign"
    """The slot `subject` has another key. `expected` and `found` begin the SHA-256 of the public keys."""
    KEY_UNKNOWN = "key-unknown"
    """The slot `subject` has a key that the record knows nothing of."""
    KEY_UNPROVEN = "key-unproven"
    """The key in the slot `subject` has never proven that it is the recorded one."""
    CERTIFICATE_MISSING = "certificate-missing"
    """The certificate of the slot `subject` is not on the card. `expected` begins its SHA-256."""
    CERTIFICATE_FOREIGN = "certificate-foreign"
    """The slot `subject` has another certificate, or one that cannot be read."""
    CERTIFICATE_UNKNOWN = "certificate-unknown"
    """The slot `subject` has a certificate, and the record has none there."""
    CERTIFICATE_REVOKED = "certificate-revoked"
    """The certificate of the slot `subject` is revoked, and still on the card."""
    CERTIFICATE_EXPIRED = "certificate-expired"
    """The certificate of the slot `subject` has expired, on the day `found`."""
    CERTIFICATE_EXPIRES = "certificate-expires"
    """The certificate of the slot `subject` is due for renewal, for it expires on the day `found`."""
    TEMPLATE_OLDER = "template-older"
    """The template has a newer version, `expected`, that the credential can take over as it is."""
    TEMPLATE_REISSUE = "template-reissue"
    """The template has a newer version that wants other keys or certificates."""
    UPDATE_DUE = "update-due"
    """An update has more to do: the step `subject`."""


CONTINUE: Final = "continue"
CALL: Final = "call-administrator"
"""Ways to mend that are no operation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One difference.

    `key` is a `Kind`; `subject` what it is about (a slot, an object). `expected` is what the record says and `found`
    what was seen; empty where there is nothing. `mend` is an operation (`OperationKind`) or a key of what to do.
    """

    key: str
    subject: str = ""
    expected: str = ""
    found: str = ""
    mend: str = ""

    @property
    def sign(self) -> str:
        """`-` for what is missing from the card, `+` for what nobody expects there, `~` for what is different."""
        if bool(self.expected) == bool(self.found):
            return "~"
        return "-" if self.expected else "+"
