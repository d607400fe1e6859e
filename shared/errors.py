"""Every error of the system, typed once.

The tree (the base and the branches are never raised)::

    KioskError
    ├── CardError        the card said no, left, or is not what it should be
    ├── DeviceError      reader, printer or ssh-agent
    ├── PolicyError      a rule says no; nothing was changed
    ├── RequestError     what was asked for does not exist or makes no sense; nothing was changed
    ├── ConnectorError   directory, certificate authority, key store or the server itself
    ├── StoreError       the record could not be read or written
    ├── ConfigError      kiosk.toml or the command line
    └── ProtocolError    the other end of the wire broke the agreement

An error has a stable `code`, and `facts` that may be shown and logged: tries left, a reader's name, a
status word; never personal data, never a secret. The sentence for a person is made from these in
`shared.wording`. `retryable` says that the same request may succeed later. `outcome_unknown` says
that the act may or may not have happened: reconcile before you retry.
"""

from typing import ClassVar, Final

Fact = str | int


class KioskError(Exception):
    """Base of all errors; never raised itself."""

    code: ClassVar[str] = ""
    retryable: ClassVar[bool] = False
    outcome_unknown: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1

    def __init__(self, /, **facts: Fact) -> None:
        """Keep `facts`, whatever their names; they are shown to people and written to logs."""
        self.facts: Final[dict[str, Fact]] = facts
        shown = ", ".join(f"{name}={value}" for name, value in facts.items())
        super().__init__(f"{self.code} ({shown})" if shown else self.code)


# --- the card -------------------------------------------------------------------------------------------


class CardError(KioskError):
    """The card said no, left, or is not what it should be."""

    exit_code = 4


class CardLost(CardError):
    """The card left the reader or was reset by another program; the last command may have been executed."""

    code = "card-lost"
    retryable = True
    outcome_unknown = True
    exit_code = 7


class CardMissing(CardError):
    """No card in the reader. Fact: `reader`."""

    code = "card-missing"
    retryable = True


class CardChanged(CardError):
    """After a reset another card answered than before; nothing was sent to it."""

    code = "card-changed"


class NotPivCard(CardError):
    """The card has no PIV application. Facts: `atr`, `sw`."""

    code = "not-piv-card"


class UnexpectedStatus(CardError):
    """A status word with no better name here. Facts: `sw` (four hex digits), `command` (its label)."""

    code = "unexpected-status"


class PinRejected(CardError):
    """Wrong PIN. Fact: `tries_left`."""

    code = "pin-rejected"
    retryable = True


class PinBlocked(CardError):
    """The PIN has no tries left; it needs unblocking, retrying cannot help."""

    code = "pin-blocked"


class PinNotAccepted(CardError):
    """The card refused a new PIN or PUK because of its form (length, characters). Fact: `sw`."""

    code = "pin-not-accepted"
    retryable = True


class PukRejected(CardError):
    """Wrong PUK. Fact: `tries_left`."""

    code = "puk-rejected"


class PukBlocked(CardError):
    """The PUK has no tries left."""

    code = "puk-blocked"


class NotAuthorised(CardError):
    """6982: the card wants a PIN or the management key first. Fact: `command`."""

    code = "card-not-authorised"


class ObjectMissing(CardError):
    """6A82 or 6A88: the object or key is not on the card. Fact: `command`."""

    code = "object-missing"


class CardFull(CardError):
    """6A84: no room left on the card. Fact: `command`."""

    code = "card-full"


class NotSupportedByCard(CardError):
    """The card or its firmware cannot do this. Facts: `what`, `profile` or `sw`."""

    code = "not-supported-by-card"


class ManagementKeyRejected(CardError):
    """The card did not accept our management key: it belongs to somebody else, or the record is wrong."""

    code = "management-key-rejected"


class CardNotGenuine(CardError):
    """The card could not prove the recorded management key, or its attestation does not hold. Fact: `why`."""

    code = "card-not-genuine"


class CardMalformed(CardError):
    """The card's answer is not what the standard says. Facts: `what`, `why`."""

    code = "card-malformed"


class ReadBackFailed(CardError):
    """After writing, the card does not hold what the plan says. Fact: `what`."""

    code = "read-back-failed"


