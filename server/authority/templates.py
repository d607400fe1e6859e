"""Templates: what applying a text would do, and applying it. A version that is stored never changes."""

import difflib
import hashlib
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from server.authority.acts import Acts
from server.authority.holder_proofs import knows_passwords, takes_devices
from server.authority.services import TemplateAction, TemplateLine, TemplateText
from server.operations.write_back import writable
from server.ports.ca import CertificateAuthority
from server.ports.directory import Directory
from server.ports.store import AuditKind, AuditRecord, StoredTemplate, TemplateStore
from shared import errors
from shared.approval import MAX_DETAIL
from shared.clock import Clock
from shared.credential import lint
from shared.credential.approval import Way
from shared.credential.model import TemplateRef
from shared.credential.self_service import HolderProof
from shared.credential.template import Template
from shared.credential.template_reading import parse_template
from shared.errors import KioskError

LONGEST_CHARACTER: Final = 4
"""Bytes, in UTF-8."""


@dataclass(frozen=True, slots=True)
class _Planned:
    line: TemplateLine
    template: Template | None
    text: str


class Templates:
    """Plan and apply templates against the store and what the connections can do."""

    def __init__(
        self,
        store: TemplateStore,
        authorities: Mapping[str, CertificateAuthority],
        directories: Mapping[str, Directory],
        clock: Clock,
        acts: Acts | None = None,
    ) -> None:
        """Check against these connections; `acts` judges whether applying takes a second person."""
        self._acts = acts
        self._store = store
        self._authorities = authorities
        self._directories = directories
        self._clock = clock

    async def plan(self, texts: Sequence[TemplateText]) -> Sequence[TemplateLine]:
        """Say what applying these texts would do; changes nothing."""
        return [planned.line for planned in await self._plan(texts)]

    async def apply(self, texts: Sequence[TemplateText], actor: str) -> Sequence[TemplateLine]:
        """Apply all texts or, where one has problems, none.

        Raises:
            ApprovalNeeded: it takes a second person here.
        """
        plans = await self._plan(texts)
        if any(planned.line.action is TemplateAction.REFUSE for planned in plans):
            return [planned.line for planned in plans]
        if self._acts is not None and (detail := _detail(plans)):
            await self._acts.clear(Way.APPLY_TEMPLATES, actor, detail=detail)
        for planned in plans:
            if planned.line.action is TemplateAction.KEEP or planned.template is None:
                continue
            ref = TemplateRef(
                name=planned.template.name,
                version=planned.line.to_version,
                digest=planned.template.digest,
            )
            await self._store.add(
                StoredTemplate(ref=ref, text=planned.text, applied_at=self._clock.now()),
                AuditRecord(
                    kind=AuditKind.TEMPLATE,
                    event="applied",
                    actor=actor,
                    subject=f"{ref.name} v{ref.version}",
                    facts={"digest": ref.digest.hex()},
                ),
            )
        return [planned.line for planned in plans]

    async def _plan(self, texts: Sequence[TemplateText]) -> Sequence[_Planned]:
        plans = [await self._plan_one(text) for text in texts]
        names = [planned.line.name for planned in plans if planned.line.name]
        return [
            _refused(planned, errors.Invalid(field="name", why=f"{planned.line.name} is given twice"))
            if names.count(planned.line.name) > 1
            else planned
            for planned in plans
        ]

    async def _plan_one(self, text: TemplateText) -> _Planned:
        try:
            template = parse_template(text.text)
        except errors.TemplateInvalid as problem:
            line = TemplateLine(
                source=text.source, name="", action=TemplateAction.REFUSE, problems=(problem,)
            )
            return _Planned(line, None, text.text)
        current = await self._store.latest(template.name)
        abilities = {name: authority.abilities for name, authority in self._authorities.items()}
        problems = [
            *lint.check_connections(
                template, abilities, frozenset(self._directories), writable(self._directories)
            ),
            *self._check_passwords(template),
        ]
        same = current is not None and current.ref.digest == template.digest
        version = current.ref.version if current else 0
        action = TemplateAction.CREATE if current is None else TemplateAction.UPDATE
        line = TemplateLine(
            source=text.source,
            name=template.name,
            action=TemplateAction.REFUSE if problems else TemplateAction.KEEP if same else action,
            from_version=version,
            to_version=version if same else version + 1,
            changes=() if same else _difference(current.text if current else "", text.text),
            problems=tuple(problems),
            warnings=tuple(lint.warnings(template)),
        )
        return _Planned(line, template, text.text)

    def _check_passwords(self, template: Template) -> Sequence[KioskError]:
        """Return that holders are to log on in ways that the template's directory does not know."""
        directory = self._directories.get(template.directory)
        if directory is None:
            return ()
        wanted = frozenset(proof for proofs in template.self_service.values() for proof in proofs)
        reasons = []
        if HolderProof.PASSWORD in wanted and not knows_passwords(directory):
            reasons.append(
                f"the directory {template.directory} checks no passwords: [self-service] takes card or code"
            )
        if HolderProof.DEVICE in wanted and not takes_devices(directory):
            reasons.append(f"the directory {template.directory} lets nobody log on on another device")
        return tuple(errors.TemplateImpossible(template=template.name, why=why) for why in reasons)


def _detail(plans: Sequence[_Planned]) -> str:
    """Say what would be applied, for whoever approves it; empty where nothing would be.

    The digest over all of them is said first, because there may not be room for the rest.
    """
    new = [
        each for each in plans if each.template is not None and each.line.action is not TemplateAction.KEEP
    ]
    heads = [f"{each.line.name} v{each.line.to_version} {_digest(each)}" for each in new]
    if not heads:
        return ""
    whole = hashlib.sha256(" ".join(heads).encode()).hexdigest()
    changes = [change for each in new for change in each.line.changes]
    return textwrap.shorten(
        " / ".join((f"digest {whole}", *heads, *changes)), MAX_DETAIL // LONGEST_CHARACTER
    )


def _digest(planned: _Planned) -> str:
    return planned.template.digest.hex() if planned.template is not None else ""


def _difference(old: str, new: str) -> tuple[str, ...]:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=1)
    return tuple(line for line in lines if not line.startswith(("---", "+++")))


def _refused(planned: _Planned, problem: errors.KioskError) -> _Planned:
    line = TemplateLine(
        source=planned.line.source,
        name=planned.line.name,
        action=TemplateAction.REFUSE,
        problems=(*planned.line.problems, problem),
    )
    return _Planned(line, planned.template, planned.text)
