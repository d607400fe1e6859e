"""What a template asks for and a card or a certificate authority cannot do, found before any card is touched."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Final, Protocol

from shared import errors
from shared.credential.pins import Characters, PinPolicy
from shared.credential.reasons import HELD
from shared.credential.template import CertificateSpec, Template
from shared.piv.ids import ManagementAlgorithm, Slot
from shared.piv.profiles import PROFILES, Profile, why_not, why_not_management

STRENGTH: Final = (
    ManagementAlgorithm.AES256,
    ManagementAlgorithm.AES192,
    ManagementAlgorithm.AES128,
    ManagementAlgorithm.TDES,
)
"""Management key algorithms, the strongest first."""

MIN_PUK_TRIES: Final = 3
"""A PUK change that was cut is settled by trying two values, and never on the last try."""


class Able(Protocol):
    """What a certificate authority says of itself."""

    @property
    def profiles(self) -> tuple[str, ...]:
        """The names of its profiles."""
        ...

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The texts of the key algorithms that it certifies."""
        ...

    @property
    def proof_by_server(self) -> bool:
        """Whether it takes the server's word that a key is held."""
        ...

    @property
    def hold(self) -> bool:
        """Whether it can put a certificate on hold."""
        ...

    @property
    def revoke(self) -> bool:
        """Whether it can revoke."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """The alternative names that its certificates carry; empty where it does not say."""
        ...

    @property
    def for_accounts(self) -> bool:
        """Whether it asks on behalf of accounts."""
        ...


def management_algorithm(template: Template | None, profile: Profile) -> ManagementAlgorithm:
    """Return the algorithm of the management key: the template's, else the strongest that the card holds."""
    fixed = template.management_key.algorithm if template is not None else None
    return fixed or next(kind for kind in STRENGTH if kind in profile.management)


def check_card(template: Template, profile: Profile) -> list[errors.TemplateImpossible]:
    """Return everything that this card cannot do of the template."""
    if template.cards and profile.name not in template.cards:
        titles = ", ".join(PROFILES[name].title for name in template.cards)
        why = f"it is for {titles}, and this is a {profile.title}"
        return [errors.TemplateImpossible(template=template.name, why=why)]
    reasons = [why_not_management(profile, management_algorithm(template, profile))]
    if template.pin.tries is not None and not profile.features.set_retries:
        reasons.append(f"{profile.title} has no command that sets retry counters")
    if template.attestation.required and not profile.features.attestation:
        reasons.append(f"{profile.title} cannot attest keys")
    if template.pin.policy.characters is not Characters.DIGITS and profile.pin_digits_only:
        reasons.append(f"{profile.title} takes PINs of digits only")
    reasons += [
        why_not(profile, spec.slot, spec.algorithm, spec.pin_policy, spec.touch_policy)
        for spec in template.certificates
    ]
    return [errors.TemplateImpossible(template=template.name, why=why) for why in reasons if why]


def require_key_kept(template: Template, algorithm: ManagementAlgorithm) -> None:
    """Refuse to change the algorithm of the management key of a card of ours: until it is proven, either might be in force.

    Raises:
        TemplateImpossible: the template wants another one than `algorithm`, which the card has.
    """
    if template.management_key.algorithm not in {None, algorithm}:
        why = "a card of ours keeps the algorithm of its management key: unregister it and issue it again"
        raise errors.TemplateImpossible(template=template.name, why=why)


def within(policy: PinPolicy, profile: Profile) -> PinPolicy:
    """Return a PIN policy within what the card takes: whatever it lets pass, the policy does too."""
    return replace(policy, characters=Characters.DIGITS) if profile.pin_digits_only else policy


def check_connections(
    template: Template,
    authorities: Mapping[str, Able],
    directories: AbstractSet[str],
    writable: AbstractSet[str] = frozenset(),
) -> list[errors.TemplateImpossible]:
    """Return everything that the configured connections cannot do of the template; `writable` directories take certificates."""
    reasons = []
    if template.directory not in directories:
        reasons.append(f"there is no directory {template.directory}")
    elif template.directory not in writable and any(spec.write_back for spec in template.certificates):
        reasons.append(f"the directory {template.directory} takes no certificates (write-back)")
    for spec in template.certificates:
        authority = authorities.get(spec.ca)
        if authority is None:
            reasons.append(f"there is no certificate authority {spec.ca}")
        else:
            reasons += _check_authority(spec, authority)
            if not authority.hold and HELD in {*template.reasons.values(), *spec.reasons.values()}:
                reasons.append(f"{spec.ca} cannot put a certificate on hold")
    return [errors.TemplateImpossible(template=template.name, why=why) for why in reasons]