class SecretUnresolved(CardError):
    """Neither the proven nor the pending value of a secret can be tried safely. Fact: `secret`."""

    code = "secret-unresolved"


# --- reader, printer ------------------------------------------------------------------------------------


class DeviceError(KioskError):
    """Reader, printer or ssh-agent."""

    exit_code = 4


class NoReader(DeviceError):
    """No reader is attached, or none of this name. Fact: `reader` where one was asked for."""

    code = "no-reader"
    retryable = True


class ReaderBusy(DeviceError):
    """Another program holds the card exclusively. Fact: `reader`."""

    code = "reader-busy"
    retryable = True


class ReaderFailed(DeviceError):
    """The reader or its driver failed. Facts: `reader`, `reason`."""

    code = "reader-failed"
    retryable = True


class PcscUnavailable(DeviceError):
    """The PC/SC service does not run, or the extra `pcsc` is not installed. Fact: `reason`."""

    code = "pcsc-unavailable"
    retryable = True


class NoAgent(DeviceError):
    """No ssh-agent is forwarded to this place, or it does not answer. Fact: `reason`."""

    code = "no-agent"
    retryable = True


class AgentKeyMissing(DeviceError):
    """The ssh-agent does not hold the operator's key."""

    code = "agent-key-missing"
    retryable = True


class AgentRefused(DeviceError):
    """The ssh-agent holds the key and does not sign: it is locked, its user said no, the card is gone, or wants its PIN."""

    code = "agent-refused"
    retryable = True


# --- rules ----------------------------------------------------------------------------------------------


class PolicyError(KioskError):
    """A rule says no; nothing was changed."""

    exit_code = 3


class NotAllowed(PolicyError):
    """The caller has no right to do this. Fact: `what`."""

    code = "not-allowed"


class StationUnknown(PolicyError):
    """No station is registered under this certificate."""

    code = "station-unknown"


class StationBlocked(PolicyError):
    """The station was blocked by an administrator, or its certificate is not the registered one."""

    code = "station-blocked"


class StationExpired(PolicyError):
    """The station's certificate has expired; it has to join again. Fact: `expired` (ISO date) where known."""

    code = "station-expired"


class VirtualCardRefused(PolicyError):
    """A virtual card was offered, but this server does not allow lab stations."""

    code = "virtual-card-refused"


class TransitionForbidden(PolicyError):
    """The lifecycle does not allow this. Facts: `operation`, `state`."""

    code = "transition-forbidden"


class CardNeeded(PolicyError):
    """This needs the card in a reader. Fact: `operation`."""

    code = "card-needed"


class CodeRejected(PolicyError):
    """The unblock code is wrong, spent or too old; ask for a new one."""

    code = "code-rejected"


class OwnersCode(PolicyError):
    """The System Owner's card: its unblock code is known to its owner alone, who types it at a station, or nobody does."""

    code = "owners-code"


class PasscodeRejected(PolicyError):
    """Not the passcode of the first start, or there is none any more. Whoever tries is not told which."""

    code = "passcode-rejected"


class TemplateImpossible(PolicyError):
    """The template asks for what this card or this certificate authority cannot do. Facts: `template`, `why`."""

    code = "template-impossible"


class LimitReached(PolicyError):
    """The holder has as many of these credentials as may be. Facts: `limit`, `template`, `credentials` (their ids)."""

    code = "limit-reached"


class PlaceRefused(PolicyError):
    """A credential cannot be made in the place of another one. Fact: `why`."""

    code = "place-refused"


class OperationInterrupted(PolicyError):
    """The card's last operation was cut and is for somebody else; it goes on first. Fact: `operation`."""

    code = "operation-interrupted"


class CannotRehearse(PolicyError):
    """A dry run cannot tell what would be done to this card. Fact: `why`."""

    code = "cannot-rehearse"


class HolderDisabled(PolicyError):
    """The directory says that this person is disabled. Fact: `holder` (the id that was asked for)."""

    code = "holder-disabled"


class HoleRefused(PolicyError):
    """The server asked for a secret where none may go; the station refused. Facts: `command`, `why`."""

    code = "hole-refused"


