"""Templates as they are written: TOML, read strictly.

An unknown key is an error with its line and the nearest known key.
"""

import difflib
import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import timedelta
from enum import Enum
from typing import Any, Final, NoReturn, TypeVar

from shared import errors
from shared.credential.approval import (
    ADMINISTRATIVE,
    MOST_APPROVALS,
    TOGETHER,
    ApprovalRule,
    Approvers,
    Way,
)
from shared.credential.lifecycle import OperationKind
from shared.credential.personal import VARIABLE
from shared.credential.pins import Characters, PinPolicy
from shared.credential.reasons import Cause, Consequence, read_consequence
from shared.credential.self_service import PROOFS, HolderProof, SelfService
from shared.credential.template import (
    Attestation,
    CertificateSpec,
    ManagementKeyChoice,
    PinSettings,
    Template,
    Temporary,
    WhenHolderLeaves,
)
from shared.credential.variables import check_subject, check_variables
from shared.piv.ids import Algorithm, PinPolicyId, ProfileName, Slot, TouchPolicyId

E = TypeVar("E", bound=Enum)

LOGGING_ON: Final = (
    Algorithm.P256, Algorithm.P384, Algorithm.RSA_2048, Algorithm.RSA_3072, Algorithm.RSA_4096,
)  # fmt: skip
"""Keys whose signature logs an operator on (`shared.logon`)."""

NAME: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def parse_template(text: str) -> Template:
    """Read a template.

    Raises:
        TemplateInvalid: `line` (from 1, 0 where it cannot be told), `why`, and `nearest` for a mistyped key.
    """
    try:
        root = tomllib.loads(text)
    except tomllib.TOMLDecodeError as cause:
        place = re.search(r"line (\d+)", str(cause))
        raise errors.TemplateInvalid(line=int(place[1]) if place else 0, why=str(cause)) from cause
    return _Reader(text).template(root)


