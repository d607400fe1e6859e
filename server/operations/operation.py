"""One operation on one card: what every kind of operation works with."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import uuid4

from server.authority.access import Caller
from server.authority.holder_rights import HolderRights
from server.authority.operator_cards import OWNERS_WAYS, authorise_carried, check_not_owners
from server.authority.policy import OPERATION_RULES, authorise
from server.operations.approval import Doing, cleared, spent_evidence
from server.operations.claim import claim
from server.operations.identify import Identified, Sighting, identify
from server.operations.journal import Journal
from server.operations.secrets import CardSecrets
from server.operations.services import Services
from server.operations.talk import Talk
from server.ports.store import ApprovalSpent, AuditKind, AuditRecord, Change, Opening, SecretChanged
from shared import errors
from shared.credential import plan
from shared.credential.approval import WAY_OF
from shared.credential.lifecycle import CONTINUED, OperationKind
from shared.credential.model import (
    FACTORY,
    CardRecord,
    CredentialId,
    HolderId,
    OperationId,
    RecordId,
    SecretKind,
    SecretRecord,
    SecretVersion,
    TemplateRef,
)
from shared.credential.template import Template
from shared.credential.template_reading import parse_template
from shared.piv.ids import Slot
from shared.piv.inspect import CardFacts, inspect
from shared.piv.management import ManagementKey, prove_management_key
from shared.piv.select import fresh
from shared.relay import Begin, StepChange
from shared.roles import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How an operation ended well: facts for the last line of the screen."""

    facts: dict[str, errors.Fact]


Again = Callable[[Caller], Awaitable[Caller]]
"""Return the caller as it is now; `SessionEnded` where its session has ended."""


