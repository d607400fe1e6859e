"""What a holder may do to a card: judged for the template of its credential, and for that of an operation that was cut.

A card without a credential is nobody's: a credential of their own can be made on it, where the template lets holders. Whatever
else is on a card makes it somebody else's, and nothing is told of it.
"""

from dataclasses import replace

from server.authority.policy import Holding, authorise_holder
from server.ports.store import TemplateStore
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.credential.model import CardRecord, TemplateRef
from shared.credential.self_service import PROOFS
from shared.credential.template import Template
from shared.credential.template_reading import parse_template
from shared.relay import Begin
from shared.station_profile import StationProfile


class HolderRights:
    """Judge holders by the templates in the record, and by what the station is for."""

    def __init__(self, templates: TemplateStore, profile: StationProfile) -> None:
        """Read `templates`; `profile` is the station's at which the holder stands."""
        self._templates = templates
        self._profile = profile

    async def permit(
        self, holding: Holding, operation: OperationKind, record: CardRecord | None, *, template: str = ""
    ) -> None:
        """Refuse what a holder may not do to this card; `template` is that of a credential that is to be made on it.

        Raises:
            NotYours: the card is somebody else's, or nobody's and this makes no credential.
            NotAllowed: the template does not let holders do it, or the station is not for it.
            OtherProofNeeded: not by the proof with which they logged on.
            UnknownTemplate: there is no such template.
        """
        if operation not in PROOFS or not self._profile.allows(operation):
            raise errors.NotAllowed(what=operation.value)
        credential = record.credential if record is not None else None
        cut = record.open_operation if record is not None else None
        if credential is not None:
            wanted = await self._version(credential.template)
            authorise_holder(holding, operation, self._here(wanted), credential)
        elif operation is not OperationKind.ISSUE:
            raise errors.NotYours
        if cut is not None and ((cut.holder and cut.holder != holding.holder) or cut.roles):
            raise errors.NotYours
        if cut is not None and cut.template is not None:
            wanted = await self._version(cut.template)
            authorise_holder(holding, operation, self._here(wanted), credential)
        if operation is OperationKind.ISSUE and (template or cut is None or cut.template is None):
            stored = await self._templates.latest(template)
            if stored is None:
                raise errors.UnknownTemplate(template=template)
            authorise_holder(holding, operation, self._here(parse_template(stored.text)), credential)

    async def allows(
        self, holding: Holding, operation: OperationKind, record: CardRecord | None, *, template: str = ""
    ) -> bool:
        """Whether `permit` lets it pass."""
        try:
            await self.permit(holding, operation, record, template=template)
        except errors.PolicyError:
            return False
        return True

    async def owns(self, holding: Holding, record: CardRecord) -> bool:
        """Whether a card is the holder's, or nobody's."""
        credential, cut = record.credential, record.open_operation
        holders = {credential.holder if credential else "", cut.holder if cut else ""} - {""}
        refs = (credential.template if credential else None, cut.template if cut else None)
        for ref in refs:
            if ref is not None and (await self._version(ref)).directory != holding.directory:
                return False
        return holders <= {holding.holder}

    async def issued_here(self, holding: Holding) -> tuple[str, ...]:
        """Return the templates by which the holder may make a credential of their own now, by name."""
        names = [stored.ref.name for stored in await self._templates.all_latest()]
        return tuple(
            [
                name
                for name in sorted(names)
                if await self.allows(holding, OperationKind.ISSUE, None, template=name)
            ]
        )

    async def _version(self, ref: TemplateRef) -> Template:
        stored = await self._templates.version(ref)
        if stored is None:
            raise errors.UnknownTemplate(template=ref.name)
        return parse_template(stored.text)

    def _here(self, template: Template) -> Template:
        if not self._profile.allows_template(template.name):
            raise errors.NotAllowed(what="this template at this station")
        return template


def own_request(holding: Holding, begin: Begin) -> Begin:
    """Return what a holder asks for, for themselves.

    Raises:
        NotYours: it is for somebody else.
        NotAllowed: it names what only operators decide: roles, or a credential in the place of another one.
    """
    if begin.holder not in {"", holding.holder}:
        raise errors.NotYours
    if begin.roles or begin.replaces or begin.primary:
        raise errors.NotAllowed(
            what="a credential in the place of another one, or one with roles, by self-service"
        )
    issues = begin.operation is OperationKind.ISSUE
    return replace(begin, holder=holding.holder if issues else "", temporary_pin=False)
