"""What brings a card up to date without its holder.

Newest keys, the newest version of its template, and what was decided about its credential while it was away.
Planning is pure, as in `plan`. The PIN is the holder's and stays as it is, so nothing is done here that would need
it: a version of the template that wants other keys or certificates is for a new issue (`Newer.reissue`).
"""

from dataclasses import dataclass, replace
from typing import Final

from shared.credential.model import FACTORY, OWNERS, CardRecord, PinState, SecretVersion, State, TemplateRef
from shared.credential.plan import ReadBack, RotatePuk
from shared.credential.template import Template
from shared.piv.ids import ManagementAlgorithm
from shared.relay import StepLine

UPDATE_NEEDED: Final = "update-needed"
REISSUE_NEEDED: Final = "reissue-needed"
CARRY_DUE: Final = "carry-due"
"""Notices about a card."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rekey:
    """Replace the management key by a newer one of master key `generation`; heals a change that was cut."""

    generation: int

    @property
    def line(self) -> StepLine:
        """How it is told to people."""
        return StepLine(key="rekey", facts={"generation": self.generation})


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeTemplate:
    """Bind the credential to a newer version of its template, which asks for nothing else of the card."""

    ref: TemplateRef

    @property
    def line(self) -> StepLine:
        """How it is told to people."""
        return StepLine(key="template", facts={"version": self.ref.version})


@dataclass(frozen=True, slots=True)
class TakePin:
    """Replace the PIN by one that nobody knows: the credential was taken out of use while its card was away."""

    @property
    def line(self) -> StepLine:
        """How it is told to people."""
        return StepLine(key="pin")


UpdateStep = Rekey | TakePin | RotatePuk | TakeTemplate | ReadBack

OUT_OF_USE: Final = frozenset({State.SUSPENDED, State.REVOKED, State.DELETED})
"""States in which nobody may know the PIN of a card."""


def is_ours(record: CardRecord) -> bool:
    """Whether the card has proven a management key of ours; one with the factory's is only given back."""
    return record.management_key.proven not in {None, FACTORY}


def takes_pin(record: CardRecord) -> bool:
    """Whether somebody may know the PIN of a card of ours that is out of use."""
    in_force = record.pin in {PinState.HOLDER, PinState.UNKNOWN}
    return record.state in OUT_OF_USE and in_force and is_ours(record)


def due_at_sight(record: CardRecord) -> bool:
    """Whether something waits to be carried to this card: it is done as soon as the card appears anywhere."""
    return takes_pin(record) or record.puk_disclosed or (record.key_disclosed and is_ours(record))


@dataclass(frozen=True, slots=True, kw_only=True)
class Newer:
    """What the newest version of a credential's template means for it.

    `ref` is the version that can be taken over; `reissue` says that there is one that cannot.
    """

    ref: TemplateRef | None = None
    reissue: bool = False


def compare(
    present: tuple[TemplateRef, Template],
    newest: tuple[TemplateRef, Template],
    algorithm: ManagementAlgorithm,
) -> Newer:
    """Compare the version that a credential was issued by with the newest; `algorithm` is its management key's."""
    (ref, old), (newest_ref, new) = present, newest
    if newest_ref.version <= ref.version:
        return Newer()
    asked = new.management_key.algorithm
    if asked in {None, algorithm} and _of_the_card(old) == _of_the_card(new):
        return Newer(ref=newest_ref)
    return Newer(reissue=True)


def _of_the_card(template: Template) -> Template:
    """Return a template without what changes nothing on a card: words, rules for the next PIN, renewal and the end."""
    plain = Template(name="", digest=b"", title="", directory="", certificates=())
    return replace(
        template,
        certificates=tuple(
            replace(
                spec, reasons={}, renew_before_days=0, accept_loss=False, accept_unrevocable=False, account=""
            )
            for spec in template.certificates
        ),
        digest=plain.digest,
        title=plain.title,
        management_key=plain.management_key,
        pin=replace(template.pin, policy=plain.pin.policy, not_from=(), change_after_days=None),
        reasons=plain.reasons,
    )


def plan_update(
    record: CardRecord, *, generation: int, newer: Newer, puk_blocked: bool
) -> tuple[UpdateStep, ...]:
    """Return the steps that bring this card up to date; none where it is.

    `generation` is the newest master key's. A PUK that is blocked or not known cannot be rotated and stays; so does every
    secret of a card with the factory's management key.
    """
    steps: list[UpdateStep] = []
    key, puk = record.management_key, record.puk
    if is_ours(record) and (
        key.pending is not None or record.key_disclosed or _older(key.proven, generation)
    ):
        steps.append(Rekey(generation=generation))
    if (
        is_ours(record)
        and puk.proven is not None
        and not puk_blocked
        and OWNERS not in {puk.proven, puk.pending}
    ):
        if takes_pin(record):
            steps += [TakePin(), RotatePuk()]
        elif puk.pending is not None or record.puk_disclosed or _older(puk.proven, generation):
            steps.append(RotatePuk())
    if newer.ref is not None:
        steps.append(TakeTemplate(ref=newer.ref))
    return (*steps, ReadBack()) if steps else ()


def next_key(record: CardRecord, generation: int) -> SecretVersion:
    """Return the version that the management key of a card is to have.

    One that somebody may know gives way to one that nobody has carried: of a higher count than both candidates.
    """
    if not record.key_disclosed:
        return SecretVersion(generation)
    both = (record.management_key.proven, record.management_key.pending)
    counts = [each.count for each in both if each is not None and each.generation == generation]
    return SecretVersion(generation, max(counts, default=-1) + 1)


def _older(version: SecretVersion | None, generation: int) -> bool:
    return version is not None and version.generation < generation