class JoinRefused(PolicyError):
    """The join token is unknown, used, expired, or names another server."""

    code = "join-refused"


class TooManyAttempts(PolicyError):
    """The limit of attempts is reached; later ones are judged again. Fact: `seconds` to wait."""

    code = "too-many-attempts"
    retryable = True


class PinPolicyViolated(PolicyError):
    """The new PIN breaks the template's rules. Fact: `rule`."""

    code = "pin-policy-violated"
    retryable = True


class Cancelled(PolicyError):
    """A person gave no answer or said no. Fact: `question`."""

    code = "cancelled"


class LogonNeeded(PolicyError):
    """An operator has to log on first: there are operators, and this was asked without a session."""

    code = "logon-needed"


class LogonRefused(PolicyError):
    """Nobody is logged on: no operator's key, another text, or too late. The record says which; the caller is not told."""

    code = "logon-refused"


class SessionEnded(PolicyError):
    """The session has ended, or is another station's; log on again."""

    code = "session-ended"


class StepUpNeeded(PolicyError):
    """The operator's PIN is asked for again before this. Fact: `what`."""

    code = "step-up-needed"


class ApprovalNeeded(PolicyError):
    """A second person has to approve this first. Facts: `operation`, `why`, `template`, `card`, `count`, `by`."""

    code = "approval-needed"


class ApprovalRefused(PolicyError):
    """This person's approval does not count, or the request does not wait for one any more. Fact: `why`."""

    code = "approval-refused"


class PresenceNeeded(PolicyError):
    """Takes the operator's card in a reader: the log-on through an ssh-agent proved possession only. Fact: `what`."""

    code = "presence-needed"


class HolderLogonRefused(PolicyError):
    """Not the password, the card or the code of a holder who may log on now. Whoever tries is not told which."""

    code = "holder-logon-refused"


class NotYours(PolicyError):
    """A holder asks for a card or a credential of somebody else. Nothing is told of it."""

    code = "not-yours"


class OtherProofNeeded(PolicyError):
    """A holder logged on with a proof that does not do for this. Facts: `operation`, `proofs` (those that do)."""

    code = "other-proof-needed"


class ChallengeRefused(PolicyError):
    """What the server wanted signed with the operator's card is not what was asked for; nothing was signed. Fact: `why`."""

    code = "challenge-refused"


class CardLeased(PolicyError):
    """Another station works on this card now. Fact: `station`."""

    code = "card-leased"
    retryable = True


class LeaseLost(PolicyError):
    """Another station took the card over; what this operation still wanted to write is refused."""

    code = "lease-lost"


# --- what was asked for ---------------------------------------------------------------------------------


class RequestError(KioskError):
    """What was asked for does not exist or makes no sense; nothing was changed."""


class UnknownHolder(RequestError):
    """No such person in the directory. Fact: `holder` (the id that was asked for)."""

    code = "unknown-holder"


class UnknownTemplate(RequestError):
    """No such template. Fact: `template`."""

    code = "unknown-template"


class UnknownCard(RequestError):
    """The card in the reader is not in the record."""

    code = "unknown-card"


class TemplateInvalid(RequestError):
    """The template's text is wrong. Facts: `line`, `why`, `nearest` where there is one."""

    code = "template-invalid"


class VariableMissing(RequestError):
    """A template needs a value that the directory does not have for this person. Fact: `variable`."""

    code = "variable-missing"


class Invalid(RequestError):
    """A value in the request is missing or malformed. Facts: `field`, `why`."""

    code = "invalid-request"


# --- outside systems ------------------------------------------------------------------------------------


class ConnectorError(KioskError):
    """A directory, certificate authority, key store, or the server itself."""

    exit_code = 5


class ServerUnreachable(ConnectorError):
    """The server does not answer. Facts: `server`, `reason`."""

    code = "server-unreachable"
    retryable = True


class ConnectionLost(ConnectorError):
    """The line to the server was cut while an operation ran; insert the card again to continue."""

    code = "connection-lost"
    retryable = True
    outcome_unknown = True
    exit_code = 7


class ConnectorUnreachable(ConnectorError):
    """An outside system does not answer. Facts: `connection`, `reason`."""

    code = "connector-unreachable"
    retryable = True