def _check_authority(spec: CertificateSpec, authority: Able) -> Sequence[str]:
    reasons = []
    if spec.profile not in authority.profiles:
        reasons.append(f"{spec.ca} has no profile {spec.profile}")
    if spec.algorithm.text not in authority.algorithms:
        reasons.append(f"{spec.ca} certifies no {spec.algorithm.text} keys")
    if not spec.algorithm.can_sign and not authority.proof_by_server:
        reasons.append(f"{spec.ca} wants a signed request, and {spec.algorithm.text} keys do not sign")
    if not authority.revoke and not spec.accept_unrevocable:
        reasons.append(f"{spec.ca} cannot revoke (accept-unrevocable, or a connection that revokes for it)")
    if authority.for_accounts and not spec.account:
        reasons.append(f"{spec.ca} asks on behalf of accounts, and the certificate names none (account)")
    wanted = {"upn": spec.upn, "mail": spec.mail, "sid": spec.sid}
    lacking = [
        name for name, text in wanted.items() if text and authority.names and name not in authority.names
    ]
    return [*reasons, *(f"{spec.ca} puts no {name} into certificates" for name in lacking)]


def warnings(template: Template) -> list[str]:
    """Return what an administrator should know although it works."""
    found = []
    if template.pin.puk_tries is not None and template.pin.puk_tries < MIN_PUK_TRIES:
        found.append("fewer than three PUK tries: an interrupted PUK change may not be settled")
    slots = {spec.slot for spec in template.certificates}
    if Slot.AUTHENTICATION not in slots:
        found.append("no key for authentication (9A)")
    found += [
        f"upn without sid in {spec.slot.text}: Active Directory logs nobody on by it (KB5014754), unless their "
        "account names the certificate (altSecurityIdentities)"
        for spec in template.certificates
        if spec.slot is Slot.AUTHENTICATION and spec.upn and not spec.sid
    ]
    return [*found, *_replacement_warnings(template), *_pin_warnings(template.pin.policy)]


def _replacement_warnings(template: Template) -> list[str]:
    """Return what an administrator may not have meant when keys and certificates are replaced."""
    found = []
    for spec in template.certificates:
        if spec.accept_loss and spec.decrypts:
            found.append(
                f"accept-loss in {spec.slot.text}: after a reissue, what was encrypted cannot be read"
            )
        elif spec.accept_loss:
            found.append(f"accept-loss in {spec.slot.text}: nothing is encrypted for this key")
        if spec.accept_unrevocable:
            found.append(
                f"accept-unrevocable in {spec.slot.text}: its certificate stays good until it ends, whatever happens"
            )
        if spec.renew_before_days >= spec.days:
            found.append(f"renew-before-days in {spec.slot.text}: due from the day on which it is issued")
    return found


def _pin_warnings(policy: PinPolicy) -> list[str]:
    """Return what some cards will not take of what the policy lets pass."""
    found = []
    if policy.characters is not Characters.DIGITS:
        strict = ", ".join(profile.title for profile in PROFILES.values() if profile.pin_digits_only)
        found.append(f"PINs of more than digits: refused for {strict}")
    if policy.allow_sequences or policy.allow_repeats:
        found.append("sequences or repeats allowed: a YubiKey 5.7 that checks PINs itself does not take them")
    return found


def require(
    template: Template,
    profile: Profile,
    authorities: Mapping[str, Able],
    directories: AbstractSet[str],
    writable: AbstractSet[str] = frozenset(),
) -> None:
    """Refuse a template that cannot be carried out on this card with these connections.

    Raises:
        TemplateImpossible: the first reason.
    """
    on_card = check_card(template, profile)
    for problem in (*on_card, *check_connections(template, authorities, directories, writable)):
        raise problem