class Operation:
    """The station's request, the card as it was found, and the means to go on."""

    def __init__(
        self, services: Services, caller: Caller, begin: Begin, talk: Talk, again: Again | None = None
    ) -> None:
        """Work for `caller`, as asked in `begin`; `again` judges the caller at every border between two steps."""
        self.services = services
        self.caller = caller
        self.begin = begin
        self.talk = talk
        self.journal = Journal(services.store.cards, caller)
        self.record: CardRecord | None = None
        self.seen = False
        """The card was read and looked up."""
        self.untouched = False
        """It failed (another card, or one of somebody else) before anything was written: nothing to continue."""
        self.decided = False
        """What was decided stands, whatever becomes of the card: that is carried to it when it next appears."""
        self.roles: tuple[str, ...] = ()
        """The names of those that a credential that is being issued carries."""
        self.carries: Sequence[Role] | None = None
        """What an operator's credential gives its holder, where this operation makes it usable."""
        self.doing: Doing | None = None
        """What an approval has to cover, once it is known; None for a card that is nobody's."""
        self._judged = False
        self.replaces: CredentialId | None = None
        self.primary: CredentialId | None = None
        self.ends_at: datetime | None = None
        """When the credential ends, where it is temporary; nothing that is certified for it lives longer."""
        self.facts: CardFacts | None = None
        self._steps: Sequence[plan.Step] = ()
        self._again = again
        talk.keep_alive = self.journal.keep_alive
        if again is not None:
            talk.judge = self.judge_again

    # --- the card ---------------------------------------------------------------------------------------

    async def inspect(self) -> tuple[CardFacts, Identified]:
        """Read the card and find its record.

        Raises:
            NotAllowed, LogonNeeded: the caller may not do this with this card.
            OwnersCode: it is the System Owner's card, and this is not done to it.
            NotPivCard: no PIV application.
            CardLost: it left.
        """
        facts = await self.talk.converse(inspect())
        sighting = Sighting(
            profile=facts.profile.name.value,
            serial=facts.serial,
            guid=facts.chuid.guid if facts.chuid else None,
            factory_management_key=facts.management.default,
        )
        found = await identify(self.services.store.cards, sighting)
        self.record, self.facts = found.record, facts
        self.seen = True
        if found.record is not None and found.record.credential is not None:
            self.ends_at = found.record.credential.ends_at
        if found.record is not None and self.begin.operation not in OWNERS_WAYS:
            await check_not_owners(self.services.store.operators, found.record)
        await self.permit()
        return facts, found

    async def permit(self) -> None:
        """Refuse what the caller may not do with this card: every template counts that it is, or becomes, a card of.

        Raises:
            NotAllowed: no permission.
            NotYours, OtherProofNeeded: as `HolderRights.permit`.
            LogonNeeded: nobody is logged on who has to be.
        """
        if self.caller.principal is None:
            raise errors.LogonNeeded
        if (holding := self.caller.principal.holding) is not None:
            rights = HolderRights(self.services.store.templates, self.caller.profile)
            named = self.begin.template if self.begin.operation is OperationKind.ISSUE else ""
            await rights.permit(holding, self.begin.operation, self.record, template=named)
            return
        names: set[str | None] = set()
        if self.begin.operation is OperationKind.ISSUE and self.begin.template:
            names.add(self.begin.template)
        if self.record is not None:
            cut, credential = self.record.open_operation, self.record.credential
            refs = (cut.template if cut else None, credential.template if credential else None)
            names |= {ref.name for ref in refs if ref is not None}
        for name in names or {None}:
            authorise(self.caller.principal, OPERATION_RULES[self.begin.operation], name)
        if self.carries is not None:
            authorise_carried(self.caller.principal, self.carries)

    async def clear(self, doing: Doing | None) -> None:
        """Refuse what was not approved and has to be; judged once more when the operation is opened.

        Every operation that is a way to a usable card says what it does, or None: the card is nobody's.

        Raises:
            ApprovalNeeded: nothing that was approved covers it.
        """
        if doing is not None:
            await cleared(self.services, self.caller, doing)
        self.doing, self._judged = doing, True

    def secrets(self, record_id: RecordId) -> CardSecrets:
        """Return the means to derive this card's secrets."""
        return CardSecrets(self.services.keystore, record_id, self.journal)

    async def prove(self, record: CardRecord, facts: CardFacts) -> SecretVersion:
        """Reset the card, make sure it is the same one, and have it prove the recorded management key.

        What follows in this power session may carry secrets. A change of the key that was cut is settled by it.

        Returns:
            Which of the recorded versions it is.

        Raises:
            ManagementKeyRejected: it is another card, or somebody else changed the key.
            CardNotGenuine: it did not prove the key.
        """
        secret = record.management_key
        if secret.pending is not None:
            found = await self.resolve_management_key(record, facts)
            self.journal.note(SecretChanged(kind=SecretKind.MANAGEMENT_KEY, value=SecretRecord(proven=found)))
            return found
        if secret.proven is None:
            raise errors.SecretUnresolved(secret="management-key")  # noqa: S106  # a name, not a secret
        key = await self._candidate_key(record, facts, secret.proven)
        conversation = prove_management_key(key, self.services.keystore.random)
        await self.talk.converse(fresh(conversation, chuid=facts.chuid_raw))
        self._proved(secret.proven)
        return secret.proven

    async def resolve_management_key(self, record: CardRecord, facts: CardFacts) -> SecretVersion:
        """Find out which of the two candidates the card holds: the proven value or the pending one.

        A "default" flag in the card's metadata decides without a try. Else the proven value is tried; one wrong
        try is harmless, because the second candidate is then the right one.

        Raises:
            ManagementKeyRejected: neither is; somebody else has changed it.
        """
        secret = record.management_key
        candidates = [version for version in (secret.proven, secret.pending) if version is not None]
        if facts.management.default is not None:
            candidates = [v for v in candidates if (v == FACTORY) is facts.management.default]
        for version in candidates:
            key = await self._candidate_key(record, facts, version)
            try:
                await self.talk.converse(
                    fresh(prove_management_key(key, self.services.keystore.random), chuid=facts.chuid_raw)
                )
            except errors.ManagementKeyRejected:
                continue
            self._proved(version)
            return version
        raise errors.ManagementKeyRejected

    def _proved(self, version: SecretVersion) -> None:
        """Note that the card is here, as far as a key shows it: the factory's is known to everybody."""
        if version != FACTORY:
            self.journal.proved()

    async def _candidate_key(
        self, record: CardRecord, facts: CardFacts, version: SecretVersion
    ) -> ManagementKey:
        algorithm = record.management_algorithm
        if version == FACTORY:
            algorithm = facts.management.algorithm or facts.profile.factory_management
        return await self.secrets(record.record_id).management_key(algorithm, version)

    async def judge_again(self) -> None:
        """Refuse to go on where who asked may not any more: roles change and sessions end while a card is worked on.

        Raises:
            SessionEnded, NotAllowed: what was done is recorded, and somebody else may go on.
        """
        if self._again is not None:
            self.caller = await self._again(self.caller)
            await self.permit()

    # --- the record -------------------------------------------------------------------------------------

    async def open(
        self,
        record_id: RecordId,
        *,
        new_card: CardRecord | None = None,
        template: TemplateRef | None = None,
        supersede: bool = False,
    ) -> None:
        """Take the card's lease, or go on with the operation that was cut; `supersede` gives that one up for good.

        Raises:
            OperationInterrupted: another operation was cut, and has to be gone on with first.
            CardLeased: another station works on the card, which has proven itself there, or does not here.
            StoreConflict: something was done to the card since it was inspected, perhaps at another station while a
                person was asked here: what was planned is not for this card any more.
        """
        seen = self.record
        cut = seen.open_operation if seen else None
        same = cut is not None and cut.kind == self.begin.operation.value
        if seen is not None and cut is not None and not same and not supersede:
            if OperationKind(cut.kind) in CONTINUED:
                raise errors.OperationInterrupted(operation=cut.kind)
            seen = await claim(self, partial(self.journal.abandon, seen, cut))
        operation_id = cut.operation_id if cut and same else OperationId(uuid4())
        began = AuditRecord(
            kind=AuditKind.OPERATION,
            event="continued" if same else "began",
            actor=self.caller.actor,
            subject=str(record_id),
            facts={"operation": self.begin.operation.value, "reader": self.begin.reader},
        )
        opening = Opening(
            operation_id=operation_id,
            kind=self.begin.operation.value,
            record_id=record_id,
            station=self.caller.station_id,
            holder=self.begin.holder,
            template=template,
            new_card=new_card,
            seen=seen,
            reason=self.begin.reason or (cut.reason if cut and same else ""),
            replaces=self.replaces,
            primary=self.primary,
            roles=self.roles,
            supersedes=cut.operation_id if cut and supersede and not same else None,
            changes=(*await self._spending(operation_id), began),
        )
        lease = await claim(self, partial(self.journal.open, opening))
        self.talk.epoch = lease.epoch

    async def _spending(self, operation_id: OperationId) -> tuple[Change, ...]:
        """Return what spends an approval; it is written with the opening, or, where that is refused, not at all.

        Raises:
            ApprovalNeeded: there is none that covers it (any more), or nobody said what is done.
        """
        way = WAY_OF[self.begin.operation]
        if way is None:
            return ()
        if not self._judged:
            raise errors.ApprovalNeeded(operation=way.value, why="it was not said what is done")
        if self.doing is None:
            return ()
        spends = (await cleared(self.services, self.caller, self.doing)).spends
        if spends is None:
            return ()
        evidence = spent_evidence(spends, self.caller, operation_id, self.services.clock.now())
        return ApprovalSpent(request_id=spends), evidence

    async def template(self, ref: TemplateRef | None, name: str = "") -> tuple[TemplateRef, Template]:
        """Return a template: the version in `ref`, else the newest of `name`.

        Raises:
            UnknownTemplate: there is none.
        """
        templates = self.services.store.templates
        stored = await (templates.version(ref) if ref else templates.latest(name))
        if stored is None:
            raise errors.UnknownTemplate(template=ref.name if ref else name)
        return stored.ref, parse_template(stored.text)

    @property
    def holder(self) -> HolderId:
        """Whom the card is for: as asked, or as the operation that was cut says."""
        if not self.begin.holder and self.record and self.record.open_operation:
            return self.record.open_operation.holder
        return HolderId(self.begin.holder)

    # --- what the person sees ---------------------------------------------------------------------------

    async def show(self, steps: Sequence[plan.Step]) -> None:
        """Show the plan as the list of steps."""
        self._steps = steps
        await self.talk.show([step.line for step in steps])

    async def advance(
        self, *, done: tuple[type[plan.Step], ...] = (), begun: tuple[type[plan.Step], ...] = ()
    ) -> None:
        """Mark steps of these kinds as done, and of these as begun; between the two the caller is judged again.

        Raises:
            SessionEnded, NotAllowed: the caller may not go on; what was done is recorded, and somebody else may.
        """
        await self.judge_again()
        changes = [
            StepChange(index=index, done=isinstance(step, done), expected_ms=expected_ms(step))
            for index, step in enumerate(self._steps)
            if isinstance(step, (*done, *begun))
        ]
        await self.talk.progress(*changes)


def expected_ms(step: plan.Step) -> int:
    """Return how long a step takes on cards in the field, in milliseconds; 0 where it is too short to say.

    Source: medians of JCAlgTest's public results for key generation.
    """
    if not isinstance(step, plan.Generate):
        return 0
    bits = step.spec.algorithm.rsa_bits
    return {None: 160, 2048: 12_000, 3072: 20_000, 4096: 60_000}[bits]


def needs_pin(slot: Slot) -> bool:
    """Whether a slot's key wants the PIN: all but card authentication ([SP 800-73-5] part 1, table 4b)."""
    return slot is not Slot.CARD_AUTHENTICATION
