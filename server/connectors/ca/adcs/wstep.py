"""AD CS by its enrolment web services: the policy (CEP) says which templates there are, the enrolment service (CES) issues.

The card's signed request goes as it is, or inside the signature of an enrolment agent that names the account it is for. Neither
service revokes, holds, or finds a request by anything but its number.

Sources: [MS-XCEP]; [MS-WSTEP]; [MS-WCCE] 3.2.2.6.2.1.2.1 (enrol on behalf of).
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final
from xml.etree.ElementTree import Element

from server.connectors.ca.adcs import enrolment, policy
from server.connectors.ca.adcs.agent import Agent
from server.connectors.ca.adcs.codes import UNANSWERED, named
from server.connectors.ca.adcs.kerberos import Kerberos
from server.connectors.ca.adcs.log_on import FIELDS as LOG_ON_FIELDS
from server.connectors.ca.adcs.log_on import log_on
from server.connectors.ca.adcs.soap import RECEIVER, Fault, Service, UserName
from server.connectors.ca.outside import COMMON_FIELDS, OutsideAuthority, own_words
from server.connectors.ca.revoked_by import REVOKED_BY, REVOKED_BY_FIELD, revoked_by
from server.connectors.fields import CLIENT_HTTP_FIELDS
from server.connectors.http import Http
from server.ports.ca import Abilities, Names, Outcome, Pending, Refused, SignRequest
from server.ports.connection import Ability, Configured, Field, FieldKind, Kind, Port, Surroundings
from shared import errors

NOBODY: Final = Names(subject="")
LARGEST_POLICY: Final = 8 << 20
"""Bytes: a large forest has hundreds of templates."""
ACCOUNT: Final = re.compile(r"[^\\\s]{1,64}\\[^\\@\x00-\x1f]{1,104}")
"""The form that an enrolment agent's signature names accounts in."""
NO_REQUEST: Final = "2147483647"
"""Asked for to see whether the enrolment service knows us: the last number that a request could have."""


class WstepAuthority(OutsideAuthority):
    """It is a `CertificateAuthority` and `CanListProfiles`; a profile is the common name of a template."""

    FINDS = False

    def __init__(self, configured: Configured, around: Surroundings) -> None:
        """Take the configuration; nothing is asked yet.

        Raises:
            Invalid: a field cannot be used, or nothing says who we are.
        """
        super().__init__(configured, around, Http(configured, around))
        self._enrolment = _service(configured, around, self.http)
        policies = Http(configured, around, base=configured.text("policy-url"), limit=LARGEST_POLICY)
        self._policy = _service(configured, around, policies)
        self._agent = _agent(configured)

    @property
    def abilities(self) -> Abilities:
        """What this certificate authority can do; an enrolment agent's signature needs an account."""
        return replace(super().abilities, for_accounts=self._agent is not None)

    async def ask(self, request: SignRequest) -> Outcome:
        """Ask with the card's request, or with our agent's signature around it."""
        content, kind = request.request, enrolment.PKCS10
        if self._agent is not None:
            if not ACCOUNT.fullmatch(request.names.account):
                return Refused(
                    "an enrolment agent enrols for an account: the template names none as DOMAIN\\name"
                )
            content, kind = self._agent.sign(request.request, request.names.account), enrolment.PKCS7
        return await self._outcome_of(
            request, enrolment.ask(content, request.profile, kind=kind), what="issue"
        )

    async def look_for(self, request: SignRequest) -> Outcome | None:
        """Ask what became of the request with the number that we were told."""
        if not enrolment.is_number(request.reference):
            return None
        return await self._outcome_of(request, enrolment.ask_again(request.reference), what="ask again")

    async def offered_profiles(self) -> Sequence[str]:
        """Return the templates that we may enrol for at this certificate authority, and can."""
        return sorted(
            each.name
            for each in await self._templates()
            if each.enrols and self._issues(each) and each.agents <= self._signatures
        )

    async def greet(self) -> None:
        """Find our issuer in the policy, and see that the enrolment service knows us: about a request that nobody made.

        Raises:
            ConnectorRefused: it has other issuers, or a template wants an agent that we have not.
        """
        templates = await self._templates()
        ours = [each for each in templates if self._issues(each)]
        if not ours:
            raise self.refusal(reason="no template of the policy is issued by the configured issuer")
        for each in ours:
            if each.name in self.profiles and each.agents > self._signatures:
                raise self.refusal(
                    reason=f"the template {each.name} wants {each.agents} signatures of agents"
                )
        try:
            await self._ask(enrolment.ask_again(NO_REQUEST), what="credential", repeatable=True)
        except Fault as fault:
            if fault.of_log_on:
                raise self._log_on_refused() from fault

    async def credential_ends(self) -> datetime | None:
        """Return until when both our TLS certificate and our agent's are good; None where there is neither."""
        ends = [await super().credential_ends(), self._agent.ends if self._agent else None]
        return min((each for each in ends if each is not None), default=None)

    async def close(self) -> None:
        """Let go of lines that are held open."""
        await super().close()
        await self._policy.http.close()

    async def _outcome_of(self, request: SignRequest, message: Element, *, what: str) -> Outcome:
        try:
            answered = await self._ask(message, what=what)
        except Fault as fault:
            return self._refused_by(request, fault)
        if not answered.certificate:
            return Pending(answered.number)
        return self.issued(request, answered.certificate)

    def _refused_by(self, request: SignRequest, fault: Fault) -> Outcome:
        """Tell a refusal from a failure between the service and its certificate authority."""
        if fault.of_log_on:
            raise self._log_on_refused() from fault
        code = enrolment.code_of(fault.detail)
        if code in UNANSWERED:
            raise errors.ConnectorUnreachable(connection=self.connection, reason=named(code)) from fault
        words = own_words(fault.words, request.names)
        if code is None and RECEIVER in fault.codes:  # something broke there, before or after it asked
            raise errors.ConnectorUnreachable(connection=self.connection, reason=words) from fault
        return self.refused(request, words if code is None else f"{named(code)} ({words})")

    async def _ask(self, message: Element, *, what: str, repeatable: bool = False) -> enrolment.Answered:
        answer = await self._enrolment.ask(
            enrolment.ASK, enrolment.ANSWER, message, what=what, repeatable=repeatable
        )
        try:
            return enrolment.read(answer)
        except ValueError as cause:
            raise self._wrong(reason="its answer is neither a certificate nor a number") from cause

    async def _templates(self) -> Sequence[policy.CertificateTemplate]:
        try:
            answer = await self._policy.ask(
                policy.GET_POLICIES,
                policy.GET_POLICIES_ANSWER,
                policy.question(),
                what="templates",
                repeatable=True,
            )
            return policy.read(answer)
        except ValueError as cause:
            raise self._wrong(reason="its policy cannot be read") from cause
        except Fault as fault:
            if fault.of_log_on:
                raise self._log_on_refused() from fault
            raise self.refusal(reason=own_words(fault.words, NOBODY)) from fault

    def _issues(self, template: policy.CertificateTemplate) -> bool:
        """Whether the configured issuer issues it to us."""
        return any(each.enrols and each.certificate == self.chain[0] for each in template.authorities)

    @property
    def _signatures(self) -> int:
        return 0 if self._agent is None else 1

    def _wrong(self, *, reason: str) -> errors.ConnectorAnswerWrong:
        return errors.ConnectorAnswerWrong(connection=self.connection, reason=reason)

    def _log_on_refused(self) -> errors.ConnectorRefused:
        return self.refusal(reason="it does not accept our credential: name or password")


