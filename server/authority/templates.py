"""Templates: what applying a text would do, and applying it. A version that is stored never changes."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from server.authority.holder_proofs import knows_passwords
from server.authority.services import TemplateAction, TemplateLine, TemplateText
from server.ports.ca import CertificateAuthority
from server.ports.directory import Directory
from server.ports.store import AuditKind, AuditRecord, StoredTemplate, TemplateStore
from shared import errors
from shared.clock import Clock
from shared.credential import lint
from shared.credential.model import TemplateRef
from shared.credential.self_service import HolderProof
from shared.credential.template import Template
from shared.credential.template_reading import parse_template
from shared.errors import KioskError


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
    ) -> None:
        """Check against these connections."""
        self._store = store
        self._authorities = authorities
        self._directories = directories
        self._clock = clock

    async def plan(self, texts: Sequence[TemplateText]) -> Sequence[TemplateLine]:
        """Say what applying these texts would do; changes nothing."""
        return [planned.line for planned in await self._plan(texts)]

    async def apply(self, texts: Sequence[TemplateText], actor: str) -> Sequence[TemplateLine]:
        """Apply all texts or, where one has problems, none."""
        plans = await self._plan(texts)
        if any(planned.line.action is TemplateAction.REFUSE for planned in plans):
            return [planned.line for planned in plans]
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
            *lint.check_connections(template, abilities, frozenset(self._directories)),
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
        """Return that holders are to log on with passwords that the template's directory cannot check."""
        directory = self._directories.get(template.directory)
        wanted = any(HolderProof.PASSWORD in proofs for proofs in template.self_service.values())
        if not wanted or directory is None or knows_passwords(directory):
            return ()
        why = f"the directory {template.directory} checks no passwords: [self-service] takes card or code"
        return (errors.TemplateImpossible(template=template.name, why=why),)


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
