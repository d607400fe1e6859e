"""AD CS by its web enrolment pages, where its web services are not there.

The pages are for people, and in the server's language. Nothing here depends on their prose: an issued certificate is known by the link to
it, a denial by its mark or its HRESULT, a request that waits by its number; and a page that came only in part is none. The pages neither
list templates nor revoke.

Sources: the pages themselves, as in published clients: `certfnsh.asp` (submit), `certnew.cer` (fetch), `certcarc.asp` (issuers).
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import replace
from html import unescape
from typing import Final

from server.connectors.ca.adcs.codes import UNANSWERED, named
from server.connectors.ca.adcs.kerberos import Kerberos
from server.connectors.ca.adcs.log_on import FIELDS as LOG_ON_FIELDS
from server.connectors.ca.adcs.log_on import log_on
from server.connectors.ca.outside import (
    COMMON_FIELDS,
    OutsideAuthority,
    certificate_in,
    own_words,
    pem_request,
)
from server.connectors.ca.revoked_by import REVOKED_BY, REVOKED_BY_FIELD, revoked_by
from server.connectors.fields import CLIENT_HTTP_FIELDS
from server.connectors.http import Http
from server.connectors.reply import Reply
from server.ports.ca import Outcome, Pending, Refused, SignRequest
from server.ports.connection import Ability, Configured, Kind, Port, Surroundings
from shared import errors
from shared.secret import Secret

BROWSER: Final = "Mozilla/5.0 (X11; Linux x86_64) issuance-kiosk"
"""The pages answer other programs with other types."""
PATIENCE_S: Final = 60
"""The certificate authority's own time is part of each page's."""

LINK: Final = re.compile(r"certnew\.cer\?ReqID=(\d{1,10})&", re.IGNORECASE)
DENIED: Final = re.compile(r"\blocDenied\b|\bDenied by\b", re.IGNORECASE)
HRESULT: Final = re.compile(r"\b0x(8[0-9a-f]{7})\b", re.IGNORECASE)
MESSAGE: Final = re.compile(
    r'disposition message is "([^"<]{1,400})|Disposition message:\s*([^<]{1,400})', re.IGNORECASE
)
RENEWALS: Final = re.compile(r"\bnRenewals\s*=\s*(\d{1,4})\b")
WHOLE: Final = re.compile(r"</html>\s*$", re.IGNORECASE)
NOT_TEXT: Final = re.compile(r"<(script|style|title)\b.*?</\1>|<!--.*?-->|<[^>]*>", re.IGNORECASE | re.DOTALL)
NUMBER: Final = re.compile(r"(?<![\w.,:/-])\d{1,10}(?![\w,:/-])")


class CertsrvAuthority(OutsideAuthority):
    """It is a `CertificateAuthority`, and nothing else; a profile is the common name of a template."""

    FINDS = False

    def __init__(self, configured: Configured, around: Surroundings) -> None:
        """Take the configuration; nothing is asked yet.

        Raises:
            Invalid: a field cannot be used, or nothing says who we are.
        """
        we = log_on(configured)
        headers: dict[str, str | Secret] = {"User-Agent": BROWSER}
        if we.password is not None:
            if ":" in we.user:
                raise errors.Invalid(field="user", why="a colon cannot be part of it")
            name = we.user.encode() + b":" + we.password.reveal()
            headers["Authorization"] = Secret(b"Basic " + base64.b64encode(name))
        super().__init__(configured, around, Http(configured, around, headers=headers))
        self._kerberos = Kerberos(we.user, we.keytab, self.http) if we.keytab is not None else None

    async def ask(self, request: SignRequest) -> Outcome:
        """Submit the card's request, and fetch what was issued; a number that is known is never lost again."""
        form = {
            "Mode": "newreq",
            "CertRequest": pem_request(request),
            "CertAttrib": f"CertificateTemplate:{request.profile}\r\n",
            "FriendlyType": "",
            "ThumbPrint": "",
            "TargetStoreFlags": "0",
            "SaveCert": "yes",
        }
        reply = await self.http.call(
            "POST", "certfnsh.asp", form=form, headers=await self._ticket(), what="issue"
        )
        page = _page(reply)
        if (link := LINK.search(page)) is None:
            return self._judged(request, reply, page)
        try:
            return await self._fetch(request, link[1])
        except (errors.ConnectorUnreachable, errors.ConnectorAnswerWrong):
            return Pending(link[1])

    async def look_for(self, request: SignRequest) -> Outcome | None:
        """Fetch the certificate of the number that we were told."""
        if not re.fullmatch(r"[1-9]\d{0,9}", request.reference, re.ASCII):
            return None
        return await self._fetch(request, request.reference)

    async def greet(self) -> None:
        """Find the configured issuer as the present certificate of the certificate authority.

        Raises:
            ConnectorRefused: it has another one.
        """
        reply = await self._get("certcarc.asp", what="issuers")
        renewals = RENEWALS.search(_page(reply))
        if renewals is None:
            raise reply.wrong(reason="it is no page of a certificate authority's; is the address right?")
        query = {"ReqID": "CACert", "Renewal": renewals[1], "Enc": "bin"}
        reply = await self._get("certnew.cer", query, what="issuer")
        try:
            found = certificate_in(reply.body)
        except ValueError as cause:
            raise reply.wrong(reason="it is no certificate") from cause
        if found != self.chain[0]:
            raise self.refusal(reason="its certificate is another one than the configured issuer's")

    async def _fetch(self, request: SignRequest, number: str) -> Outcome:
        query = {"ReqID": number, "Enc": "b64"}
        reply = await self._get("certnew.cer", query, what="fetch")
        if not reply.is_html:
            return self.issued(request, reply.body)
        page = _page(reply)
        return self._refused(request, page) or Pending(number)

    async def _get(self, path: str, query: Mapping[str, str] | None = None, *, what: str) -> Reply:
        """Get a page, or what hangs on it; a ticket counts once."""
        return await self.http.call(
            "GET",
            path,
            query=query,
            headers=await self._ticket(),
            what=what,
            repeatable=self._kerberos is None,
        )

    async def _ticket(self) -> Mapping[str, Secret]:
        return {} if self._kerberos is None else {"Authorization": await self._kerberos.header()}

    def _judged(self, request: SignRequest, reply: Reply, page: str) -> Outcome:
        """Judge a page without a certificate."""
        refused = self._refused(request, page)
        if refused is not None:
            return refused
        numbers = set(NUMBER.findall(unescape(NOT_TEXT.sub(" ", page))))
        if len(numbers) != 1:
            raise reply.wrong(
                reason="the page shows neither a certificate, nor a denial, nor a request's number"
            )
        return Pending(numbers.pop())

    def _refused(self, request: SignRequest, page: str) -> Refused | None:
        code = HRESULT.search(page)
        if code is None and DENIED.search(page) is None:
            return None
        if code is not None and int(code[1], 16) in UNANSWERED:
            reason = named(int(code[1], 16))
            raise errors.ConnectorUnreachable(connection=self.connection, reason=reason)
        message = MESSAGE.search(page)
        words = own_words(unescape(message[1] or message[2]) if message else "", request.names)
        return self.refused(request, words if code is None else f"{named(int(code[1], 16))} ({words})")


def _page(reply: Reply) -> str:
    """Return a page that came whole.

    Raises:
        ConnectorAnswerWrong: it did not, or it is no page.
    """
    text = reply.body.decode(errors="replace")
    if not reply.is_html or WHOLE.search(text) is None:
        raise reply.wrong(reason="it is no whole page")
    return text


KIND: Final = Kind(
    name="adcs-certsrv",
    port=Port.CA,
    title="Microsoft AD CS (web enrolment pages)",
    fields=(
        *(
            replace(each, default=PATIENCE_S) if each.name == "timeout-s" else each
            for each in CLIENT_HTTP_FIELDS
        ),
        *COMMON_FIELDS,
        *LOG_ON_FIELDS,
        REVOKED_BY_FIELD,
    ),
    abilities=frozenset({Ability.ISSUE, Ability.PENDING, Ability.SUBJECT_OVERRIDE}),
    build=revoked_by(CertsrvAuthority),
    refers=(REVOKED_BY,),
    page="adcs.md",
)