def _service(configured: Configured, around: Surroundings, http: Http) -> Service:
    """Return a service, with the way in which we log on there."""
    we = log_on(configured)
    if we.keytab is not None:
        return Service(http, kerberos=Kerberos(we.user, we.keytab, http))
    if we.password is not None:
        return Service(http, UserName(we.user, we.password, around.clock))
    return Service(http)


def _agent(configured: Configured) -> Agent | None:
    certificates, key = configured.text("agent-certificate"), configured.secret("agent-key")
    if bool(certificates) != (key is not None):
        why = "an agent's certificate needs its key, and a key its certificate"
        raise errors.Invalid(field="agent-key", why=why)
    return None if key is None else Agent(certificates, key)


KIND: Final = Kind(
    name="adcs-wstep",
    port=Port.CA,
    title="Microsoft AD CS (enrolment web services)",
    fields=(
        *CLIENT_HTTP_FIELDS,
        Field(
            name="policy-url",
            kind=FieldKind.URL,
            title="Address of the policy",
            required=True,
            help="The enrolment policy service; the address above is that of the enrolment service.",
        ),
        *COMMON_FIELDS,
        *LOG_ON_FIELDS,
        Field(
            name="agent-certificate",
            kind=FieldKind.CERTIFICATES,
            title="Enrolment agent",
            help="The certificate of an enrolment agent, with its chain (PEM): we enrol on behalf of accounts.",
        ),
        Field(
            name="agent-key",
            kind=FieldKind.SECRET,
            title="Enrolment agent's key",
            help="The key of the agent's certificate (PEM, not encrypted).",
        ),
        REVOKED_BY_FIELD,
    ),
    abilities=frozenset(
        {
            Ability.ISSUE,
            Ability.PENDING,
            Ability.PROFILES,
            Ability.SUBJECT_OVERRIDE,
            Ability.ON_BEHALF_OF,
        }
    ),
    build=revoked_by(WstepAuthority),
    refers=(REVOKED_BY,),
    page="adcs.md",
)