class ConnectorRefused(ConnectorError):
    """An outside system refused. Facts: `connection`, `reason`."""

    code = "connector-refused"


class ConnectorAnswerWrong(ConnectorError):
    """An outside system answered something that cannot be used. Facts: `connection`, `reason`."""

    code = "connector-answer-wrong"
    outcome_unknown = True


class CertificateRejected(ConnectorError):
    """What the certificate authority returned is not what was asked for. Facts: `connection`, `why`."""

    code = "certificate-rejected"


class CertificatePending(ConnectorError):
    """A certificate authority lets the request wait, for a person there or for time: nothing failed. Fact: `connection`."""

    code = "certificate-pending"
    retryable = True
    exit_code = 4


class KeyUnconfirmed(ConnectorError):
    """The answer about a key was lost where nobody can search: it gets no other certificate. Facts: `connection`, `slot`."""

    code = "key-unconfirmed"


class PassphraseRejected(ConnectorError):
    """The key store does not open with this passphrase."""

    code = "passphrase-rejected"
    retryable = True


class KeyStoreDamaged(ConnectorError):
    """The key store's file is damaged or not one of ours. Fact: `why`."""

    code = "key-store-damaged"


class NotSupported(ConnectorError):
    """A connector lacks an ability that the configuration needs. Facts: `connection`, `what`."""

    code = "not-supported"


class CredentialEnds(ConnectorError):
    """The credential by which an outside system knows us ends soon, or has. Facts: `connection`, `until`, `days`."""

    code = "credential-ends"


class TasksLate(ConnectorError):
    """Certificate authorities have not done in time what was decided. Facts: `late`, `overdue` (how many), `hours`."""

    code = "tasks-late"
    retryable = True


class JobFailed(ConnectorError):
    """A job of the server failed when it was last done, or has not been done for long. Facts: `job`, `reason`."""

    code = "job-failed"
    retryable = True


# --- record, configuration, wire ------------------------------------------------------------------------


class StoreError(KioskError):
    """The record could not be read or written."""

    exit_code = 5


class StoreUnavailable(StoreError):
    """The database cannot be opened. Fact: `why`."""

    code = "store-unavailable"


class StoreConflict(StoreError):
    """Somebody else changed the same thing first; read again. Fact: `what`."""

    code = "store-conflict"
    retryable = True


class ConfigError(KioskError):
    """The configuration or the command line."""

    exit_code = 2


class ConfigInvalid(ConfigError):
    """A setting is wrong. Facts: `file`, `line`, `key`, `why`, `nearest` where there is one."""

    code = "config-invalid"


class ConfigMissing(ConfigError):
    """A file or a setting that is needed is not there. Facts: `file`, `key`, `what` (what to do about it)."""

    code = "config-missing"


class ProtocolError(KioskError):
    """The other end of the wire broke the agreement."""


class Garbled(ProtocolError):
    """A message is malformed or came out of turn. Fact: `why`."""

    code = "garbled"


class ServerFault(ProtocolError):
    """The server failed in a way that it does not understand; its log has the details. Fact: `incident`."""

    code = "server-fault"
    outcome_unknown = True
    exit_code = 7


class StationFault(ProtocolError):
    """The station failed in a way that it does not understand; its log has the details. Fact: `incident`."""

    code = "station-fault"
    outcome_unknown = True
    exit_code = 7


class UnknownFailure(ProtocolError):
    """The other end reported a code that this version does not know. Fact: `reported`."""

    code = "unknown-failure"
    outcome_unknown = True
    exit_code = 7


def _leaves(branch: type[KioskError]) -> list[type[KioskError]]:
    below = branch.__subclasses__()
    return [leaf for child in below for leaf in _leaves(child)] if below else [branch]


BY_CODE: Final[dict[str, type[KioskError]]] = {leaf.code: leaf for leaf in _leaves(KioskError)}


def from_code(code: str, facts: dict[str, Fact]) -> KioskError:
    """Make the error that travelled as `code`; a code nobody knows becomes `UnknownFailure`."""
    kind = BY_CODE.get(code)
    return kind(**facts) if kind is not None else UnknownFailure(reported=code)