class _Reader:
    """Turn parsed TOML into values, and say where it is wrong."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()

    def template(self, root: Mapping[str, Any]) -> Template:
        self._known(
            root,
            {
                "name", "title", "directory", "expires-after-days", "management-key",
                "pin", "attestation", "certificate", "reasons", "cards", "limit", "temporary", "operator", "system-owner",
                "approval", "self-service", "when-holder-leaves",
            },
        )  # fmt: skip
        canonical = json.dumps(root, sort_keys=True, separators=(",", ":"), default=str)
        name = self._text(root, "name")
        if not NAME.fullmatch(name):
            self._fail("name", "a name has small letters, digits and single hyphens")
        tables = root.get("certificate")
        if not isinstance(tables, list) or not tables:
            self._fail("certificate", "a template has at least one [[certificate]]")
        certificates = tuple(self._certificate(table) for table in tables)
        slots = [spec.slot for spec in certificates]
        for slot in slots:
            if slots.count(slot) > 1:
                self._fail("slot", f"slot {slot.text} stands twice")
        return Template(
            name=name,
            digest=hashlib.sha256(canonical.encode()).digest(),
            title=self._text(root, "title"),
            directory=self._text(root, "directory"),
            certificates=certificates,
            pin=self._pin(self._table(root, "pin")),
            management_key=self._choice(
                root, "management-key", ManagementKeyChoice, ManagementKeyChoice.BEST
            ),
            attestation=self._attestation(self._table(root, "attestation")),
            expires_after_days=self._number(root, "expires-after-days", 1825, 1, 7300),
            reasons=self._reasons(root),
            cards=self._cards(root),
            limit=self._number(root, "limit", 1, 1, 100) if "limit" in root else None,
            temporary=self._temporary(root["temporary"]) if "temporary" in root else None,
            operator=self._operator(root, certificates),
            system_owner=self._system_owner(root),
            self_service=self._self_service(root),
            approvals=self._approvals(root),
            when_holder_leaves=self._choice(
                root, "when-holder-leaves", WhenHolderLeaves, WhenHolderLeaves.LIST
            ),
        )

    def _approvals(self, root: Mapping[str, Any]) -> tuple[ApprovalRule, ...]:
        tables = root.get("approval", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self._fail("approval", "[[approval]] is a list of tables")
        rules = tuple(map(self._approval, tables))
        ways = [way for rule in rules for way in sorted(rule.ways)]
        for way in ways:
            if ways.count(way) > 1:
                self._fail("operations", f"{way} stands in two [[approval]]")
        if sum(1 for rule in rules if rule.ways & TOGETHER) > 1:
            names = ", ".join(sorted(TOGETHER))
            self._fail("operations", f"{names} are ways around each other, and belong into one [[approval]]")
        return rules

    def _approval(self, table: Mapping[str, Any]) -> ApprovalRule:
        self._known(table, {"operations", "count", "by", "valid-for-hours"})
        known = {way.value: way for way in Way if way not in ADMINISTRATIVE}
        names = self._texts(table, "operations", ())
        for name in names:
            if name not in known:
                (near,) = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.0)
                self._fail("operations", f"{name} takes no approval", near)
        if not names:
            self._fail(
                "operations" if "operations" in table else "approval", "operations that take approvals"
            )
        rule = ApprovalRule(
            ways=frozenset(known[name] for name in names),
            count=self._number(table, "count", 1, 1, MOST_APPROVALS),
            by=self._choice(table, "by", Approvers, Approvers.OPERATORS),
            valid_for=timedelta(hours=self._number(table, "valid-for-hours", 24, 1, 720)),
        )
        if rule.by is Approvers.COLLEAGUES and not rule.ways <= TOGETHER:
            self._fail("by", f"colleagues approve {', '.join(sorted(TOGETHER))}, and nothing else")
        return rule

    def _self_service(self, root: Mapping[str, Any]) -> SelfService:
        table = self._table(root, "self-service")
        self._known(table, {operation.value for operation in PROOFS})
        if table and self._flag(root, "operator", default=False):
            self._fail("self-service", "a credential that carries roles is no matter of self-service")
        found: dict[OperationKind, frozenset[HolderProof]] = {}
        for name in table:
            operation = OperationKind(name)
            known = {proof.value: proof for proof in HolderProof if proof in PROOFS[operation]}
            texts = self._texts(table, name, ())
            if not texts or set(texts) - known.keys():
                self._fail(name, f"{name} is a list of {', '.join(known)}")
            found[operation] = frozenset(known[text] for text in texts)
        return found

    def _system_owner(self, root: Mapping[str, Any]) -> bool:
        owner = self._flag(root, "system-owner", default=False)
        if owner and not self._flag(root, "operator", default=False):
            self._fail("system-owner", "the System Owner is an operator: operator = true")
        if owner and "temporary" in root:
            self._fail("temporary", "the System Owner's card does not end")
        return owner

    def _operator(self, root: Mapping[str, Any], certificates: Sequence[CertificateSpec]) -> bool:
        operator = self._flag(root, "operator", default=False)
        spec = next((each for each in certificates if each.slot is Slot.AUTHENTICATION), None)
        if operator and (spec is None or spec.algorithm not in LOGGING_ON):
            self._fail(
                "operator", f"an operator logs on with 9A: {', '.join(each.text for each in LOGGING_ON)}"
            )
        if operator and spec is not None and spec.pin_policy is PinPolicyId.NEVER:
            self._fail("pin-policy", "an operator logs on with the PIN")
        return operator

    def _cards(self, root: Mapping[str, Any]) -> tuple[ProfileName, ...]:
        names = self._texts(root, "cards", ())
        if "cards" in root and not names:
            self._fail("cards", "no card could be issued; leave cards out to allow any")
        known = [name.value for name in ProfileName]
        for name in names:
            if name not in known:
                (near,) = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
                self._fail("cards", f"no kind of card {name}", near)
        return tuple(map(ProfileName, names))

    def _temporary(self, table: Mapping[str, Any]) -> Temporary:
        if not isinstance(table, dict):
            self._fail("temporary", "temporary is a table")
        self._known(table, {"days", "hours", "suspend-primary"})
        lasts = timedelta(
            days=self._number(table, "days", 0, 0, 365), hours=self._number(table, "hours", 0, 0, 23)
        )
        if not lasts:
            self._fail("temporary", "a temporary credential lasts for some days, or hours")
        return Temporary(lasts=lasts, suspend_primary=self._flag(table, "suspend-primary", default=True))

    def _certificate(self, table: Mapping[str, Any]) -> CertificateSpec:
        if not isinstance(table, dict):
            self._fail("certificate", "[[certificate]] is a list of tables")
        self._known(table, {item.name.replace("_", "-") for item in fields(CertificateSpec)})
        days = self._number(table, "days", 730, 1, 3650)
        return CertificateSpec(
            slot=self._slot(table),
            algorithm=self._algorithm(table),
            ca=self._text(table, "ca"),
            profile=self._text(table, "profile"),
            subject=self._filled(table, "subject", check_subject),
            upn=self._filled(table, "upn"),
            mail=self._filled(table, "mail"),
            sid=self._filled(table, "sid"),
            account=self._filled(table, "account"),
            days=days,
            pin_policy=self._named(table, "pin-policy", PinPolicyId, PinPolicyId.DEFAULT),
            touch_policy=self._named(table, "touch-policy", TouchPolicyId, TouchPolicyId.DEFAULT),
            reasons=self._reasons(table),
            renew_before_days=self._number(table, "renew-before-days", min(30, days // 3), 0, 3650),
            accept_loss=self._flag(table, "accept-loss", default=False),
            accept_unrevocable=self._flag(table, "accept-unrevocable", default=False),
            write_back=self._flag(table, "write-back", default=False),
        )

    def _pin(self, table: Mapping[str, Any]) -> PinSettings:
        self._known(
            table,
            {
                "min-length", "max-length", "characters", "allow-sequences", "allow-repeats", "forbidden",
                "not-from", "change-after-days", "tries", "puk-tries",
            },
        )  # fmt: skip
        base = PinPolicy()
        policy = PinPolicy(
            min_length=self._number(table, "min-length", base.min_length, 6, 8),
            max_length=self._number(table, "max-length", base.max_length, 6, 8),
            characters=self._choice(table, "characters", Characters, base.characters),
            allow_sequences=self._flag(table, "allow-sequences", default=base.allow_sequences),
            allow_repeats=self._flag(table, "allow-repeats", default=base.allow_repeats),
            forbidden=self._texts(table, "forbidden", base.forbidden),
        )
        if policy.min_length > policy.max_length:
            self._fail("min-length", "longer than max-length")
        not_from = self._texts(table, "not-from", ())
        for name in not_from:
            if not VARIABLE.fullmatch(name):
                self._fail("not-from", f"no variable such as user.birth-date or card.serial: {name}")
        days = self._number(table, "change-after-days", 0, 1, 3650) if "change-after-days" in table else None
        tries = self._number(table, "tries", 0, 3, 15) if "tries" in table else None
        puk_tries = self._number(table, "puk-tries", 0, 3, 15) if "puk-tries" in table else None
        if (tries is None) != (puk_tries is None):
            self._fail("puk-tries" if tries is None else "tries", "tries and puk-tries are set together")
        return PinSettings(
            policy=policy, not_from=not_from, change_after_days=days, tries=tries, puk_tries=puk_tries
        )

    def _attestation(self, table: Mapping[str, Any]) -> Attestation:
        self._known(table, {"required", "roots"})
        found = Attestation(
            required=self._flag(table, "required", default=False), roots=self._texts(table, "roots", ())
        )
        if found.required and not found.roots:
            self._fail("roots", "attestation needs the names of the vendor roots to trust")
        return found

    def _reasons(self, table: Mapping[str, Any]) -> dict[Cause, Consequence]:
        reasons = self._table(table, "reasons")
        self._known(reasons, {cause.value for cause in Cause})
        found: dict[Cause, Consequence] = {}
        for name in reasons:
            try:
                found[Cause(name)] = read_consequence(self._text(reasons, name))
            except ValueError as wrong:
                self._fail(name, f"{name} is {wrong}")
        return found

    def _slot(self, table: Mapping[str, Any]) -> Slot:
        text = self._text(table, "slot")
        slots = {slot.text: slot for slot in Slot if slot is not Slot.ATTESTATION}
        if text.upper() not in slots:
            self._fail("slot", f"no slot {text}; slots are 9A 9C 9D 9E and 82 to 95")
        return slots[text.upper()]

    def _algorithm(self, table: Mapping[str, Any]) -> Algorithm:
        text = self._text(table, "algorithm")
        try:
            return Algorithm.from_text(text)
        except ValueError:
            known = ", ".join(member.text for member in Algorithm)
            self._fail("algorithm", f"no algorithm {text}; there are {known}")

    def _known(self, table: Mapping[str, Any], known: set[str]) -> None:
        for key in table:
            if key not in known:
                near = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.0)
                self._fail(key, f"no setting {key} here", near[0])

    def _table(self, table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        value = table.get(key, {})
        if not isinstance(value, dict):
            self._fail(key, f"{key} is a table")
        return value

    def _text(self, table: Mapping[str, Any], key: str, default: str | None = None) -> str:
        value = table.get(key, default)
        if not isinstance(value, str) or (default is None and not value.strip()):
            self._fail(key, f"{key} is a text that is not empty")
        return value

    def _filled(
        self, table: Mapping[str, Any], key: str, check: Callable[[str], None] = check_variables
    ) -> str:
        """Read a text with variables; only a subject has to be there."""
        text = self._text(table, key, None if key == "subject" else "")
        try:
            check(text)
        except errors.TemplateInvalid as problem:
            self._fail(key, str(problem.facts["why"]))
        return text

    def _texts(self, table: Mapping[str, Any], key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        value = table.get(key, list(default))
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self._fail(key, f"{key} is a list of texts")
        return tuple(value)

    def _flag(self, table: Mapping[str, Any], key: str, *, default: bool) -> bool:
        value = table.get(key, default)
        if not isinstance(value, bool):
            self._fail(key, f"{key} is true or false")
        return value

    def _number(self, table: Mapping[str, Any], key: str, default: int, low: int, high: int) -> int:
        value = table.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self._fail(key, f"{key} is a number from {low} to {high}")
        return value

    def _choice(self, table: Mapping[str, Any], key: str, kind: type[E], default: E) -> E:
        value = table.get(key, default.value)
        for member in kind:
            if member.value == value:
                return member
        return self._fail(key, f"{key} is one of {', '.join(str(member.value) for member in kind)}")

    def _named(self, table: Mapping[str, Any], key: str, kind: type[E], default: E) -> E:
        value = table.get(key, default.name.lower())
        for member in kind:
            if member.name.lower() == value:
                return member
        return self._fail(key, f"{key} is one of {', '.join(member.name.lower() for member in kind)}")

    def _fail(self, key: str, why: str, nearest: str = "") -> NoReturn:
        pattern = re.compile(rf"""^\s*(\[+\s*)?["']?{re.escape(key)}["']?\s*([=\]])""")
        line = next((at for at, text in enumerate(self._lines, 1) if pattern.match(text)), 0)
        facts: dict[str, errors.Fact] = {"line": line, "why": why}
        if nearest:
            facts["nearest"] = nearest
        raise errors.TemplateInvalid(**facts)
